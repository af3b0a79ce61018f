"""Invariants (a) to (i) of Blockwise SFT, and the unbiased estimator by enumeration."""

import itertools

import pytest
import torch

from toys import Hash
from unmask.canvas import Example, lay_out
from unmask.objectives import Blockwise, Vanilla
from unmask.seeds import Draws, RecordedDraws

M = Hash().mask_id


def one(length=9, canvas=16, block=4, order=0):
    answer = [(i % 8) + 1 for i in range(length - 1)] + [9]
    return lay_out([Example(prompt=[1, 2], answer=answer, order=order, canvas=canvas)], block_size=block, filler_id=9)


def ask(objective, b, **values):
    recorded = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}
    return objective.noise(b, model=Hash(), draws=RecordedDraws(seed=0, values=recorded), progress=0)


def test_by_hand():
    """9 answer tokens, blocks of 4, canvas 16: block 1 of 3 is active, its columns 0 and 2 are masked."""
    u = [[0.0] * 2 + [0.0] * 4 + [0.1, 0.9, 0.2, 0.8] + [0.0] * 8]
    n = ask(Blockwise(block_size=4), one(), t=[0.5], block=[0.4], mask=u)
    assert n.query.ids.tolist() == [[1, 2, 1, 2, 3, 4, M, 6, M, 8] + [M] * 8]
    assert n.at.tolist() == [[0, 6], [0, 8]]
    assert n.targets.tolist() == [5, 7]
    assert n.weight.tolist() == [0.5, 0.5]
    assert float(n.count) == 1


def test_elbo_weight_by_hand():
    """Uniform choice: A / t over the 12 filled columns; by length with a short last block: (n / |a|) / t."""
    u = [[0.0] * 18]
    n = ask(Blockwise(block_size=4, weighting="elbo", eps=1e-9), one(), t=[0.5], block=[0.4], mask=u)
    assert n.weight.tolist() == pytest.approx([3 / 0.5 / 12] * 4)
    short = Blockwise(block_size=4, weighting="elbo", eps=1e-9, choose="length", padding="released")
    n = ask(short, one(), t=[0.5], block=[0.95], mask=u)
    assert n.at.tolist() == [[0, 10]]
    assert n.weight.tolist() == pytest.approx([9 / 1 / 0.5 / 9])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("padding", ["canvas", "released"])
def test_prefix_clean_suffix_hidden_loss_inside(seed, padding):
    b = one()
    n = Blockwise(block_size=4, padding=padding).noise(b, model=Hash(), draws=Draws(seed=seed), progress=0)
    if not len(n.at):
        return
    block = int(b.block[0, n.at[0, 1]])
    assert {int(b.block[0, c]) for _, c in n.at.tolist()} == {block}
    ids = n.query.ids[0]
    end = int(b.text_length[0]) if padding == "released" else 16
    for column in range(2, 18):
        offset = column - 2
        if offset // 4 < block or offset >= end:
            assert ids[column] == b.ids[0, column]
        elif offset // 4 > block:
            assert ids[column] == M


def test_blocks_cover_the_response_and_are_disjoint():
    """Over many draws with everything masked every filled column is asked, in blocks that partition them."""
    b, seen = one(), set()
    for u in torch.linspace(0, 0.999, 30).tolist():
        n = ask(Blockwise(block_size=4), b, block=[u], t=[1.0], mask=[[0.0] * 18])
        seen.add(tuple(c for _, c in n.at.tolist()))
    assert seen == {(2, 3, 4, 5), (6, 7, 8, 9), (10, 11, 12, 13)}


def test_one_block_for_all_is_vanilla_with_the_per_masked_normaliser():
    b = one(length=8, canvas=8, block=8)
    for seed in range(10):
        mine = Blockwise(block_size=8).noise(b, model=Hash(), draws=Draws(seed=seed), progress=0)
        theirs = Vanilla(normaliser="per_masked_row").noise(b, model=Hash(), draws=Draws(seed=seed), progress=0)
        assert torch.equal(mine.query.ids, theirs.query.ids)
        assert torch.equal(mine.weight, theirs.weight)


def test_blocks_of_one_are_next_token_prediction_on_a_masked_canvas():
    n = ask(Blockwise(block_size=1), one(length=4, canvas=4, block=1), block=[0.5], t=[1.0], mask=[[0.0] * 6])
    assert n.query.ids.tolist() == [[1, 2, 1, 2, M, M]]
    assert n.at.tolist() == [[0, 4]]


@pytest.mark.parametrize("choose", ["uniform", "length"])
def test_elbo_is_unbiased_by_enumeration(choose):
    """J = sum over blocks of E_t[(1/t) sum of masked CE]: every (block, pattern) on a grid of t, exactly weighted."""
    b = one(length=6, canvas=8, block=4)
    objective = Blockwise(
        block_size=4, weighting="elbo", normaliser="per_token", eps=1e-12, choose=choose, padding="released"
    )
    grid = [(i + 0.5) / 8 for i in range(8)]
    length, estimate, target = 6, 0.0, 0.0
    for block, (start, end) in enumerate([(0, 4), (4, 6)]):
        share = 0.5 if choose == "uniform" else (end - start) / length
        middle = (block + 0.5) / 2 if choose == "uniform" else (start + 0.5) / length
        for t, pattern in itertools.product(grid, itertools.product([0, 1], repeat=end - start)):
            u = torch.full((1, 10), 0.999999)
            for i, hit in enumerate(pattern):
                if hit:
                    u[0, 2 + start + i] = 0.0
            n = ask(objective, b, block=[middle], t=[t], mask=u.tolist())
            nll = Hash().score(n.query, n.at, n.targets).nll
            chance = t ** sum(pattern) * (1 - t) ** (len(pattern) - sum(pattern)) / len(grid)
            estimate += share * chance * float((n.weight * nll).sum() / n.count)
            target += chance * float(nll.sum() / t) / length
    assert estimate == pytest.approx(target, rel=1e-5)


@pytest.mark.parametrize(("prefix", "suffix"), [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
def test_ablation_knobs_move_context_but_never_the_loss(prefix, suffix):
    b = one()
    values = {"block": [0.4], "t": [1.0], "mask": [[0.0] * 18]}
    n = ask(Blockwise(block_size=4, prefix_noise=prefix, suffix_visibility=suffix), b, **values)
    assert n.at.tolist() == [[0, c] for c in (6, 7, 8, 9)]
    assert (n.query.ids[0, 2:6] == M).all() == (prefix == 1.0)
    assert (n.query.ids[0, 10:] == b.ids[0, 10:]).all() == (suffix == 1.0)


def test_changing_the_hidden_suffix_changes_nothing_and_the_prefix_does():
    """Through a model: (h) and (i)."""
    values = {"block": [0.4], "t": [1.0], "mask": [[0.0] * 18]}

    def logits(edit):
        b = one()
        b.ids[0, edit] = 7
        n = ask(Blockwise(block_size=4), b, **values)
        return Hash().logits(n.query, n.at)

    plain = logits([])
    assert torch.equal(plain, logits([12]))
    assert not torch.equal(plain, logits([3]))
