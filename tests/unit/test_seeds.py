import pytest
import torch

from unmask.core.random import Draws, RecordedDraws


def test_a_draw_depends_on_its_keys_only():
    draws = Draws(seed=3)
    alone = draws.uniform("mask", torch.tensor([5]), torch.tensor([2]))
    grid = draws.uniform("mask", torch.arange(8)[:, None], torch.arange(4))
    assert grid.shape == (8, 4)
    assert alone.item() == grid[5, 2].item()


def test_seed_name_and_key_order_matter():
    a = Draws(seed=0).uniform("t", torch.arange(100))
    assert not torch.equal(a, Draws(seed=1).uniform("t", torch.arange(100)))
    assert not torch.equal(a, Draws(seed=0).uniform("mask", torch.arange(100)))
    one, two = torch.tensor([1]), torch.tensor([2])
    assert Draws(seed=0).uniform("x", one, two) != Draws(seed=0).uniform("x", two, one)


def test_uniform_is_uniform_and_uncorrelated():
    u = Draws(seed=7).uniform("mask", torch.arange(400)[:, None], torch.arange(500)).flatten()
    assert float(u.min()) >= 0
    assert float(u.max()) < 1
    counts = torch.histc(u, bins=20, min=0, max=1)
    chi2 = ((counts - 10_000) ** 2 / 10_000).sum()
    assert chi2 < 43.8  # 19 degrees of freedom, p = 0.001
    assert abs(float(torch.corrcoef(torch.stack([u[:-1], u[1:]]))[0, 1])) < 0.01
    assert abs(float(torch.corrcoef(torch.stack([u[:-500], u[500:]]))[0, 1])) < 0.01


@pytest.mark.parametrize("begin", [0, 17, 12_345_678])
def test_stratified_covers_the_interval(begin):
    u = Draws(seed=1).stratified("t", torch.arange(begin, begin + 64)).sort().values
    gaps = torch.diff(u)
    assert gaps.max() < 3 / 64  # independent draws leave gaps of about ln(64)/64 = 4.2/64
    assert abs(float(u.mean()) - 0.5) < 0.02


def test_recorded_draws_replace_named_ones():
    recorded = RecordedDraws(seed=0, values={"t": torch.tensor([0.25])})
    assert recorded.stratified("t", torch.tensor([9])).item() == 0.25
    assert recorded.uniform("t", torch.tensor([9])).item() == 0.25
    assert torch.equal(recorded.uniform("mask", torch.arange(3)), Draws(seed=0).uniform("mask", torch.arange(3)))
