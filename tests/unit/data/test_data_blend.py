"""Files with weights: exact shares in every stretch, whole passes over each file, no dependence on anything else."""

import pickle

import pytest
import torch

from unmask.data import Blend, BlendSampler
from unmask.data.blend import schedule
from unmask.errors import UserError

BLEND = Blend(members=(range(10), range(10, 13), range(13, 20)), weights=(2.0, 1.0, 0.7))


@pytest.mark.parametrize("weights", [(2, 1), (1, 1, 1), (0.7, 0.2, 0.1), (5, 3, 2, 1, 1), (100, 1)])
def test_every_stretch_has_the_shares(weights):
    length = 3000
    drawn = schedule(weights, length)
    assert len(drawn) == length
    for index, weight in enumerate(weights):
        counts = torch.cat([torch.zeros(1), (drawn == index).cumsum(0)])
        exact = torch.arange(length + 1) * weight / sum(weights)
        assert (counts - exact).abs().max() < len(weights) / 2 + 0.5, "of every stretch from the start"
        starts = torch.arange(0, length - 200, 37)
        stretch = counts[starts + 200] - counts[starts]
        assert (stretch - 200 * weight / sum(weights)).abs().max() <= len(weights), "of every 200 in a row"


def test_a_file_is_shown_whole_before_any_of_it_comes_again():
    sampler = BlendSampler(BLEND, length=500, seed=0)
    shown = [sampler(order) for order in range(500)]
    for members in BLEND.members:
        mine = [index for index in shown if index in members]
        passes = [mine[i : i + len(members)] for i in range(0, len(mine) - len(members), len(members))]
        assert len(passes) > 5
        assert all(sorted(each) == list(members) for each in passes)
        assert len({tuple(each) for each in passes}) > 3, "each pass has an order of its own"


def test_the_run_is_a_function_of_the_position_and_the_seed():
    sampler = BlendSampler(BLEND, length=300, seed=0)
    forward = [sampler(order) for order in range(300)]
    assert [sampler(order) for order in reversed(range(300))] == forward[::-1]
    assert [pickle.loads(pickle.dumps(sampler))(order) for order in range(300)] == forward
    longer = BlendSampler(BLEND, length=900, seed=0)
    assert [longer(order) for order in range(300)] == forward
    other = BlendSampler(BLEND, length=300, seed=1)
    assert [other(order) for order in range(300)] != forward


def test_one_file_is_a_plain_shuffle():
    from unmask.data import Shuffled

    alone = BlendSampler(Blend(members=(range(7),), weights=(3.0,)), length=30, seed=5)
    plain = Shuffled(size=7, seed=5)
    assert [alone(order) for order in range(30)] == [plain(order) for order in range(30)]


@pytest.mark.parametrize(
    ("members", "weights"), [(([0], [1]), (1.0,)), (([0],), (0.0,)), (([0], []), (1.0, 1.0)), ((), ())]
)
def test_weights_that_fit_no_files_are_refused(members, weights):
    with pytest.raises(UserError):
        Blend(members=members, weights=weights)
