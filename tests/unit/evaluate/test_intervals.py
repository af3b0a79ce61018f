import itertools
import math
from statistics import fmean

import pytest
import torch

from unmask.evaluate import (
    Answer,
    Evaluation,
    bootstrap_interval,
    difference_interval,
    paired_bootstrap,
    share_interval,
    wilson,
)

# Newcombe (1998), Statistics in Medicine 17, table I, method 3, rounded as printed there.
KNOWN = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}


@pytest.mark.parametrize(("counts", "interval"), KNOWN.items())
def test_known_values(counts, interval):
    assert wilson(*counts) == pytest.approx(interval, abs=5e-5)


def test_edges():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(29, 29)[1] == pytest.approx(1.0)
    assert wilson(0, 5)[0] == pytest.approx(0.0, abs=1e-12)
    low, high = wilson(7, 20)
    assert wilson(13, 20) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("problems", [1, 5, 30, 400])
@pytest.mark.parametrize("draws", [1, 4, 64])
def test_where_all_are_wrong_or_right_it_is_wilsons_of_the_problems(problems, draws):
    """More answers to the same problems tell nothing of other problems."""
    none, every = share_interval([0.0] * problems, draws=draws), share_interval([1.0] * problems, draws=draws)
    assert none == pytest.approx(wilson(0, problems))
    assert every == pytest.approx(wilson(problems, problems))
    assert none[1] > 3 / (problems + 4)
    seeds = share_interval([[0.0] * problems] * 5, draws=draws)
    assert seeds == pytest.approx(none)


def answered(*rights):
    return [
        Answer(source=f"{i}", prompt="", text="", expected="", is_right=bool(right), problem=i, sample=s)
        for i, row in enumerate(rights)
        for s, right in enumerate(row)
    ]


@pytest.mark.parametrize("right", [0, 1])
def test_no_interval_of_an_evaluation_collapses(right):
    summary = Evaluation(answers=answered(*[[right] * 4] * 20), samples=4).summary()
    expected = pytest.approx(wilson(20 * right, 20), abs=1e-4)
    assert summary["interval"] == expected
    assert [row["interval"] for row in summary["pass"].values()] == [expected] * 3
    assert "Wilson" in summary["interval_method"]
    one = Evaluation(answers=answered(*[[right]] * 20)).summary()
    assert (one["interval"], one["interval_method"]) == (expected, "wilson")


def test_problems_that_are_all_passed_are_told_as_that():
    """Each problem has one right answer of four: avg@4 is 1/4 and pass@4 is 1, both from 20 problems."""
    summary = Evaluation(answers=answered(*[[0, 1, 0, 0]] * 20), samples=4).summary()
    assert summary["pass"]["4"]["interval"] == pytest.approx(wilson(20, 20), abs=1e-4)
    low, high = summary["interval"]
    assert low < 0.2 < 0.3 < high
    assert (low, high) == pytest.approx(wilson(20, 80), abs=1e-4)  # at most that of all answers


def test_one_right_of_many_has_no_interval_below_its_own_chance():
    shares = [0.25, *[0.0] * 99]
    low, high = share_interval(shares, draws=4)
    assert low == 0
    assert high > bootstrap_interval(shares)[1]
    assert high > 0.01


def test_in_the_middle_it_is_the_bootstrap():
    for shares, draws in (([1.0, 0.0] * 200, 1), ([0.25, 0.75, 0.5, 1.0] * 100, 4)):
        mine, theirs = share_interval(shares, draws=draws), bootstrap_interval(shares)
        assert mine == pytest.approx(theirs, abs=0.004)
        assert mine[0] <= theirs[0] <= theirs[1] <= mine[1]


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 4.0), (0.5, 20.0), (1.0, 1.0), (8.0, 0.4)])
def test_it_covers_what_it_says(alpha, beta):
    """400 evaluations of 25 problems with chances of their own, four answers each."""
    torch.manual_seed(3)
    chances = torch.distributions.Beta(alpha, beta).sample((400, 25))
    shares = torch.distributions.Binomial(4, chances).sample() / 4
    found = [share_interval(row.double(), draws=4, resamples=500) for row in shares]
    covered = fmean(low <= alpha / (alpha + beta) <= high for low, high in found)
    assert covered >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)
    bare = [bootstrap_interval(row.double(), resamples=500) for row in shares]
    assert covered >= fmean(low <= alpha / (alpha + beta) <= high for low, high in bare)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_arms_that_do_not_differ_have_an_interval_of_their_difference(value):
    for count, seeds in itertools.product((10, 100), (1, 3)):
        table = [[value] * count] * seeds
        low, high = difference_interval(table, table)
        assert -low == pytest.approx(high)
        assert 2 / count < high < 3 / count  # as of the rule of three
        assert paired_bootstrap(table, table) == (0.0, 0.0)


def test_differences_in_the_middle_are_the_bootstraps():
    a, b = [1.0, 1.0, 0.0, 1.0, 0.0] * 40, [1.0, 0.0, 0.0, 0.0, 1.0] * 40
    mine, theirs = difference_interval(a, b), paired_bootstrap(a, b)
    assert mine == pytest.approx(theirs, abs=0.015)
    assert mine[0] <= theirs[0] <= theirs[1] <= mine[1]
    assert difference_interval([1.0] * 30, [0.0] * 30)[0] < 1.0 == difference_interval([1.0] * 30, [0.0] * 30)[1]
