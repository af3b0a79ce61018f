"""Bounds on toy models whose likelihoods are known in closed form or by enumeration."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch

from toys import Hash, Table, Toy, Uniform, pseudo_random
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.data import Encoded
from unmask.errors import UserError
from unmask.evaluate.likelihood import bound, bound_rows, likelihood_bound, likelihoods
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import Blockwise

EXAMPLES = [
    Encoded(prompt=[1, 2], answer=[3, 0, 7, 4, 9], source="a"),
    Encoded(prompt=[5], answer=[6, 6, 9], source="b"),
    Encoded(prompt=[4, 8, 1, 1], answer=[9], source="c"),
]


@dataclass(kw_only=True)
class Recorder(Hash):
    """Keeps what it was shown."""

    def __post_init__(self):
        self.shown = []

    def predict(self, query, query_positions):
        self.shown.append((query.ids.clone(), query_positions.clone()))
        return super().predict(query, query_positions)


def nll(model, prompt, answer, visible, place):
    """-log p of one answer token of ``Hash`` with the answer tokens at ``visible`` to be seen, written out here."""
    text = dict(enumerate(prompt)) | {len(prompt) + i: answer[i] for i in visible}
    seen = sum(((position + 1) * 7919 + token * 104729) % 1000003 for position, token in text.items())
    keys = torch.tensor([seen * 31 + len(prompt) + place])
    return float(-pseudo_random(keys, model.vocab_size).log_softmax(-1)[0, answer[place]])


@pytest.mark.parametrize("order", ["any", "blocks"])
@pytest.mark.parametrize("samples", [1, 5, 128])
def test_a_uniform_model_gives_the_log_of_its_vocabulary(order, samples):
    found = bound(Uniform(), EXAMPLES, order=order, samples=samples, block_size=2)
    assert found.nats.tolist() == pytest.approx([n * math.log(11) for n in (5, 3, 1)])
    assert found.per_token == pytest.approx(math.log(11))
    assert found.standard_error == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("order", ["any", "blocks"])
def test_a_table_is_exact_where_all_is_enumerated(order):
    """Its tokens are independent: any order gives the product of their probabilities."""
    found = bound(Table(), EXAMPLES, order=order, samples=31, block_size=3)
    for example, nats in zip(EXAMPLES, found.nats.tolist(), strict=True):
        places = torch.arange(len(example.answer)) + len(example.prompt)
        log_p = pseudo_random(places, 11).log_softmax(-1)
        assert nats == pytest.approx(-float(log_p[range(len(places)), list(example.answer)].sum()))
    assert found.errors.tolist() == [0, 0, 0]
    assert found.drawing_error == 0


def test_any_order_is_the_mean_over_all_orders():
    """The identity behind the bound: counts and subsets against all permutations, one token at a time."""
    model, example = Hash(), EXAMPLES[0]
    n = len(example.answer)
    chains = [
        sum(nll(model, example.prompt, example.answer, order[:step], order[step]) for step in range(n))
        for order in itertools.permutations(range(n))
    ]
    found = bound(model, [example], order="any", samples=31)
    assert found.rows == 31
    assert float(found.nats) == pytest.approx(sum(chains) / len(chains))


def test_blocks_of_one_are_the_chain_rule_from_left_to_right():
    model = Hash()
    found = bound(model, EXAMPLES, order="blocks", samples=1, block_size=1)
    for example, nats in zip(EXAMPLES, found.nats.tolist(), strict=True):
        chain = sum(nll(model, example.prompt, example.answer, range(i), i) for i in range(len(example.answer)))
        assert nats == pytest.approx(chain)
    assert found.rows == 5 + 3 + 1
    assert found.errors.tolist() == [0, 0, 0]


def test_blocks_are_summed_over_orders_within_each():
    model, example = Hash(), EXAMPLES[0]
    total = 0.0
    for block in ([0, 1], [2, 3], [4]):
        clean = list(range(block[0]))
        orders = list(itertools.permutations(block))
        for order in orders:
            for step, place in enumerate(order):
                total += nll(model, example.prompt, example.answer, clean + list(order[:step]), place) / len(orders)
    found = bound(model, [example], order="blocks", samples=3, block_size=2)
    assert float(found.nats) == pytest.approx(total)


@pytest.mark.parametrize("samples", [1, 3, 4, 7])
def test_drawn_bounds_are_unbiased(samples):
    """Fewer draws than subsets: the mean over seeds is the enumerated bound."""
    exact = float(bound(Hash(), EXAMPLES[:1], samples=31).nats)
    drawn = torch.stack([bound(Hash(), EXAMPLES[:1], samples=samples, seed=seed).nats for seed in range(400)]).squeeze()
    assert float(drawn.mean()) == pytest.approx(exact, abs=4 * float(drawn.std()) / 20)
    assert float(drawn.std()) > 0.01


def test_the_drawing_error_is_that_of_the_draws_or_wider():
    """Stratified counts: the spread over seeds is at most what the draws of one seed say, up to chance."""
    found = [bound(Hash(), EXAMPLES[:1], samples=20, seed=seed) for seed in range(200)]
    spread = float(torch.stack([one.nats for one in found]).std())
    said = float(torch.stack([one.errors for one in found]).square().mean().sqrt())
    assert 0.3 * said < spread < 1.1 * said
    assert bound(Hash(), EXAMPLES[:1], samples=1).drawing_error is None


def test_counts_are_stratified():
    """As many draws as tokens: each number of hidden tokens comes once."""
    model = Recorder()
    bound(model, EXAMPLES[:1], samples=5, batch_size=5)
    ids, _ = model.shown[0]
    assert sorted((ids == model.mask_id).sum(1).tolist()) == [1, 2, 3, 4, 5]


def test_prompts_are_clean_and_the_tail_is_hidden_and_not_asked():
    model = Recorder()
    bound(model, EXAMPLES[:1], samples=9, canvas=8, batch_size=9)
    ids, at = model.shown[0]
    assert (ids[:, :2] == torch.tensor([1, 2])).all()
    assert (ids[:, 7:] == model.mask_id).all()
    assert at[:, 1].max() < 7
    assert bool((ids[at[:, 0], at[:, 1]] == model.mask_id).all())


@pytest.mark.parametrize("order", ["any", "blocks"])
def test_batches_do_not_matter(order):
    one = bound(Hash(), EXAMPLES, order=order, samples=6, block_size=4, batch_size=1)
    many = bound(Hash(), EXAMPLES, order=order, samples=6, block_size=4, batch_size=50)
    torch.testing.assert_close(one.nats, many.nats)
    torch.testing.assert_close(one.errors, many.errors)
    assert one.rows == many.rows == bound_rows(EXAMPLES, order, 6, 4)


def test_one_block_is_any_order():
    whole = bound(Hash(), EXAMPLES, order="blocks", samples=31, block_size=8)
    torch.testing.assert_close(whole.nats, bound(Hash(), EXAMPLES, order="any", samples=31).nats)


def test_the_error_over_examples_by_hand():
    """Sums 4 and 8 of 1 and 3 tokens: m = 3, residuals 1 and -1, sqrt(2/1 * 2) / 4 = 0.5."""

    class Priced(Toy):
        def score(self, query, query_positions, targets, want=()):
            price = torch.tensor([4.0, 8 / 3], dtype=torch.float64)
            scored = Uniform().score(query, query_positions, targets)
            return type(scored)(nll=price[(query.ids[query_positions[:, 0], 0] == 5).long()])

    pairs = [Encoded(prompt=[1], answer=[2], source=""), Encoded(prompt=[5], answer=[2, 2, 2], source="")]
    found = bound(Priced(), pairs, samples=7)
    assert found.nats.tolist() == pytest.approx([4, 8])
    assert found.per_token == pytest.approx(3)
    assert found.standard_error == pytest.approx(0.5)


def test_a_loaded_model_with_both_bounds():
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1, seed=3), device="cpu")
    lm.model.train()
    found = likelihoods(lm, EXAMPLES, samples=31, block_size=2)
    assert lm.model.training
    summary = found.summary()
    assert summary["tokens"] == 9
    assert summary["block_size"] == 2
    gap = found.any_order.per_token - found.by_block.per_token
    assert summary["gap"]["nats_per_token"] == pytest.approx(gap)
    assert abs(gap) > 1e-6
    alone = likelihood_bound(lm, EXAMPLES[:1], order="blocks", samples=31, block_size=2)
    assert float(found.by_block.nats[0]) == pytest.approx(float(alone.nats[0]), rel=1e-5)


def test_what_cannot_be_scored():
    with pytest.raises(UserError, match="at least one answer"):
        bound(Uniform(), [])
    with pytest.raises(UserError, match="x: expected an answer to score, found one without tokens"):
        bound(Uniform(), [Encoded(prompt=[1], answer=[], source="x")])
    with pytest.raises(UserError, match="a: expected at most canvas=4 tokens, found 5"):
        bound(Uniform(), EXAMPLES, canvas=4)
    with pytest.raises(UserError, match="samples=0"):
        bound(Uniform(), EXAMPLES, samples=0)
    shifted = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1), shift=True, device="cpu")
    with pytest.raises(UserError, match="empty prompt"):
        likelihood_bound(shifted, [Encoded(prompt=[], answer=[1, 2], source="")])


@pytest.mark.parametrize("attention", ["bidirectional", "block_causal", "context_causal"])
def test_blocks_are_read_as_blockwise_training_reads_them(attention):
    """All of a block hidden, block by block: the objective's mean loss is the bound's, whatever the attention."""
    lm = from_scratch(
        ScratchSpec(hidden_size=16, layers=1, heads=1, seed=3), attention=attention, block_size=1, device="cpu"
    )
    example = EXAMPLES[0]
    text = Example(prompt=example.prompt, answer=example.answer, order=0, canvas=8)
    batch = lay_out([text], block_size=1, filler_id=lm.filler_id)
    objective = Blockwise(block_size=1, blocks="all", eps=1 - 1e-9)
    noised = objective.noise(batch, model=lm, draws=Draws(seed=0), progress=0.0)
    with torch.no_grad():
        scored = lm.score(noised.query, noised.query_positions, noised.targets)
    found = likelihoods(lm, [example], samples=1, block_size=1, canvas=8)
    assert len(scored.nll) == 5
    assert float(found.by_block.nats) == pytest.approx(float(scored.nll.sum()), rel=1e-5)
    assert (found.any_order is None) == (attention == "context_causal")
    if attention == "context_causal":
        assert found.gap is None
        assert found.summary()["any_order"] is None
        with pytest.raises(UserError, match="no likelihood in any order"):
            likelihood_bound(lm, [example])
