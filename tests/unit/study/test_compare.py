"""Differences, intervals and p values from raw outcomes."""

from itertools import product
from statistics import fmean

import pytest
import torch

from unmask.core.random import Draws
from unmask.evaluate import paired_permutation, seed_permutation, wilson
from unmask.study.bounds import compare_bounds
from unmask.study.compare import check_headroom, compare
from unmask.study.curves import Curve


def curve(arm, seed, right, cell="all", decoder="blocks", base=(0, 0, 0, 0), steps=10):
    return Curve(
        cell=cell, arm=arm, seed=seed, decoder=decoder, spent={"steps": [0, steps]}, right=[base, right],
        path=f"runs/{arm}/seed-{seed}",
    )  # fmt: skip


OLD = {0: (1, 0, 0, 0), 1: (0, 0, 0, 0)}
NEW = {0: (1, 1, 1, 0), 1: (1, 1, 0, 0)}
CURVES = [curve("old", seed, right) for seed, right in OLD.items()] + [
    curve("new", seed, right) for seed, right in NEW.items()
]


def row_of(rows, arm):
    return next(row for row in rows if row["arm"] == arm)


def test_differences_are_paired_over_seeds_and_problems():
    row = row_of(compare(CURVES, {"steps": None}, "old"), "new")
    assert row["accuracy"] == 5 / 8
    assert row["difference"] == 4 / 8
    assert row["seeds"] == {0: 0.75, 1: 0.5}
    assert row["above"] == "2 of 2"
    low, high = row["difference_interval"]
    assert -0.25 < low < 0 < 0.5 < high <= 1  # of four problems
    assert row["p_seeds"] == 0.5  # both seeds are above: 2 of 4 flips


def test_the_p_value_is_that_of_all_sign_flips_of_the_problems_means():
    differences = [fmean(NEW[s][i] - OLD[s][i] for s in NEW) for i in range(4)]
    sums = [abs(sum(f * d for f, d in zip(flip, differences, strict=True))) for flip in product((1, -1), repeat=4)]
    expected = fmean(value >= abs(sum(differences)) - 1e-12 for value in sums)
    assert row_of(compare(CURVES, {"steps": None}, "old"), "new")["p"] == pytest.approx(expected)


@pytest.mark.parametrize("value", [0, 1])
def test_arms_that_are_all_wrong_or_all_right_have_intervals(value):
    right = (value,) * 40
    curves = [curve(arm, seed, right, base=(0,) * 40) for arm in ("old", "new") for seed in (0, 1, 2)]
    rows = compare(curves, {"steps": None}, "old")
    for row in rows:
        assert row["interval"] == pytest.approx(list(wilson(40 * value, 40)))
    low, high = row_of(rows, "new")["difference_interval"]
    assert -0.08 < low < -0.05
    assert 0.05 < high < 0.08
    assert (row_of(rows, "new")["p"], row_of(rows, "new")["p_seeds"]) == (1, 1)


def test_the_test_over_seeds_keeps_its_size_where_seeds_vary_and_that_over_problems_does_not():
    """Six seeds of two arms whose training differs by luck only: the luck is a seed's, shared by its 40 problems."""
    trials, draws = 400, Draws(seed=7)
    number = torch.arange(trials)[:, None]
    luck = 0.35 * (draws.uniform("luck", number, torch.arange(6)) * 2 - 1)[:, :, None]
    theirs, mine = (
        draws.uniform(arm, torch.arange(trials)[:, None, None], torch.arange(6)[:, None], torch.arange(40)) < chance
        for arm, chance in (("theirs", 0.5), ("mine", 0.5 + luck))
    )
    over_problems = fmean(paired_permutation(a, b, flips=200) <= 0.05 for a, b in zip(mine, theirs, strict=True))
    for level in (0.05, 0.2):
        found = fmean(seed_permutation(a, b) <= level for a, b in zip(mine, theirs, strict=True))
        exact = int(level * 32) / 32  # p is a multiple of 2 / 2^6
        assert found == pytest.approx(exact, abs=3 * (exact * (1 - exact) / trials) ** 0.5 + 0.01)
    assert over_problems > 0.15


def test_the_p_value_over_seeds_by_hand():
    """Mean differences of 3/4, 1/4 and -1/4 sum to 3/4; six of eight flips reach it (5/4 twice, 3/4 four times)."""
    mine, theirs = [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert seed_permutation(mine, theirs) == 6 / 8
    assert seed_permutation([[1] * 9] * 5, [[0] * 9] * 5) == 2 / 2**5
    assert seed_permutation(mine[:1], theirs[:1]) is None
    assert seed_permutation([1, 1, 0], [0, 0, 0]) is None


def test_holm_counts_all_tests_of_a_budget_and_no_other_budgets():
    three = [*CURVES, *(curve("newer", seed, right) for seed, right in NEW.items())]
    rows = compare(three, {"steps": None}, "old")
    assert row_of(rows, "new")["p_holm"] == pytest.approx(2 * row_of(rows, "new")["p"])
    alone = compare(CURVES, {"steps": None}, "old")
    assert row_of(alone, "new")["p_holm"] == row_of(alone, "new")["p"]


def test_only_seeds_that_both_arms_have_are_compared():
    rows = compare(CURVES[:1] + CURVES[2:], {"steps": None}, "old")
    row = row_of(rows, "new")
    assert row["above"] == "1 of 1"
    assert row["difference"] == 0.5  # of seed 0 alone
    assert row["p_seeds"] is None


def test_a_reference_that_did_not_run_leaves_accuracies():
    row = row_of(compare(CURVES[2:], {"steps": None}, "old"), "new")
    assert row["accuracy"] == 5 / 8
    assert row["difference"] is None
    assert row["p_holm"] is None


def test_cells_have_budgets_of_their_own():
    other = [curve(arm, 0, (1, 1, 1, 1), cell="large", steps=20) for arm in ("old", "new")]
    rows = compare([*CURVES, *other], {"steps": None}, "old")
    assert {row["cell"]: row["amount"] for row in rows} == {"all": 10, "large": 20}


def test_no_room_is_told_for_base_and_for_tuned_models():
    curves = [curve("a", seed, (1, 1, 1, 1), base=(1, 1, 1, 0)) for seed in (0, 1)]
    (row,) = check_headroom(curves, (0.2, 0.6), 0.98, ["blocks"])
    assert row["base"] == 0.75
    assert row["best"] == 1.0
    assert len(row["faults"]) == 2
    roomy = [curve("a", seed, (1, 1, 1, 0), base=(1, 1, 0, 0)) for seed in (0, 1)]
    assert check_headroom(roomy, (0.2, 0.6), 0.98, ["blocks"])[0]["faults"] == []


def bounded(arm, seed, nats):
    found = {"nats": {"by_block": nats}, "tokens_each": [2, 4]}
    return {"cell": "all", "arm": arm, "seed": seed, "points": [{"bounds": found}]}


def test_bounds_are_compared_on_the_same_examples_averaged_over_seeds():
    runs = [bounded("vanilla", 0, [2.0, 4.0]), bounded("blockwise", 0, [1.0, 4.0])]
    runs += [
        bounded("vanilla", 1, [2.0, 4.0]),
        bounded("blockwise", 1, [1.0, 2.0]),
        bounded("blockwise", 2, [9.0, 9.0]),
    ]
    (row,) = compare_bounds(runs, "vanilla")
    assert (row["arm"], row["order"], row["seeds"], row["examples"]) == ("blockwise", "by_block", 2, 2)
    assert row["difference"] == pytest.approx(-1 / 3)  # (-1 - 1) nats over 6 tokens
    assert row["standard_error"] == pytest.approx(1 / 9)  # residuals of 1/3 each: sqrt(2 * 2/9) / 6
    assert compare_bounds([{**run, "points": [{}]} for run in runs], "vanilla") == []
