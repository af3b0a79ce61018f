"""CART: context weights by hand and against the dense sum."""

import pytest
import torch
from texts import M, ask, lay

from toys import Hash
from unmask.objectives import Blockwise, Cart, Complementary
from unmask.objectives.cart import NEGLIGIBLE, CartWeight

EPS = 1e-12


def dense(visible, p):
    """w_n = 1/2 sum over visible i != n of p (1 - p)^(|n - i| - 1), term by term."""
    return [
        sum(0.5 * p * (1 - p) ** (abs(n - i) - 1) for i, seen in enumerate(visible) if seen and i != n)
        for n in range(len(visible))
    ]


def weights(batch, coins, p, **options):
    """CE's factors of hidden tokens before any denominator, and the question."""
    n = ask(Cart(p=p, eps=EPS, normaliser="per_masked", **options), batch, t=[0.5] * len(batch.order), mask=coins)
    return n.weight.tolist(), n


def test_by_hand():
    """One visible token, everything after it hidden; p = .3: .15 beside it, .105 two away, .036 five away."""
    found, n = weights(lay((1, 5), block=5), [[0.0] * 6], 0.3)
    assert found == pytest.approx([0.15, 0.105, 0.0735, 0.05145, 0.036015])
    assert float(n.count) == 5
    rowwise = ask(Cart(p=0.3, eps=EPS), lay((1, 5), block=5), t=[0.5], mask=[[0.0] * 6])
    assert rowwise.weight.tolist() == pytest.approx([w / 5 for w in found])
    assert float(rowwise.count) == 1


def test_neighbours_on_both_sides_by_hand():
    """Hidden columns 2 and 4 of 0 .. 5 with p = .5: 2 sees 0, 1, 3, 5 and 4 sees 0, 1, 3, 5."""
    found, _ = weights(lay((1, 5), block=5), [[0.9, 0.9, 0.1, 0.9, 0.1, 0.9]], 0.5)
    half = [0.25 / 2**d for d in range(6)]  # by distance less one
    assert found == pytest.approx([half[1] + half[0] + half[0] + half[2], half[3] + half[2] + half[0] + half[0]])


@pytest.mark.parametrize("p", [0.1, 0.3, 0.8])
def test_one_in_the_middle_half_at_the_edge_and_nothing_alone(p):
    long = 400
    coins = torch.ones(1, 1 + long)
    coins[0, [200, long]] = 0.0
    found, _ = weights(lay((1, long), block=long), coins.tolist(), p)
    assert found == pytest.approx([1.0, 0.5], abs=2e-5 if p == 0.1 else 1e-6)  # the other is hidden, 200 away
    alone, _ = weights(lay((0, 4), block=4), [[0.0] * 4], p)
    assert alone == [0.0] * 4


def test_a_kernel_of_one_sees_its_neighbours_only():
    found, _ = weights(lay((1, 5), block=5), [[0.9, 0.9, 0.1, 0.9, 0.1, 0.1]], 1.0)
    assert found == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("packed", [None, 40], ids=["padded", "packed"])
@pytest.mark.parametrize("p", [0.1, 0.3, 0.8, 1.0])
def test_equals_the_dense_sum_over_its_own_document(p, packed):
    b = lay((3, 13), (0, 9), (4, 1), (2, 17), row_length=packed, tail=4)
    for seed in range(5):
        n = ask(Cart(p=p, normaliser="per_masked"), b, seed=seed)
        for example in range(4):
            visible = (n.query.ids != M)[b.owner == example].tolist()
            hidden = [w for w, seen in zip(dense(visible, p), visible, strict=True) if not seen]
            assert n.weight[n.example == example].tolist() == pytest.approx(hidden, abs=1e-6)


def test_cutting_the_kernel_off_is_below_rounding():
    """All that is cut off on one side weighs half of (1 - p)^reach."""
    reach = len(CartWeight(p=0.1)._kernel(1000)) // 2
    assert reach < 300
    assert 0.9**reach <= NEGLIGIBLE < 0.9 ** (reach - 1)


def test_neighbours_in_a_packed_row_do_not_count():
    """The last token of the first document stands beside the second's visible prompt: .5 as at any edge."""
    b = lay((8, 8), (8, 4), row_length=40)
    assert b.owner[0].tolist() == [0] * 16 + [1] * 12
    coins = torch.ones(1, 28)
    coins[0, 15] = 0.0
    found, _ = weights(b, coins.tolist(), 0.8)
    assert found == pytest.approx([0.5], abs=1e-6)


def test_by_time_as_well():
    """LIFT's re-implementation: w / t over all response tokens."""
    options = {"p": 0.3, "eps": EPS, "normaliser": "per_token"}
    b, draws = lay((1, 5), block=5), {"t": [0.25], "mask": [[0.0] * 6]}
    plain, timed = ask(Cart(**options), b, **draws), ask(Cart(time_weight=True, **options), b, **draws)
    assert plain.weight.tolist() == pytest.approx([0.15, 0.105, 0.0735, 0.05145, 0.036015])
    torch.testing.assert_close(timed.weight, plain.weight * 4)
    assert float(plain.count) == float(timed.count) == 5


@pytest.mark.parametrize("tail", ["supervised", "hidden"])
def test_a_hidden_tail_is_not_seen(tail):
    coins = [[0.9, 0.1, 0.9, 0.9, 0.9]]
    found, _ = weights(lay((1, 2), block=2, tail=2), coins, 0.5, tail=tail)
    assert found == pytest.approx([0.25 + 0.25 + (0.125 + 0.0625 if tail == "supervised" else 0)])


def test_inside_blockwise_later_blocks_are_not_seen():
    """Blocks of 2, the first active: its first token sees the prompt and its neighbour, not the hidden blocks."""
    objective = Blockwise(block_size=2, inner=Cart(p=0.5))
    draws = {"t": [0.5], "mask": [[0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9]]}
    n = ask(objective, lay((1, 6), block=2), block=[0.1], **draws)
    assert n.weight.tolist() == pytest.approx([0.25 + 0.25])
    n = ask(objective, lay((1, 6), block=2), block=[0.4], **{**draws, "mask": [[0.9, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9]]})
    assert n.weight.tolist() == pytest.approx([0.25 + 0.125 + 0.0625 + 0.25])


def test_each_of_two_views_has_its_own_context():
    b, p = lay((2, 14)), 0.3
    n = ask(Complementary(inner=Cart(p=p, normaliser="per_masked")), b)
    assert n.query.ids.shape[0] == 2
    for view in (0, 1):
        visible = (n.query.ids[view] != M).tolist()
        hidden = [w for w, seen in zip(dense(visible, p), visible, strict=True) if not seen]
        assert n.weight[n.query_positions[:, 0] == view].tolist() == pytest.approx(hidden, abs=1e-6)


def test_prompts_count_and_padding_does_not():
    """The shorter of two rows is padded: its last token is at the edge."""
    b = lay((9, 3), (9, 7), block=1)
    coins = torch.ones(2, 16)
    coins[0, 11] = 0.0
    found, n = weights(b, coins.tolist(), 0.8)
    assert found == pytest.approx([0.5], abs=1e-6)
    assert Hash().score(n.query, n.query_positions, n.targets).nll.shape == (1,)
