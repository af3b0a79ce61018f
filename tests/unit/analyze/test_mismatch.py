"""Gradients in other contexts: zero where nothing changes, what they must be where that is known."""

from dataclasses import dataclass

import pytest
import torch
from subjects import LoadedToy, collator, many

from unmask.analyze import mismatch
from unmask.analyze.mismatch import mismatch_rows
from unmask.core.random import Draws
from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import Blockwise

E = 6


class Bias(torch.nn.Module):
    """One logit for each token, whatever is read."""

    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.linspace(-1, 1, 11))


@dataclass(kw_only=True)
class Blind(LoadedToy):
    """Answers alike in every context."""

    def __post_init__(self):
        self.model = Bias()

    def predict(self, query, query_positions):
        return self.model.logits.expand(len(query_positions), -1)


@pytest.fixture(scope="module")
def lm():
    return from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=1))


@pytest.fixture(scope="module")
def found(lm):
    return mismatch(lm, many(E), collator(), passes=3, batch_size=4, name="tiny")


def of(found, context):
    return [row for row in found.contexts if row["context"] == context]


def test_zero_where_nothing_changes_and_grows(found):
    for context in ("prefix_noise", "suffix_visibility"):
        rows = of(found, context)
        assert (rows[0]["rate"], rows[0]["distance"]) == (0.0, 0.0)
        assert rows[0]["cosine"] == pytest.approx(1.0)
        assert 0 < rows[1]["distance"] < rows[-1]["distance"]
        assert all(-1 <= row["cosine"] < 1 for row in rows[1:])
    assert of(found, "aligned")[0]["distance"] == 0.0
    for context in ("vanilla_context", "vanilla", "other_draws"):
        assert of(found, context)[0]["distance"] > 0.05
    assert all(row["model"] == "tiny" for row in found.rows())


def test_the_aligned_gradient_is_that_of_the_blockwise_loss(lm, found):
    """By hand: one batch a pass, back-propagated, divided by all examples."""
    objective = Blockwise(block_size=4, weighting="elbo")
    total, grads = 0.0, [torch.zeros_like(weight) for weight in lm.model.parameters()]
    for number in range(3):
        items = [{**vars(example), "order": number * E + i} for i, example in enumerate(many(E))]
        noised = objective.noise(collator()(items), model=lm, draws=Draws(seed=0), progress=1.0)
        loss = objective.loss(lm.score(noised.query, noised.query_positions, noised.targets), noised) / (3 * E)
        total += float(loss.detach())
        for grad, new in zip(grads, torch.autograd.grad(loss, list(lm.model.parameters())), strict=True):
            grad += new
    (row,) = of(found, "aligned")
    assert row["loss"] == pytest.approx(total, rel=1e-5)
    assert row["norm"] == pytest.approx(float(torch.cat([g.flatten() for g in grads]).norm()), rel=1e-4)


def test_batch_size_changes_nothing_but_rounding(lm, found):
    again = mismatch(lm, many(E), collator(), passes=3, batch_size=100)
    for one, other in zip(found.contexts, again.contexts, strict=True):
        assert one["distance"] == pytest.approx(other["distance"], rel=1e-3, abs=1e-6)
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["prefix_chance"] == other["prefix_chance"]


def test_a_model_that_reads_no_context_has_no_mismatch():
    found = mismatch(Blind(), many(E), collator(), passes=2)
    for row in found.contexts:
        if row["context"] not in ("vanilla", "other_draws"):
            assert row["distance"] == 0.0
            assert row["cosine"] == pytest.approx(1.0)
            assert row["loss"] == found.contexts[0]["loss"]
    assert of(found, "other_draws")[0]["distance"] > 0


def test_one_block_for_all_leaves_no_context_and_makes_vanilla_the_same(lm):
    found = mismatch(lm, many(E), collator(block_size=12), passes=2)
    for row in found.contexts:
        if row["context"] != "other_draws":
            assert row["distance"] == pytest.approx(0.0, abs=1e-5), row["context"]
            assert (row["prefix_chance"], row["suffix_chance"]) == (0.0, 0.0)


def test_the_chances_of_the_theorem(lm):
    """11 answer tokens and the end in blocks of 4: 0, 4 or 8 tokens before the block, 8, 4 or 0 after it."""
    data = [example for example in many(400) if len(example.answer) == 12][:60]
    found = mismatch(lm, data, collator(), passes=4, prefix_noise=(0.25,), suffix_visibility=(0.75, 1.0))
    (noisy,), (seen, shown) = of(found, "prefix_noise"), of(found, "suffix_visibility")
    # Averages over the blocks drawn, each third a little off a third: 240 draws.
    assert noisy["prefix_chance"] == pytest.approx(((1 - 0.75**4) + (1 - 0.75**8)) / 3, abs=0.07)
    assert noisy["suffix_chance"] == 0.0
    assert seen["suffix_chance"] == pytest.approx(((1 - 0.25**4) + (1 - 0.25**8)) / 3, abs=0.07)
    assert shown["suffix_chance"] == pytest.approx(2 / 3, abs=0.07)
    (vanilla,) = of(found, "vanilla_context")
    # With t uniform in [0, 1], the mean of t^n is 1 / (n + 1).
    assert vanilla["prefix_chance"] == pytest.approx(((1 - 1 / 5) + (1 - 1 / 9)) / 3, abs=0.07)
    assert vanilla["suffix_chance"] == pytest.approx(((1 - 1 / 5) + (1 - 1 / 9)) / 3, abs=0.07)


def test_vanilla_cannot_show_the_tail(lm):
    """A canvas of 16 holds a hidden block after the answer's last: visible in the ablation, never to vanilla."""
    data = [example for example in many(8) if len(example.answer) == 12]
    found = mismatch(lm, data, collator(canvas=16), passes=40, suffix_visibility=(1.0,), prefix_noise=())
    (shown,), (vanilla,) = of(found, "suffix_visibility"), of(found, "vanilla_context")
    assert shown["suffix_chance"] == 1.0
    assert vanilla["suffix_chance"] < 2 / 3


def test_the_same_tokens_are_asked_in_vanillas_context():
    """The block as the aligned loss shows it, the rest as vanilla does."""
    from unmask.analyze.mismatch import _blockwise, _VanillaContext
    from unmask.objectives import Vanilla

    vanilla = Vanilla(tail="hidden")
    batch = collator()([{**vars(example), "order": i} for i, example in enumerate(many(E))])
    ask = {"model": Blind(), "draws": Draws(seed=3), "progress": 1.0}
    mine, theirs = _blockwise(4).noise(batch, **ask), vanilla.noise(batch, **ask)
    mixed = _VanillaContext(aligned=_blockwise(4), vanilla=vanilla).noise(batch, **ask)
    assert torch.equal(mixed.query_positions, mine.query_positions)
    assert torch.equal(mixed.weight, mine.weight)
    for example in mine.example.unique().tolist():
        block = int(batch.block[tuple(mine.query_positions[mine.example == example][0].tolist())])
        inside = batch.block[example] == block
        assert torch.equal(mixed.query.ids[example][inside], mine.query.ids[example][inside])
        assert torch.equal(mixed.query.ids[example][~inside], theirs.query.ids[example][~inside])
    assert not torch.equal(mixed.query.ids, mine.query.ids)


def test_rows_are_counted(lm):
    done = []
    mismatch(lm, many(3), collator(), passes=2, batch_size=2, on_rows=done.append)
    assert sum(done) == mismatch_rows(3, 2) == 3 * 2 * (4 + 4 + 4)


def test_training_mode_and_gradients_are_left_alone(lm):
    lm.model.train()
    mismatch(lm, many(2), collator(), passes=1, prefix_noise=(), suffix_visibility=())
    assert lm.model.training
    assert all(weight.grad is None for weight in lm.model.parameters())
    lm.model.eval()


def test_refused():
    with pytest.raises(UserError, match="expected at least one example"):
        mismatch(Blind(), [], collator())
    frozen = Blind()
    frozen.model.requires_grad_(False)
    with pytest.raises(UserError, match="toy: expected a model with trainable parameters, found none"):
        mismatch(frozen, many(2), collator())
