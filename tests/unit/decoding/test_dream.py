import math

import pytest
import torch
from places import picked, places, trace

from toys import Hash
from unmask.core.attention import BIDIRECTIONAL
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, Dream, decode
from unmask.decoding.selection.dream import counts
from unmask.errors import UserError


def schedule(opened, steps, eps):
    """Dream's loop, written down again from its description."""
    t = torch.linspace(1, eps, steps + 1, dtype=torch.float64)
    left, taken = opened, []
    for i in range(steps):
        share = 1 - t[i + 1] / t[i] if i < steps - 1 else 1
        taken.append(int(left * share))
        left -= taken[-1]
    return tuple(n for n in taken if n)


@pytest.mark.parametrize("opened", [1, 2, 5, 16, 31, 64])
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 20, 64])
def test_the_schedule(opened, steps):
    assert counts(opened, steps, 1e-3) == schedule(opened, steps, 1e-3)
    assert sum(counts(opened, steps, 1e-3)) == opened


def test_the_schedule_by_hand():
    # 8 places, 4 steps, eps 0.2: t = 1, .8, .6, .4, .2: 8 * .2 = 1.6; 7 * .25 = 1.75; 6 * 1/3 = 2; all
    assert counts(8, 4, 0.2) == (1, 1, 2, 4)
    assert counts(8, 4, 0.0) == (2, 2, 2, 2)
    assert counts(2, 4, 1e-3) == (2,)  # .4995, .666, .998: nothing until the last
    assert counts(0, 4, 1e-3) == ()


@pytest.mark.parametrize("opened", range(1, 200))
def test_without_eps_one_token_a_step_is_not_lost_to_rounding(opened):
    assert counts(opened, opened, 0.0) == (1,) * opened


def test_the_surest_of_the_measure_are_picked():
    fields = {"eps": 0.2}
    assert picked("dream", places([0.1, 0.5, 0.3, 0.4, 0, 0, 0, 0], steps_done=2, opened=8), steps=4, **fields) == [
        1,
        3,
    ]
    assert picked("dream", places([0.1, 0.5], steps_done=9, opened=8), steps=4, **fields) == [0, 1]
    assert picked("dream", places([0.1], closed=[0], opened=0)) == []


def test_names_of_the_measures():
    assert [Dream(alg=a).score for a in ("origin", "maskgit_plus", "entropy", "topk_margin")] == [
        "random_order", "low_confidence", "entropy", "margin"]  # fmt: skip


def test_no_eps_is_quota():
    for alg, score in (("maskgit_plus", "low_confidence"), ("entropy", "entropy"), ("topk_margin", "margin")):
        base = {"name": "quota", "score": score}
        assert trace(selection={"name": "dream", "alg": alg, "eps": 0}) == trace(selection=base)
        assert trace(selection={"name": "dream", "alg": alg, "eps": 0}, steps=8) == trace(selection=base, steps=8)


def test_it_differs_from_quota():
    dream = trace(selection={"name": "dream", "alg": "maskgit_plus"}, blocks="whole", prompts=[(1,)])
    assert dream != trace(blocks="whole", prompts=[(1,)])
    assert tuple(len(at) for at, _, _ in dream) == schedule(16, 16, 1e-3)


def reference(model, prompt, length, steps, measure):
    """Dream's sampler at temperature 0, one row at a time."""
    text = [*prompt, *[model.mask_id] * length]
    t = torch.linspace(1, 1e-3, steps + 1, dtype=torch.float64)
    for i in range(steps):
        masked = [column for column, token in enumerate(text) if token == model.mask_id]
        if not masked:
            break
        batch = lay_out([Example(prompt=text, answer=(), order=0, canvas=0)], block_size=4, filler_id=0)
        logits = model.logits(batch.query(batch.ids, BIDIRECTIONAL), torch.tensor([[0, c] for c in masked]))
        score = measure(logits.softmax(-1))
        logits[:, model.mask_id] = -torch.inf
        token = logits.argmax(-1)
        number = int(len(masked) * (1 - t[i + 1] / t[i])) if i < steps - 1 else len(masked)
        for place in score.argsort(descending=True, stable=True)[:number].tolist():
            text[masked[place]] = int(token[place])
    return text


@pytest.mark.parametrize(("length", "steps"), [(16, 16), (16, 5), (12, 30), (7, 1)])
@pytest.mark.parametrize(
    ("alg", "measure"),
    [
        ("maskgit_plus", lambda p: p[:, :-1].max(-1).values),  # of the proposal, which is never the mask token
        ("entropy", lambda p: (p * p.log()).sum(-1)),
        ("topk_margin", lambda p: p.topk(2).values @ torch.tensor([1.0, -1.0], dtype=p.dtype)),
    ],
)
def test_token_for_token_against_the_sampler(alg, measure, length, steps):
    batch = lay_out([Example(prompt=[1, 2], answer=(), order=0, canvas=length)], block_size=4, filler_id=9)
    decoder = Decoder(selection={"name": "dream", "alg": alg}, blocks="whole", steps=steps, stop="never")
    *_, last = decode(Hash(), batch, decoder.resolve(), draws=Draws(seed=0))
    assert last.state.ids[0].tolist() == reference(Hash(), [1, 2], length, steps, measure)


def test_origin_writes_each_place_by_an_independent_coin():
    """A number u says when: the first step with t[i + 1] <= u. t = 1, .75, .5, .25, 0."""
    scores = [0.8, 0.3, 0.76, 0.1, 0.6]
    origin = {"alg": "origin", "eps": 0, "steps": 4}
    assert picked("dream", places(scores), **origin) == [0, 2]
    assert picked("dream", places(scores, closed=[0, 2]), **origin) == [4]
    assert picked("dream", places(scores, closed=[0, 2, 4]), **origin) == [1]
    assert picked("dream", places(scores, closed=[0, 1, 2, 4]), **origin) == [3]
    assert picked("dream", places(scores, closed=range(5)), **origin) == []


def test_origin_has_the_schedule_s_law():
    """The share that is still open after step i is t[i + 1] on average."""
    sizes = torch.zeros(4)
    for seed in range(200):
        for step, (at, _, _) in enumerate(trace(
            selection={"name": "dream", "alg": "origin", "eps": 0}, blocks="whole", steps=4, length=32, prompts=[(1,)],
            seed=seed,
        )):  # fmt: skip
            sizes[step] += len(at)
    share = sizes / sizes.sum()
    assert (share - 0.25).abs().max() < 4 * math.sqrt(0.25 * 0.75 / sizes.sum())


def test_alg_temp_draws_without_replacement_from_the_softmax():
    """First draws follow softmax(score / T): chi-square with 3 degrees of freedom, p = 0.001."""
    scores, trials = [0.0, 0.5, 1.0, 0.2], 4000
    uniform = torch.rand(trials, 4, generator=torch.Generator().manual_seed(0)).tolist()
    first = torch.zeros(4)
    for u in uniform:
        (place,) = picked("dream", places(scores, random=u), alg_temp=0.7, eps=0)
        first[place] += 1
    expected = (torch.tensor(scores) / 0.7).softmax(0) * trials
    assert ((first - expected) ** 2 / expected).sum() < 16.3


@pytest.mark.parametrize("fields", [{"eps": 1}, {"eps": -0.1}, {"alg": "margin"}, {"alg_temp": -1}])
def test_bad_fields_are_refused(fields):
    with pytest.raises(UserError):
        Dream(**fields)
