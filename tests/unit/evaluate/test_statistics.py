"""Intervals and tests against closed forms, enumeration, and scipy where it is installed."""

import itertools
import math

import numpy as np
import pytest
import torch

from unmask.errors import UserError
from unmask.evaluate.intervals import wilson
from unmask.evaluate.statistics import bootstrap_interval, holm, paired_bootstrap, paired_permutation


def test_two_values_have_three_resampled_means():
    """Means 0, 1/2 and 1 with chances 1/4, 1/2 and 1/4."""
    assert bootstrap_interval([0, 1], level=0.95) == (0.0, 1.0)
    assert bootstrap_interval([0, 1], level=0.45) == (0.5, 0.5)


def test_quantiles_are_those_of_the_enumerated_resamples():
    values = [0.0, 1.0, 4.0, 10.0]
    means = torch.tensor([sum(drawn) / 4 for drawn in itertools.product(values, repeat=4)], dtype=torch.float64)
    for level in (0.5, 0.8, 0.95):
        exact = means.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64))
        assert bootstrap_interval(values, level=level, resamples=40_000) == pytest.approx(exact.tolist(), abs=0.26)


def test_many_values_give_the_normal_interval():
    scores = [1.0] * 300 + [0.0] * 700
    half = 1.959964 * math.sqrt(0.3 * 0.7 / 1000)
    assert bootstrap_interval(scores, resamples=4000) == pytest.approx((0.3 - half, 0.3 + half), abs=0.003)


def test_a_table_is_resampled_by_seed_and_by_problem():
    """Values s_i + p_j: the variance of the mean is var(s) / S + var(p) / N, as of two independent samples."""
    by_seed, by_problem = torch.linspace(-1, 1, 40).double(), torch.linspace(-2, 2, 50).double()
    table = by_seed[:, None] + by_problem
    deviation = math.sqrt(float(by_seed.var(correction=0)) / 40 + float(by_problem.var(correction=0)) / 50)
    low, high = bootstrap_interval(table, resamples=40_000)
    assert (low, high) == pytest.approx((-1.96 * deviation, 1.96 * deviation), abs=0.02)
    constant_over_problems = by_seed[:2, None].expand(2, 9)
    assert bootstrap_interval(constant_over_problems)[0] == pytest.approx(float(by_seed[0]))


def test_one_seed_is_the_vector_and_the_seed_decides():
    values = [math.sin(i * i) for i in range(40)]
    assert bootstrap_interval([values], 3) == bootstrap_interval(values, 3)
    assert bootstrap_interval(values, 3) != bootstrap_interval(values, 4)


def test_paired_differences_are_resampled_together():
    base = [float(i % 7) for i in range(60)]
    assert paired_bootstrap([x + 2 for x in base], base) == pytest.approx((2.0, 2.0))
    a, b = [1.0, 0.0, 5.0], [0.0, 3.0, 1.0]
    assert paired_bootstrap(a, b, 1) == bootstrap_interval([1.0, -3.0, 4.0], 1)


@pytest.mark.parametrize(("better", "worse"), [(5, 0), (6, 1), (9, 4), (3, 3), (12, 4)])
def test_on_right_and_wrong_it_is_mcnemars_exact_test(better, worse):
    a = [1] * better + [0] * worse + [1] * 20 + [0] * 7
    b = [0] * better + [1] * worse + [1] * 20 + [0] * 7
    n = better + worse
    tail = sum(math.comb(n, k) for k in range(max(better, worse), n + 1)) / 2**n
    assert paired_permutation(a, b) == pytest.approx(min(1.0, 2 * tail))


def test_three_differences_by_hand():
    """1 + 2 + 4 = 7 is reached by two of eight flips; 4 + 2 - 1 = 5 by four."""
    assert paired_permutation([1, 2, 4], [0, 0, 0]) == 2 / 8
    assert paired_permutation([-1, 2, 4], [0, 0, 0]) == 4 / 8


def test_decimals_tie_as_they_would_exactly():
    """Of tenths, whose sums round: 28 of 64 flips are as extreme as 1.3, two of them only but for the last bit."""
    tenths = [-7, 3, 9, 2, 9, -3]
    flips = [sum(s * x for s, x in zip(signs, tenths, strict=True)) for signs in itertools.product((1, -1), repeat=6)]
    assert sum(abs(total) >= 13 for total in flips) == 28
    assert paired_permutation([x / 10 for x in tenths], [0] * 6) == 28 / 64


def test_drawn_flips_agree_with_the_binomial():
    better, worse = 40, 24
    a, b = [1] * better + [0] * worse, [0] * better + [1] * worse
    exact = 2 * sum(math.comb(64, k) for k in range(better, 65)) / 2**64
    assert paired_permutation(a, b, flips=20_000) == pytest.approx(exact, abs=4 * math.sqrt(exact / 20_000))
    assert paired_permutation([1] * 64, [0] * 64, flips=99) == 1 / 100


def test_no_difference_and_tables():
    assert paired_permutation([1, 0, 1], [1, 0, 1]) == 1.0
    a, b = [[1, 1, 0], [1, 0, 1]], [[0, 1, 0], [0, 0, 0]]
    assert paired_permutation(a, b) == paired_permutation([1.0, 0.0, 0.5], [0.0, 0.0, 0.0])


def test_p_is_uniform_where_nothing_differs():
    """Symmetric differences: p <= 0.1 in at most a tenth of the trials, up to chance."""
    generator = torch.Generator().manual_seed(5)
    differences = torch.randn(400, 9, generator=generator, dtype=torch.float64)
    found = sum(paired_permutation(row, torch.zeros(9)) <= 0.1 for row in differences) / 400
    assert found == pytest.approx(0.1, abs=3 * math.sqrt(0.09 / 400) + 2 / 2**9)


def test_holm_by_hand():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@pytest.mark.parametrize("values", [[], [[]], [[[1.0]]], [1.0, math.nan], [math.inf]])
def test_what_cannot_be_resampled(unchecked, values):
    with pytest.raises(UserError, match="expected"):
        bootstrap_interval(values)


def test_pairs_must_match():
    with pytest.raises(UserError, match="shapes"):
        paired_permutation([1, 2], [1, 2, 3])
    with pytest.raises(UserError, match="level=2"):
        bootstrap_interval([1.0, 2.0], level=2)


def test_beside_scipy():
    stats = pytest.importorskip("scipy.stats")
    a, b = [3.1, 2.2, 5.7, 1.1, 4.4, 2.9, 3.3], [2.0, 2.5, 3.9, 1.0, 4.9, 1.1, 2.2]

    def mean_difference(x, y, axis):
        return (x - y).mean(axis)

    theirs = stats.permutation_test(
        (a, b), mean_difference, permutation_type="samples", vectorized=True, n_resamples=math.inf
    )
    assert paired_permutation(a, b) == pytest.approx(theirs.pvalue)
    assert wilson(8, 10) == pytest.approx(tuple(stats.binomtest(8, 10).proportion_ci(method="wilson")))
    interval = stats.bootstrap((a,), np.mean, method="percentile", n_resamples=10_000, rng=0).confidence_interval
    assert bootstrap_interval(a) == pytest.approx(tuple(interval), abs=0.05)  # 10,000 draws each: Monte Carlo
