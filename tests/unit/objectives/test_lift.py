"""LIFT: the selection by hand, its invariants, more than three bins, and the controls."""

import pytest
import torch
from knowing import Known, hidden, no_graph, queried
from texts import M, ask, lay, region_of, tiny

from toys import Hash, Uniform
from unmask.core.protocols import Scored
from unmask.core.random import Draws, RecordedDraws
from unmask.errors import UserError
from unmask.objectives import Lift, Vanilla

EPS = 1e-12
# Coins of 2 prompt and 8 canvas columns: at a rate of .8, and of .5, columns 0, 2, 3, 4, 6 and 7 are the superset.
COINS = [[0.0, 0.0, 0.1, 0.9, 0.2, 0.49, 0.3, 0.85, 0.4, 0.45]]
NLL = [9.0, 9.0, 5.0, 0.1, 1.0, 4.0, 2.0, 0.2, 3.0, 6.0]
ORDERS = pytest.mark.parametrize("order", ["informed", "reversed", "random"])


def places(batch, ids, row=0):
    return [int(o) for o, i in zip(batch.offset[row], ids[row], strict=True) if o >= 0 and i == M]


def test_easy_by_hand():
    """t = .5, rho = .3: k = round(6 * .5 / .8) = 4 of 6; columns 2, 4, 6, 3 have the smallest losses."""
    b, model = lay((2, 8), block=8), Known(nll=NLL)
    n = ask(Lift(components=2, eps=EPS), b, model, t=[0.5], rho=[0.5], mask=COINS)
    assert places(b, model.texts[0]) == [0, 2, 3, 4, 6, 7]
    assert model.asked_at[0].tolist() == [[0, 2 + c] for c in (0, 2, 3, 4, 6, 7)]
    assert places(b, n.query.ids) == [2, 3, 4, 6]
    assert (n.query.ids != b.ids).nonzero().tolist() == n.query_positions.tolist() == [[0, 2 + c] for c in (2, 3, 4, 6)]
    assert n.targets.tolist() == b.ids[0, [4, 5, 6, 8]].tolist()
    assert n.weight.tolist() == pytest.approx([1 / 0.5 / 8] * 4)
    assert n.noise_level.tolist() == pytest.approx([0.5] * 4)
    assert float(n.count) == 1
    assert model.had_grad == [False]


def test_hard_by_hand():
    """t = .25, rho = .1 + (.75 - .1) * 3/13 = .25: k = round(6 * .25 / .5) = 3; columns 7, 0, 3 are the hardest."""
    b = lay((2, 8), block=8)
    n = ask(Lift(components=2, eps=EPS), b, Known(nll=NLL), t=[0.25], rho=[3 / 13], mask=COINS)
    assert queried(n, b) == hidden(n, b) == [(0, 0), (0, 3), (0, 7)]
    assert n.weight.tolist() == pytest.approx([1 / 0.25 / 8] * 3)


def test_random_bin_by_hand():
    """Between 1/3 and 2/3: the k largest numbers drawn, and no forward."""
    b, model = lay((2, 8), block=8), Known(nll=NLL)
    keep = [[0.0, 0.0, 0.9, 0.99, 0.1, 0.2, 0.8, 0.98, 0.7, 0.6]]
    n = ask(Lift(eps=EPS), b, model, t=[0.5], rho=[0.5], mask=COINS, keep=keep)
    assert queried(n, b) == hidden(n, b) == [(0, 0), (0, 4), (0, 6), (0, 7)]
    assert model.forwards == 0


@pytest.mark.parametrize(("candidates", "kept"), [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)])
def test_half_of_the_superset_rounds_to_even(candidates, kept):
    """t = rho = .25 in binary, so that the share is 1/2 to the last bit."""
    b = lay((2, 8), block=8)
    coins = [[0.0] * 2 + [0.1] * candidates + [0.9] * (8 - candidates)]
    n = ask(Lift(components=2, eps=0.25, rho_min=0), b, Known(nll=NLL), t=[0.0], rho=[0.25], mask=coins)
    assert len(n.query_positions) == kept


def test_denominator_and_time_weight_by_hand():
    """Released form: sum of CE / t over all response tokens; without time scaling just the sum of CE."""
    b = lay((2, 8), (1, 4), block=4)
    draws = {"t": [0.5, 0.75], "rho": [0.0, 0.0], "mask": [[0.0] * 10] * 2}
    n = ask(Lift(components=2, eps=EPS, rho_min=0, normaliser="per_token"), b, Known(nll=NLL), **draws)
    assert float(n.count) == 12
    assert n.weight.tolist() == pytest.approx([2.0] * 8 + [4 / 3] * 4)
    plain = Lift(components=2, eps=EPS, rho_min=0, normaliser="per_token", time_weight=False)
    assert ask(plain, b, Known(nll=NLL), **draws).weight.tolist() == [1.0] * 12


@pytest.mark.parametrize(
    ("t", "rho", "rate"), [(0.5, 0.0, 0.6), (0.5, 1.0, 1.0), (0.85, 0.0, 0.95), (0.9, 0.0, 0.9), (0.96, 0.5, 0.98)]
)
def test_the_superset_is_a_tenth_larger_at_least_where_there_is_room(t, rho, rate):
    """rho ~ U(.1, 1 - t), or U(0, 1 - t) where 1 - t is at most .1, as the released collator draws it."""
    b, model = lay((2, 8), block=8), Known(nll=NLL)
    for coin, is_in in ((rate - 1e-6, True), (rate + 1e-6, False)):
        mask = [[0.0] * 3 + [coin] * 7]
        n = ask(Lift(components=2, eps=EPS, approximate=True), b, model, t=[t], rho=[rho], mask=mask)
        assert places(b, n.query.ids) == (list(range(8)) if is_in else [0])


def bounds_of_rho(objective, t):
    """The rates of the superset over t for the smallest and the largest draw."""
    b, found = lay((0, 1), block=1), []
    for u in (0.0, 1.0):
        region = region_of(objective, b, Recorded(t))
        found.append(float(objective.composition.hide._rho(region, Recorded(u))[0]))
    return found


class Recorded(Draws):
    """The same number for every draw."""

    def __init__(self, value):
        object.__setattr__(self, "value", value)

    def uniform(self, name, *keys):
        return torch.full(keys[0].shape, self.value, dtype=torch.float64)

    stratified = uniform


def test_bounds_of_rho():
    assert bounds_of_rho(Lift(), 0.2) == pytest.approx([0.1, 0.8])
    assert bounds_of_rho(Lift(rho_min=0), 0.2) == pytest.approx([0.0, 0.8])
    assert bounds_of_rho(Lift(rho_max=0.3), 0.2) == pytest.approx([0.1, 0.3])
    assert bounds_of_rho(Lift(rho_max=0.1), 0.2) == pytest.approx([0.0, 0.1])
    assert bounds_of_rho(Lift(rho_min=0.2), 0.9) == pytest.approx([0.0, 0.1])
    assert bounds_of_rho(Lift(rho_max=0), 0.2) == [0.0, 0.0]


# ------------------------------------------------------------------------------------------------------- invariants


def reference(batch, example, draws, *, components, reverse):
    """The released rule for one example, in plain Python: (superset, kept, gold log-probabilities, t)."""
    (row,) = {int(r) for r in (batch.owner == example).nonzero()[:, 0]}
    order, length = batch.order[example], int(batch.canvas_length[example])
    u = float(draws.stratified("t", order))
    t = 1e-3 + (1 - 1e-3) * u
    lower = 0.1 if 1 - u > 0.1 else 0.0
    rho = lower + (1 - u - lower) * float(draws.uniform("rho", order, torch.tensor(0)))
    coins = draws.uniform("mask", order, torch.arange(length)).tolist()
    superset = [c for c in range(length) if coins[c] < t + rho]
    start = int(((batch.owner == example) & ~batch.is_canvas).sum()) + int((batch.owner[row] == example).nonzero()[0])
    ids = batch.ids.clone()
    ids[row, [start + c for c in superset]] = M
    at = torch.tensor([[row, start + c] for c in superset]).reshape(-1, 2)
    c = (-Hash().score(batch.query(ids), at, batch.ids[at[:, 0], at[:, 1]]).nll).tolist() if superset else []
    k = round(len(superset) * t / (t + rho))
    weights = {"random": 3 * t * (1 - t) if components == 3 else -1.0, "easy": t, "hard": 1 - t}
    mode = max(weights, key=weights.get)
    if mode == "random":
        keys = draws.uniform("keep", order, torch.tensor(superset, dtype=torch.int64)).tolist()
    else:
        keys = c if (mode == "easy") != reverse else [-x for x in c]
    ranked = sorted(range(len(superset)), key=lambda i: -keys[i])
    return superset, sorted(superset[i] for i in ranked[:k]), dict(zip(superset, c, strict=True)), (t, mode, k)


@pytest.mark.parametrize("packed", [None, 60], ids=["padded", "packed"])
@pytest.mark.parametrize("reverse", [False, True], ids=["informed", "reversed"])
@pytest.mark.parametrize("components", [2, 3])
def test_selection_equals_the_rule_in_plain_python(components, reverse, packed):
    """(a) kept within superset within response, (b) exactly k, (c) ordered by c, (d) nothing else is changed."""
    b = lay((3, 20), (0, 9), (4, 1), (2, 30), row_length=packed, tail=4)
    objective = Lift(components=components, order="reversed" if reverse else "informed")
    seen = set()
    for seed in range(12):
        draws, n = Draws(seed=seed), ask(objective, b, seed=seed)
        together = queried(n, b)
        assert together == hidden(n, b)
        assert torch.equal(n.query.ids != b.ids, n.query.ids == M)
        for example in range(4):
            superset, expected, c, (t, mode, k) = reference(b, example, draws, components=components, reverse=reverse)
            kept = [place for e, place in together if e == example]
            assert kept == expected
            assert set(kept) <= set(superset) <= set(range(int(b.canvas_length[example])))
            assert len(kept) == k
            rejected = set(superset) - set(kept)
            if mode != "random" and kept and rejected:
                low, high = (kept, rejected) if (mode == "easy") == reverse else (rejected, kept)
                assert max(c[i] for i in low) <= min(c[i] for i in high)
            weight = n.weight[torch.tensor([e == example for e, _ in together], dtype=torch.bool)]
            assert weight.tolist() == pytest.approx([1 / t / int(b.canvas_length[example])] * k, rel=1e-5)
            seen.add(mode)
    assert seen == ({"easy", "hard", "random"} if components == 3 else {"easy", "hard"})


@ORDERS
@pytest.mark.parametrize("components", [2, 3, 6])
def test_without_rho_it_is_vanilla(components, order):
    """(e)"""
    b = lay((3, 20), (0, 9), (4, 1), (2, 30))
    for seed in range(5):
        mine = ask(Lift(components=components, order=order, rho_max=0), b, seed=seed)
        theirs = ask(Vanilla(), b, seed=seed)
        assert torch.equal(mine.query.ids, theirs.query.ids)
        assert torch.equal(mine.query_positions, theirs.query_positions)
        assert torch.equal(mine.weight, theirs.weight)
        assert float(mine.count) == float(theirs.count)


def test_the_opposite_likelihoods_swap_the_bins():
    """(f)"""
    b = lay((2, 8), block=8)
    for t in (0.2, 0.8):
        draws = {"t": [t], "rho": [0.7], "mask": COINS}
        opposite = ask(Lift(components=2), b, Known(nll=[-x for x in NLL]), **draws)
        reverse = ask(Lift(components=2, order="reversed"), b, Known(nll=NLL), **draws)
        plain = ask(Lift(components=2), b, Known(nll=NLL), **draws)
        assert queried(opposite, b) == queried(reverse, b)
        assert len(reverse.query_positions) == len(plain.query_positions)
        assert queried(plain, b) != queried(reverse, b)


RISING = [0.0] * 2 + [float(i) for i in range(12)]  # the loss of a token is its place in the canvas
EVEN_FIRST = [[0.0] * 2 + [0.9 - i / 100 if i % 2 == 0 else 0.5 - i / 100 for i in range(12)]]


def window(t, **options):
    """Which of 12 hidden tokens, from the easiest to the hardest, are kept; t / (t + rho) = t, so k = round(12 t)."""
    b, objective = lay((2, 12), block=12), Lift(eps=EPS, rho_min=0, **options)
    n = ask(objective, b, Known(nll=RISING), t=[t], rho=[1.0], mask=[[0.0] * 14], keep=EVEN_FIRST)
    return [place for _, place in queried(n, b)]


def easiest(k):
    return list(range(k))


def hardest(k):
    return list(range(12 - k, 12))


def by_chance(k):
    return sorted([0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11][:k])


@pytest.mark.parametrize(
    ("components", "t", "kind"),
    [
        (2, 0.4999, hardest), (2, 0.5, easiest), (2, 0.2, hardest), (2, 0.8, easiest),
        (3, 0.3333, hardest), (3, 0.3334, by_chance), (3, 0.5, by_chance), (3, 0.6666, by_chance), (3, 0.6667, easiest),
        (4, 0.2499, hardest), (4, 0.25, by_chance), (4, 0.7499, by_chance), (4, 0.75, easiest), (4, 0.8, easiest),
    ],
)  # fmt: skip
def test_thresholds(components, t, kind):
    """(g)"""
    k = round(12 * t)
    assert window(t, components=components) == kind(k)
    assert len({tuple(f(k)) for f in (easiest, hardest, by_chance)}) == 3
    reverse = {easiest: hardest, hardest: easiest, by_chance: by_chance}[kind]
    assert window(t, components=components, order="reversed") == reverse(k)
    assert window(t, components=components, order="random") == by_chance(k)


def test_a_window_slides_over_the_ranking():
    """H = 5: k = 1, 4, 6, 8, 11 of 12; the free places before the window are 1, 3/4, 1/2, 1/4 and 0 of 12 - k."""
    expected = {0.1: (11, 1), 0.3: (6, 4), 0.5: (3, 6), 0.7: (1, 8), 0.9: (0, 11)}
    for t, (first, k) in expected.items():
        assert window(t, components=5, middle="window") == list(range(first, first + k))
        reverse = 12 - first - k
        assert window(t, components=5, middle="window", order="reversed") == list(range(reverse, reverse + k))


@pytest.mark.parametrize("t", [0.05, 0.2, 0.45, 0.5, 0.55, 0.8, 0.95])
def test_a_window_nests_the_outer_bins(t):
    """H = 3 with a window differs from LIFT-3 between the outer bins only, where it is centred; H = 2 has no middle."""
    if 1 / 3 <= t < 2 / 3:
        k = round(12 * t)
        assert window(t, components=3, middle="window") == list(range(round((12 - k) / 2), round((12 - k) / 2) + k))
    else:
        assert window(t, components=3, middle="window") == window(t, components=3)
    assert window(t, components=2, middle="window") == window(t, components=2)


def test_drawn_bins_do_not_look_at_t():
    for t in (0.1, 0.5, 0.9):
        for u, kind in ((0.1, hardest), (0.34, by_chance), (0.66, by_chance), (0.67, easiest)):
            b, model = lay((2, 12), block=12), Known(nll=RISING)
            objective = Lift(eps=EPS, rho_min=0, policy="random")
            n = ask(objective, b, model, t=[t], rho=[1.0], mask=[[0.0] * 14], keep=EVEN_FIRST, mode=[u])
            assert [place for _, place in queried(n, b)] == kind(round(12 * t))


def test_one_bin_for_the_batch_by_its_mean_t():
    """Means of .9 and .3: .6 is easy for H = 2 and random for H = 3, where .3 alone would be hard and .9 easy."""
    b = lay((2, 12), (2, 12), block=12)
    draws = {"t": [0.9, 0.3], "rho": [1.0, 1.0], "mask": [[0.0] * 14] * 2, "keep": EVEN_FIRST * 2}

    def kept(**options):
        n = ask(Lift(eps=EPS, rho_min=0, **options), b, Known(nll=RISING), **draws)
        return [[place for e, place in queried(n, b) if e == example] for example in (0, 1)]

    assert kept(components=2) == [easiest(11), hardest(4)]
    assert kept(components=2, mode_per="batch") == [easiest(11), easiest(4)]
    assert kept(components=3) == [easiest(11), hardest(4)]
    assert kept(components=3, mode_per="batch") == [by_chance(11), by_chance(4)]


def test_a_bin_for_the_batch_and_drawn_bins_contradict():
    with pytest.raises(UserError, match="mode_per"):
        Lift(mode_per="batch", policy="random")


@pytest.mark.parametrize("components", [2, 3])
def test_controls_have_the_same_budget(components):
    """Reversed and random order keep as many tokens, of the same superset, and random asks no model."""
    b = lay((3, 20), (0, 9), (4, 5), (2, 30))
    for seed in range(5):
        found, near = {}, {}
        for order in ("informed", "reversed", "random"):
            model = Hash()
            found[order] = ask(Lift(components=components, order=order), b, model, seed=seed)
            near[order] = ask(Lift(components=components, order=order, approximate=True), b, seed=seed)
            assert order != "random" or model.forwards == 0
        counts = {order: torch.bincount(n.example, minlength=4).tolist() for order, n in found.items()}
        supersets = {order: hidden(n, b) for order, n in near.items()}
        assert counts["informed"] == counts["reversed"] == counts["random"]
        assert supersets["informed"] == supersets["reversed"] == supersets["random"]
        sets = {order: set(queried(n, b)) for order, n in found.items()}
        assert sets["informed"] != sets["reversed"] != sets["random"] != sets["informed"]


def test_scoring_reads_only_the_rows_that_need_it_and_keeps_no_graph():
    """(h) Three examples, one in each bin: a forward of two rows. Through a real model nothing is kept for backward."""
    b = lay((2, 12), (2, 12), (2, 12), block=12)
    draws = {"t": [0.1, 0.5, 0.9], "rho": [0.9] * 3, "mask": [[0.0] * 14] * 3}
    model = Known(nll=RISING)
    n = ask(Lift(), b, model, **draws)
    assert (model.forwards, model.rows, model.had_grad) == (1, [2], [False])
    assert torch.unique(n.example).tolist() == [0, 1, 2]
    lm = tiny()
    lm.model.train()
    with no_graph():
        n = ask(Lift(), b, lm, **draws)
    assert lm.flops.forwards == 1
    assert not n.weight.requires_grad
    assert all(p.grad is None for p in lm.model.parameters())


@ORDERS
def test_as_many_tokens_are_kept_as_vanilla_would_hide(order):
    """(i) E[k / (t n)] = 1 up to rounding, in every bin: the weights of n = 256 tokens sum to 1."""
    b = lay(*[(0, 256)] * 512, block=256)
    n = ask(Lift(order=order), b, model=Uniform())
    share = torch.zeros(512).index_add(0, n.example, n.weight)
    t = torch.tensor([float(n.noise_level[n.example == e][:1].sum()) for e in range(512)])
    assert float(share.mean()) == pytest.approx(1, abs=0.006)
    for low, high in ((0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1)):
        assert float(share[(t >= low) & (t < high)].mean()) == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize("normaliser", ["per_sequence", "per_token", "per_masked_row", "per_masked"])
@pytest.mark.parametrize("components", [2, 3])
def test_approximation_reads_the_superset_and_keeps_in_the_loss(components, normaliser):
    """(j) The same choice by one forward, with nothing filled in; the loss depends on the kept tokens only."""
    b, options = lay((3, 20), (0, 9), (4, 5), (2, 30)), {"components": components, "normaliser": normaliser}
    for seed in range(5):
        exact = ask(Lift(**options), b, seed=seed)
        model, objective = Hash(), Lift(**options, approximate=True)
        near = ask(objective, b, model, seed=seed)
        assert model.forwards == 0
        superset = [(e, c) for e in range(4) for c in reference(b, e, Draws(seed=seed), components=2, reverse=False)[0]]
        assert hidden(near, b) == queried(near, b) == superset
        nll = model.score(near.query, near.query_positions, near.targets).nll.requires_grad_()
        objective.loss(Scored(nll=nll), near).backward()
        kept = nll.grad != 0
        assert torch.equal(near.query_positions[kept], exact.query_positions)
        torch.testing.assert_close(nll.grad[kept].float(), exact.weight)
        assert float(near.count) == float(exact.count)
        assert len(superset) > len(exact.query_positions)


def test_ties_go_by_place():
    """A model that knows nothing: the easy bin keeps the first k candidates, the hard bin the last k, every time."""
    b = lay((2, 12), block=12)
    for t, kind in ((0.25, hardest), (0.75, easiest)):
        n = ask(Lift(components=2, eps=EPS, rho_min=0), b, Uniform(), t=[t], rho=[1.0], mask=[[0.0] * 14])
        assert [place for _, place in queried(n, b)] == kind(round(12 * t))


def test_recorded_draws_are_left_alone():
    """The scores take the place of the numbers drawn, not in the record."""
    b, keep = lay((2, 8), block=8), torch.rand(1, 10, generator=torch.Generator().manual_seed(0)).double()
    before = keep.clone()
    draws = RecordedDraws(seed=0, values={"keep": keep, "t": torch.tensor([0.9])})
    Lift(components=2).noise(b, model=Hash(), draws=draws, progress=0)
    assert torch.equal(keep, before)
