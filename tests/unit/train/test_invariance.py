"""The same gradient however a step's examples are cut into micro-batches."""

import json

import pytest
import torch

from unmask.core.random import Draws
from unmask.data import Collator, OrderedExamples
from unmask.objectives import Blockwise, Vanilla
from unmask.train import Layout, TrainRun, train
from unmask.train.trainer import DiffusionTrainer

OBJECTIVES = [
    Vanilla(normaliser=name) for name in ("per_sequence", "per_token", "per_row", "per_masked", "per_masked_row")
] + [Blockwise(block_size=4), Blockwise(block_size=4, weighting="elbo", normaliser="per_token")]


@pytest.fixture
def gradients(tiny, sorting, tmp_path, monkeypatch):
    """Run one optimiser step and return the gradients that the optimiser saw, and the run."""
    seen = {}
    close = DiffusionTrainer._close_window

    def record(self, model):
        value = close(self, model)
        seen.update({name: p.grad.clone() for name, p in model.named_parameters()})
        return value

    monkeypatch.setattr(DiffusionTrainer, "_close_window", record)

    def step(objective, *, batch_size, accumulate, pack=False):
        seen.clear()
        run = TrainRun(objective=objective, steps=1, batch_size=batch_size, accumulate=accumulate, max_grad_norm=0.0)
        out = tmp_path / f"{batch_size}x{accumulate}-{pack}"
        result = train(
            tiny(), sorting, run, out=out, layout=Layout(block_size=4, max_length=160, pack=pack), show=False
        )
        return dict(seen), result

    return step


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: f"{o.name}-{getattr(o, 'normaliser', '')}")
def test_four_rows_at_once_or_one_at_a_time(gradients, objective):
    whole, a = gradients(objective, batch_size=4, accumulate=1)
    pieces, b = gradients(objective, batch_size=1, accumulate=4)
    for total in ("supervised_tokens", "forward_tokens"):
        assert a.totals[total] == b.totals[total] > 0
    assert a.totals["flops"] == pytest.approx(b.totals["flops"])
    for name, gradient in whole.items():
        torch.testing.assert_close(pieces[name], gradient, atol=1e-6, rtol=1e-4)
    losses = [json.loads((r.folder / "metrics.jsonl").read_text().splitlines()[-1])["loss"] for r in (a, b)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: f"{o.name}-{getattr(o, 'normaliser', '')}")
def test_padded_or_packed(gradients, objective):
    padded, a = gradients(objective, batch_size=8, accumulate=1)
    packed, b = gradients(objective, batch_size=8, accumulate=1, pack=True)
    assert b.totals["forward_tokens"] == a.totals["forward_tokens"]
    assert b.totals["flops"] == pytest.approx(a.totals["flops"])
    for name, gradient in padded.items():
        torch.testing.assert_close(packed[name], gradient, atol=1e-6, rtol=1e-4)


def test_gradient_of_a_step_is_the_gradient_of_the_one_mean(gradients, tiny, sorting):
    """Against autograd on the whole batch, without the Trainer."""
    objective = Vanilla(normaliser="per_token")
    seen, _ = gradients(objective, batch_size=1, accumulate=4)
    lm, draws = tiny(), Draws(seed=0)
    collator = Collator(layout=Layout(block_size=4, max_length=160), filler_id=lm.filler_id, draws=draws)
    rows = OrderedExamples(sorting, seed=0, length=4)
    noised = objective.noise(collator([rows[i] for i in range(4)]), model=lm, draws=draws, progress=0)
    lm.model.train()
    loss = objective.loss(lm.score(noised.query, noised.query_positions, noised.targets), noised) / noised.count
    loss.backward()
    for name, parameter in lm.model.named_parameters():
        torch.testing.assert_close(seen[name], parameter.grad, atol=1e-6, rtol=1e-4)


def test_seeds_matter(tiny, sorting, tmp_path):
    def weights(seed):
        lm = tiny()
        train(lm, sorting, TrainRun(steps=1, lr=1e-2, seed=seed), out=tmp_path / f"{seed}", show=False)
        return next(lm.model.parameters()).detach().clone()

    assert not torch.equal(weights(0), weights(1))
