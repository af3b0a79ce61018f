"""Budgets read off curves, by hand."""

import pytest

from unmask.errors import UserError
from unmask.study.curves import Curve, amount_for_all, curves_of


def curve(arm="a", seed=0, tokens=(0, 10, 30), right=((0, 0), (1, 0), (1, 1))):
    return Curve(
        cell="all",
        arm=arm,
        seed=seed,
        decoder="blocks",
        spent={"supervised_tokens": tokens},
        right=right,
        path="runs/x",
    )


@pytest.mark.parametrize(
    ("amount", "outcomes"),
    [(0, [0, 0]), (5, [0.5, 0]), (10, [1, 0]), (20, [1, 0.5]), (30, [1, 1]), (30.0001, [1, 1])],
)
def test_outcomes_between_points_are_interpolated(amount, outcomes):
    assert curve().points_at("supervised_tokens", amount) == pytest.approx(outcomes)


def test_a_budget_that_stands_still_between_points_gives_the_earlier_one():
    assert curve(tokens=(0, 10, 10)).points_at("supervised_tokens", 10) == [1, 0]


def test_the_largest_common_amount_is_the_smallest_end():
    curves = [curve(), curve("b", tokens=(0, 5, 20))]
    assert amount_for_all(curves, "supervised_tokens", None) == 20
    assert amount_for_all(curves, "supervised_tokens", 12) == 12


def test_an_arm_that_does_not_reach_the_stated_amount_is_named():
    with pytest.raises(UserError, match=r"equal\.supervised_tokens: 25 cannot be met: arm 'b' ends at 20"):
        amount_for_all([curve(), curve("b", tokens=(0, 5, 20))], "supervised_tokens", 25)


def result(keys="k"):
    point = {"steps": 2, "flops": 7.0, "decoders": {"blocks": {"right": [1, 1]}}}
    return {"cell": "all", "arm": "a", "seed": 3, "path": "runs/a", "problem_keys": keys, "points": [point]}


def test_a_curve_starts_at_the_base():
    base = {"path": "runs/base", "problem_keys": "k", "decoders": {"blocks": {"right": [0, 1]}}}
    (made,) = curves_of(result(), base, ["steps", "flops"])
    assert made.spent == {"steps": [0, 2], "flops": [0, 7]}
    assert made.accuracies() == [0.5, 1.0]


def test_runs_that_were_judged_on_other_problems_are_not_paired():
    base = {"path": "runs/base", "problem_keys": "k", "decoders": {"blocks": {"right": [0, 1]}}}
    with pytest.raises(UserError, match="other problems"):
        curves_of(result("other"), base, ["steps"])
