"""Complementary views: what is supervised, how much it counts, and the expectation by enumeration."""

import itertools
import math

import pytest
import torch
from knowing import Known
from texts import M, ask, lay, places

from toys import Hash
from unmask.config.components import choose
from unmask.errors import UserError
from unmask.objectives import OBJECTIVES, Blockwise, Complementary, Lift, Vanilla

WHOLE = {
    "vanilla": "vanilla",
    "gift": "gift",
    "cart": "cart",
    "papl": "papl",
    "lift-2": {"name": "lift", "components": 2},
    "lift-3": "lift",
    "all-blocks": {"name": "blockwise", "block_size": 4, "blocks": "all"},
    "all-blocks-lift": {"name": "blockwise", "block_size": 4, "blocks": "all", "inner": "lift"},
    "two-streams": {"name": "blockwise", "block_size": 4, "blocks": "all", "layout": "two_streams"},
    "two-streams-lift": {
        "name": "blockwise", "block_size": 4, "blocks": "all", "layout": "two_streams", "inner": "lift"
    },
    "block-diffusion": {"name": "block_diffusion", "block_size": 4},
}  # fmt: skip
ONE_BLOCK = {
    "blockwise": {"name": "blockwise", "block_size": 4},
    "blockwise-lift": {"name": "blockwise", "block_size": 4, "inner": "lift"},
    "blockwise-gift": {"name": "blockwise", "block_size": 4, "inner": "gift"},
}
each_layout = pytest.mark.parametrize("packed", [None, 60], ids=["padded", "packed"])


def around(inner):
    return Complementary(inner=choose(OBJECTIVES, inner))


def test_by_hand():
    """t = .25: columns 0 and 2 in one view at 1 / t, 1 and 3 in the other at 1 / (1 - t); half of the loss each."""
    b = lay((1, 4), block=4)
    n = ask(Complementary(inner=Vanilla(eps=1e-12)), b, t=[0.25], mask=[[0.0, 0.1, 0.9, 0.2, 0.8]])
    a, c, d, e, f = b.ids[0].tolist()
    assert n.query.ids.tolist() == [[a, M, d, M, f], [a, c, M, e, M]]
    assert n.query_positions.tolist() == [[0, 1], [0, 3], [1, 2], [1, 4]]
    assert n.targets.tolist() == [c, e, d, f]
    assert n.weight.tolist() == pytest.approx([4 / 4 / 2] * 2 + [4 / 3 / 4 / 2] * 2)
    assert n.noise_level.tolist() == pytest.approx([0.25] * 2 + [0.75] * 2)
    assert float(n.count) == 1
    assert n.group.tolist() == [0, 0, 1, 1]


def test_the_other_view_is_never_weighted_more_than_the_smallest_level_allows():
    n = ask(Complementary(inner=Vanilla(eps=0.01)), lay((1, 2), block=2), t=[1 - 1e-9], mask=[[0.0, 0.1, 1.0]])
    assert n.weight.tolist() == pytest.approx([1 / 2 / 2, 100 / 2 / 2])


@pytest.mark.parametrize("normaliser", ["per_sequence", "per_token", "per_row", "fixed_length", "per_masked_row"])
def test_the_first_view_is_the_inner_methods_at_half_the_weight(normaliser):
    b = lay((3, 20), (0, 9), (4, 1))
    for inner in (Vanilla(normaliser=normaliser), Lift(normaliser=normaliser)):
        for seed in range(3):
            alone, n = ask(inner, b, seed=seed), ask(Complementary(inner=inner), b, seed=seed)
            first = len(alone.query_positions)
            assert torch.equal(n.query.ids[:3], alone.query.ids)
            assert torch.equal(n.query_positions[:first], alone.query_positions)
            assert (n.query_positions[first:, 0] >= 3).all()
            torch.testing.assert_close(2 * n.weight[:first] / n.count, alone.weight / alone.count)


def test_the_mean_over_masked_tokens_of_both_views():
    """per_masked counts what is asked: every response token once, at weight 1."""
    n = ask(Complementary(inner=Vanilla(normaliser="per_masked")), lay((3, 20), (0, 8)))
    assert n.weight.tolist() == [1.0] * 28
    assert float(n.count) == 28


@each_layout
@pytest.mark.parametrize("inner", WHOLE.values(), ids=list(WHOLE))
def test_every_response_token_once(inner, packed):
    """Disjoint, and together the whole response: of the example, or of each of its blocks."""
    shapes = [(3, 20), (0, 8), (4, 4), (2, 28)]
    b = lay(*shapes, row_length=packed)
    everything = [(e, prompt + i) for e, (prompt, answer) in enumerate(shapes) for i in range(answer)]
    for seed in range(4):
        n = ask(around(inner), b, seed=seed)
        assert sorted(places(n)) == everything
        row, column = n.query_positions.unbind(1)
        assert (n.query.ids[row, column] == M).all()
        real = zip(b.owner[~b.is_pad].tolist(), b.position[~b.is_pad].tolist(), b.ids[~b.is_pad].tolist(), strict=True)
        gold = {(e, position): token for e, position, token in real}
        assert n.targets.tolist() == [gold[place] for place in places(n)]


@each_layout
@pytest.mark.parametrize("inner", ONE_BLOCK.values(), ids=list(ONE_BLOCK))
def test_every_token_of_the_active_block_once(inner, packed):
    shapes = [(3, 20), (0, 8), (4, 4), (2, 28)]
    b = lay(*shapes, row_length=packed)
    drawn = set()
    for seed in range(8):
        found = sorted(places(ask(around(inner), b, seed=seed)))
        for example, (prompt, _) in enumerate(shapes):
            mine = [p - prompt for e, p in found if e == example]
            assert mine == [mine[0] + i for i in range(4)]
            assert mine[0] % 4 == 0
            drawn.add((example, mine[0] // 4))
    assert len(drawn) > 8


def expectation(objective, batch, free, *, blocks=None, levels=1):
    """E[loss] over a symmetric grid of noise levels, all patterns of the free columns, and all blocks, exactly."""
    grid, total = [0.125, 0.375, 0.625, 0.875], 0.0
    for ts in itertools.product(grid, repeat=levels):
        for block in [None] if blocks is None else range(blocks):
            columns = free if block is None or blocks is None else free[block]
            level = {c: ts[0] if levels == 1 else ts[int(batch.block[0, c])] for c in columns}
            for pattern in itertools.product([False, True], repeat=len(columns)):
                coins = torch.ones(batch.ids.shape)
                coins[0, [c for c, hit in zip(columns, pattern, strict=True) if hit]] = 0.0
                recorded = {"t": list(ts), "mask": coins.tolist()}
                if block is not None:
                    recorded["block"] = [(block + 0.5) / blocks]
                n = ask(objective, batch, **recorded)
                nll = Hash().score(n.query, n.query_positions, n.targets).nll
                chance = math.prod(level[c] if hit else 1 - level[c] for c, hit in zip(columns, pattern, strict=True))
                total += chance * float((n.weight * nll).sum() / n.count) / len(grid) ** levels / (blocks or 1)
    return total


def test_expectation_is_the_inner_methods():
    """t and 1 - t are drawn alike, so for methods that toss coins the mean of two views changes the variance only."""
    b = lay((2, 4), block=4)
    vanilla = Vanilla(eps=1e-12)
    mine, theirs = expectation(Complementary(inner=vanilla), b, [2, 3, 4, 5]), expectation(vanilla, b, [2, 3, 4, 5])
    assert mine == pytest.approx(theirs, rel=1e-5)
    b = lay((2, 4), block=2)
    one = Blockwise(block_size=2, weighting="elbo", eps=1e-12)
    free = [[2, 3], [4, 5]]
    assert expectation(Complementary(inner=one), b, free, blocks=2) == pytest.approx(
        expectation(one, b, free, blocks=2), rel=1e-5
    )
    streams = choose(OBJECTIVES, {"name": "block_diffusion", "block_size": 2, "eps": 1e-12})
    assert expectation(Complementary(inner=streams), b, [2, 3, 4, 5], levels=2) == pytest.approx(
        expectation(streams, b, [2, 3, 4, 5], levels=2), rel=1e-5
    )


def test_around_lift_the_rest_is_what_was_rejected_or_never_chosen():
    """By hand: of a superset of four two are kept at t = .5; the second view asks all others at 1 - t."""
    b = lay((0, 6), block=6)
    objective = Complementary(inner=Lift(components=2, eps=1e-12, rho_min=0))
    coins, nll = [[0.0, 0.1, 0.2, 0.3, 0.99, 0.99]], [1.0, 4.0, 2.0, 3.0, 0.0, 0.0]
    n = ask(objective, b, Known(nll=nll), t=[0.5], rho=[0.9], mask=coins)  # k = round(4 * .5 / .95) = 2
    assert n.query_positions.tolist() == [[0, 0], [0, 2], [1, 1], [1, 3], [1, 4], [1, 5]]
    assert n.weight.tolist() == pytest.approx([1 / 0.5 / 6 / 2] * 6)


@pytest.mark.parametrize("inner", ["sdlm", "mixture", {"name": "complementary"}])
def test_methods_that_do_not_hide_in_place_are_refused(inner):
    with pytest.raises(UserError, match="inner"):
        around(inner)


def test_it_is_decoded_divided_and_refused_as_the_inner_method_is():
    inner = choose(OBJECTIVES, {"name": "block_diffusion", "block_size": 8, "normaliser": "per_token"})
    outer = Complementary(inner=inner)
    assert (outer.block_size, outer.attention, outer.denominator) == (8, "block_causal", "per_token")
    assert outer.want == inner.want
