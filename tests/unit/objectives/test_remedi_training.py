"""RemeDi: mistakes in the visible text, and a head that tells them from what is right."""

import math

import pytest
import torch
from texts import M, ask, lay, places, tiny

from toys import Hash
from unmask.config.components import choose
from unmask.core.protocols import Scored
from unmask.core.random import Draws
from unmask.data import Collator, Encoded
from unmask.errors import UserError
from unmask.models import load
from unmask.objectives import OBJECTIVES, Remedi
from unmask.objectives.remedi import MASKED, RIGHT, WRONG
from unmask.runtime.paths import resolve_path
from unmask.tasks import TASKS
from unmask.train import Layout, TrainRun, train


def rate(r, t):
    """The share of wrong tokens among the visible ones."""
    return 4 * r * t * (1 - t)


def test_by_hand():
    """8 tokens at t = 1/2, of which 4 are masked; of the other 4, ceil(4 r t (1 - t) 4) = 2 are wrong at r = 1/2."""
    batch = lay((1, 8))
    batch.ids[0] = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8, 9])
    recorded = {
        "t": [0.5],
        "mask": [[0.0, 0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6]],
        "wrong": [[0.0, 0.9, 0.3, 0.9, 0.7, 0.9, 0.6, 0.9, 0.5]],
        "other": [[0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.999, 0.0, 0.0]],
    }
    n = ask(Remedi(corruption=0.5, eps=1e-9), batch, **recorded)
    # Those with the largest numbers: 5 gives way to the 5th of the 9 other tokens (no mask among them), 7 to the last.
    assert n.query.ids.tolist() == [[1, M, 3, M, 4, M, 9, M, 9]]
    assert places(n) == [(0, i) for i in range(1, 9)]
    assert n.targets.tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert n.member.tolist() == [MASKED, RIGHT, MASKED, WRONG, MASKED, WRONG, MASKED, RIGHT]
    assert n.weight.tolist() == pytest.approx([2 / 8, 0, 2 / 8, 0, 2 / 8, 0, 2 / 8, 0])
    assert float(n.count) == 1


@pytest.mark.parametrize("normaliser", ["per_sequence", "per_token"])
def test_loss_by_hand(normaliser):
    """Cross-entropy / t on masked tokens, and .3 times the cross-entropy of the confidence with 1, 0 and the gold p."""
    batch = lay((1, 4))
    recorded = {"t": [0.5], "mask": [[0.0, 0.1, 0.2, 0.9, 0.9]], "wrong": [[0.0, 0.0, 0.0, 0.9, 0.1]]}
    objective = Remedi(corruption=0.5, eps=1e-9, normaliser=normaliser)
    n = ask(objective, batch, **recorded)
    assert n.member.tolist() == [MASKED, MASKED, WRONG, RIGHT]
    nll = torch.tensor([1.0, 0.5, 7.0, 7.0], dtype=torch.float64, requires_grad=True)
    logit = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64, requires_grad=True)
    loss = objective.loss(Scored(nll=nll, correctness=logit), n) / n.count

    def bce(h, y):
        p = 1 / (1 + math.exp(-h))
        return -y * math.log(p) - (1 - y) * math.log(1 - p)

    gold = [math.exp(-1.0), math.exp(-0.5), 0.0, 1.0]
    confidence = sum(bce(h, y) for h, y in zip([0.3, -1.0, 2.0, 0.5], gold, strict=True)) / 4
    assert float(loss.detach()) == pytest.approx((1.0 + 0.5) / 0.5 / 4 + 0.3 * confidence)
    loss.backward()
    # The target is no path for gradients: those of the likelihoods are their weights alone.
    assert nll.grad.tolist() == pytest.approx([0.5, 0.5, 0, 0])
    expected = [0.3 / 4 * (1 / (1 + math.exp(-h)) - y) for h, y in zip([0.3, -1.0, 2.0, 0.5], gold, strict=True)]
    assert logit.grad.tolist() == pytest.approx(expected)


def test_confidences_are_averaged_over_examples_or_tokens():
    """Answers of 4 and 8 tokens whose confidences cost ln 2 each."""
    batch = lay((1, 4), (2, 8))
    for normaliser in ("per_sequence", "per_token"):
        objective = Remedi(normaliser=normaliser, score_weight=1.0)
        n = ask(objective, batch)
        scored = Scored(nll=torch.zeros(12), correctness=torch.zeros(12))
        assert float(objective.loss(scored, n) / n.count) == pytest.approx(math.log(2))
        only = scored.only(n.example == 0)
        share = float(objective.loss(only, n.only(n.example == 0)) / n.count / math.log(2))
        assert share == pytest.approx(1 / 2 if normaliser == "per_sequence" else 4 / 12)


@pytest.mark.parametrize("packed", [None, 60], ids=["padded", "packed"])
@pytest.mark.parametrize("corruption", [0.1, 1.0])
def test_wrong_tokens(packed, corruption):
    """8: never gold nor the mask, fewer than are masked, ceil(4 r t (1 - t) n) of n visible, none in the prompt."""
    batch = lay((2, 20), (3, 9), (1, 30), row_length=packed, tail=4)
    for seed in range(15):
        n = ask(Remedi(corruption=corruption, tail="hidden"), batch, seed=seed)
        shown = n.query.ids[n.query_positions[:, 0], n.query_positions[:, 1]]
        is_wrong = n.member == WRONG
        assert (shown[is_wrong] != n.targets[is_wrong]).all()
        assert (shown[is_wrong] != M).all()
        assert torch.equal(shown[n.member == RIGHT], n.targets[n.member == RIGHT])
        assert (shown[n.member == MASKED] == M).all()
        for e in range(3):
            mine = n.example == e
            t = float(n.noise_level[mine][0])
            masked, wrong = (int((n.member[mine] == kind).sum()) for kind in (MASKED, WRONG))
            visible = int(mine.sum()) - masked
            assert wrong < masked or wrong == masked == 0
            assert wrong == max(min(math.ceil(rate(corruption, t) * visible - 1e-6), masked - 1), 0)
        outside = ~batch.is_canvas
        assert torch.equal(n.query.ids[outside], batch.ids[outside])


def test_the_rate_of_mistakes():
    """8: r in the middle and 0 at both ends. With half of 100 tokens masked, 4 * .1 * .2 * .8 of 50 visible is 3.2."""
    assert rate(0.1, 0.0) == rate(0.1, 1.0) == 0
    assert rate(0.1, 0.5) == pytest.approx(0.1)
    half = [[0.0] * 51 + [1.0] * 50]
    for t, wrong in ((0.5, 5), (0.2, 4), (0.8, 4), (1.0 - 1e-9, 1)):
        n = ask(Remedi(eps=1e-12), lay((1, 100)), t=[t], mask=half)
        assert int((n.member == MASKED).sum()) == 50
        assert int((n.member == WRONG).sum()) == wrong
    for t, kind in ((0.0, RIGHT), (1.0, MASKED)):
        n = ask(Remedi(eps=1e-12), lay((1, 100)), t=[t], mask=[[0.5] * 101])
        assert set(n.member.tolist()) == {kind}


def test_the_mask_may_stand_anywhere_in_the_vocabulary():
    """Mistakes are spread over the tokens on both sides of it and of the gold token."""
    toy = Hash(mask_id=4)
    batch = lay(*[(1, 60)] * 20)
    batch.ids[batch.ids == 4] = 3
    n = ask(Remedi(corruption=1.0), batch, toy)
    is_wrong = n.member == WRONG
    shown = n.query.ids[n.query_positions[:, 0], n.query_positions[:, 1]][is_wrong]
    assert (shown != n.targets[is_wrong]).all()
    assert set(shown.tolist()) == set(range(11)) - {4}


def test_other_tokens_are_drawn_alike():
    """Of the 9 tokens that are neither gold nor the mask."""
    batch = lay(*[(1, 60)] * 40)
    n = ask(Remedi(corruption=1.0), batch)
    is_wrong = n.member == WRONG
    shown = n.query.ids[n.query_positions[:, 0], n.query_positions[:, 1]][is_wrong]
    steps = torch.bincount((shown - n.targets[is_wrong]) % 11, minlength=11)
    assert steps[0] == 0
    assert set(shown.tolist()) == set(range(10))
    assert int(is_wrong.sum()) > 300


def test_the_confidence_target_has_no_gradient_through_a_model():
    """8: with the token loss left out, the LM head gets nothing from the masked tokens' targets."""
    objective = Remedi(taps=2)
    lm = tiny("qwen2-shifted")  # its LM head is not tied to the embedding
    lm.attach("confidence", {"taps": 2})
    n = ask(objective, lay((2, 8), (3, 5)), lm)
    n = type(n)(**{**vars(n), "weight": n.weight * 0})
    objective.loss(lm.score(n.query, n.query_positions, n.targets, want=objective.want), n).backward()
    assert lm.model.lm_head.weight.grad.abs().max() == 0
    assert lm.heads["confidence"].out.weight.grad.abs().max() > 0


def test_a_mean_of_ln_two_at_the_start():
    """An undecided head costs ln 2 per token, beside the loss of the tokens."""
    objective = Remedi(taps=2)
    lm = tiny()
    lm.attach("confidence", {"taps": 2})
    n = ask(objective, lay((2, 8), (3, 5)), lm)
    with torch.no_grad():
        scored = lm.score(n.query, n.query_positions, n.targets, want=objective.want)
    tokens = float((n.weight * scored.nll).sum() / n.count)
    assert float(objective.loss(scored, n) / n.count) == pytest.approx(tokens + 0.3 * math.log(2), rel=1e-5)


def test_methods_that_would_lose_the_confidences_refuse_it():
    with pytest.raises(UserError, match="remedi queries more than what it hides, which two views would lose"):
        choose(OBJECTIVES, {"name": "complementary", "inner": "remedi"})
    with pytest.raises(UserError, match="found 'remedi', which queries in its own way"):
        choose(OBJECTIVES, {"name": "blockwise", "inner": "remedi"})
    n = ask(Remedi(), lay((1, 4)))
    with pytest.raises(TypeError, match="needs a model with the head 'confidence'"):
        Remedi().loss(Scored(nll=torch.zeros(4)), n)


def test_it_learns_to_tell_mistakes(tmp_path):
    """Confidences of right visible tokens lie above those of wrong ones: area under the curve at least .8."""
    task = TASKS["sorting"](shortest=5, longest=6)
    lm = load(resolve_path("asset:quickstart/model"))
    encode = lm.tokenizer.encode
    rows = [
        Encoded(prompt=encode(p.prompt), answer=[*encode(p.solution), lm.filler_id], source=p.source)
        for p in task.problems("train", 1600, 0)
    ]
    objective = Remedi(taps=2, head_lr=3e-3, corruption=0.5)
    layout = Layout(block_size=7, canvas=28)
    result = train(
        lm, rows, TrainRun(objective=objective, steps=60, batch_size=16, lr=5e-4), out=tmp_path / "run", layout=layout,
        show=False,
    )  # fmt: skip
    lm = load(result.model)
    test = [{"prompt": encode(p.prompt), "answer": [*encode(p.solution), lm.filler_id], "order": i, "source": ""}
            for i, p in enumerate(task.problems("test", 64, 0))]  # fmt: skip
    collate = Collator(layout=layout, filler_id=lm.filler_id, draws=Draws(seed=1))
    n = objective.noise(collate(test), model=lm, draws=Draws(seed=1), progress=1.0)
    with torch.no_grad():
        confidence = lm.score(n.query, n.query_positions, n.targets, want=objective.want).correctness
    right, wrong = confidence[n.member == RIGHT], confidence[n.member == WRONG]
    assert len(wrong) > 100
    area = (right[:, None] > wrong[None, :]).double().mean()
    assert area >= 0.8
