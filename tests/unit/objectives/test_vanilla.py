import pytest
import torch

from toys import Hash
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws, RecordedDraws
from unmask.objectives import Vanilla

M = Hash().mask_id


def one(canvas=8):
    return lay_out([Example(prompt=[1, 2], answer=[3, 4, 5, 9], order=0, canvas=canvas)], block_size=4, filler_id=9)


def recorded(t, u):
    return RecordedDraws(seed=0, values={"t": torch.tensor([t]), "mask": torch.tensor([u])})


# Uniform numbers for 2 prompt and 8 canvas columns; with t = .5 the canvas columns 0, 3, 4 and 7 are masked.
U = [0.0, 0.0, 0.1, 0.9, 0.7, 0.2, 0.3, 0.8, 0.6, 0.4]


def test_by_hand_with_supervised_tail():
    n = Vanilla(eps=1e-9).noise(one(), model=Hash(), draws=recorded(0.5, U), progress=0)
    assert n.query.ids.tolist() == [[1, 2, M, 4, 5, M, M, 9, 9, M]]
    assert n.query_positions.tolist() == [[0, 2], [0, 5], [0, 6], [0, 9]]
    assert n.targets.tolist() == [3, 9, 9, 9]
    assert n.weight.tolist() == pytest.approx([2 / 8] * 4)  # 1/t over the 8 columns of the canvas
    assert float(n.count) == 1


def test_by_hand_with_hidden_tail():
    n = Vanilla(eps=1e-9, tail="hidden").noise(one(), model=Hash(), draws=recorded(0.5, U), progress=0)
    assert n.query.ids.tolist() == [[1, 2, M, 4, 5, M, M, M, M, M]]
    assert n.query_positions.tolist() == [[0, 2], [0, 5]]
    assert n.weight.tolist() == pytest.approx([2 / 4] * 2)


def test_t_and_weight_follow_the_guideline():
    """p = (1 - eps) t + eps, weight 1/p (LLaDA's guideline): t = 0 gives the largest weight, 1/eps."""
    u = [0.0] * 10
    n = Vanilla(normaliser="per_row").noise(one(), model=Hash(), draws=recorded(0.0, u), progress=0)
    assert n.weight.tolist() == pytest.approx([1000.0] * 8)


@pytest.mark.parametrize("stratified", [True, False])
def test_share_of_masked_tokens_is_t(stratified):
    b = lay_out(
        [Example(prompt=[1], answer=[2] * 31 + [9], order=i, canvas=32) for i in range(512)], block_size=8, filler_id=9
    )
    n = Vanilla(stratified=stratified).noise(b, model=Hash(), draws=Draws(seed=0), progress=0)
    share = len(n.query_positions) / (512 * 32)
    assert abs(share - 0.5) < (0.01 if stratified else 0.05)  # stratified t leaves only the coins' variance
