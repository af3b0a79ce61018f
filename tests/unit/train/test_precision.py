"""Weights in half precision: small updates are lost, which is told; float32 copies do not lose them."""

import shutil

import pytest
import torch

from unmask.models import load
from unmask.objectives import Vanilla
from unmask.train import TrainRun, train
from unmask.train.precision import lost_updates

RUN = {"objective": Vanilla(), "steps": 8, "batch_size": 4, "lr": 1e-6, "schedule": "constant", "warmup": 0.0}


def trained(tiny, sorting, out, dtype, **more):
    """Return the largest change of the weights (norms aside, whose weights are 1), the result, and what was told."""
    lm, said = tiny(), []
    lm.model.to(dtype)
    before = {name: weight.detach().clone() for name, weight in lm.model.named_parameters()}
    result = train(lm, sorting, TrainRun(**{**RUN, **more}), out=out, show=False, tell=said.append)
    after = dict(lm.model.named_parameters())
    return {name: float((after[name].detach() - old).abs().max()) for name, old in before.items()}, result, said


def test_the_share_of_lost_updates_is_exact():
    weights = torch.tensor([1.0, 0.02, 1e-4, 1e-6], dtype=torch.bfloat16)
    assert lost_updates([weights], 1e-5) == 0.5  # half the spacing at 1e-4 is 2.4e-7, at 0.02 it is 6.1e-5
    assert lost_updates([weights.float()], 1e-12) == 0.0


def test_at_a_small_rate_bfloat16_weights_stay_and_float32_weights_move(tiny, sorting, tmp_path):
    moved, _, said = trained(tiny, sorting, tmp_path / "half", torch.bfloat16)
    still = [name for name, change in moved.items() if "norm" in name]
    assert still
    assert all(moved[name] == 0 for name in still)  # weights of 1
    assert any("run.lr=1e-06 is too small for weights in bfloat16" in line for line in said)
    moved, _, said = trained(tiny, sorting, tmp_path / "full", torch.float32)
    assert all(change > 0 for name, change in moved.items() if name in still)
    assert not any("too small" in line for line in said)


def test_master_weights_add_up_what_bfloat16_would_lose_and_resume_bit_for_bit(tiny, sorting, tmp_path):
    run = {"master_weights": True, "lr": 2e-4, "steps": 40, "save_every": 20}
    without, _, _ = trained(tiny, sorting, tmp_path / "without", torch.bfloat16, lr=2e-4, steps=40)
    moved, whole, said = trained(tiny, sorting, tmp_path / "whole", torch.bfloat16, **run)
    ones = [name for name in moved if "norm" in name]
    assert all(without[name] == 0 for name in ones)
    assert all(moved[name] > 0 for name in ones)
    assert not any("too small" in line for line in said)
    shutil.rmtree(tmp_path / "whole/checkpoints/checkpoint-40")
    before = dict(load(str(whole.model)).model.named_parameters())
    shutil.rmtree(whole.model)
    lm = tiny()
    lm.model.to(torch.bfloat16)
    again = train(lm, sorting, TrainRun(**{**RUN, **run}), out=tmp_path / "whole", resume=True, show=False)
    after = dict(load(str(again.model)).model.named_parameters())
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert next(iter(after.values())).dtype == torch.bfloat16


@pytest.mark.parametrize("ema", [None, 0.9])
def test_copies_of_float32_weights_are_not_made(tiny, sorting, tmp_path, ema):
    one = trained(tiny, sorting, tmp_path / "one", torch.float32, master_weights=True, ema=ema)[0]
    assert one == trained(tiny, sorting, tmp_path / "two", torch.float32, ema=ema)[0]
