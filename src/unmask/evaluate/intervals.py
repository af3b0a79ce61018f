"""Confidence intervals of shares: of right answers, of problems that pass, and of differences between two shares."""

import math
from collections.abc import Sequence

from jaxtyping import Float64
from torch import Tensor

from unmask.evaluate.statistics import Scores, bootstrap_interval, paired_bootstrap, paired_differences, score_table

CLUSTERED = "bootstrap over problems, at least Wilson's of the effective number of answers"
"""How ``share_interval`` makes one."""


def wilson(right: float, total: float, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927), 0 … 1 if ``total`` is 0.

    >>> tuple(round(x, 3) for x in wilson(8, 10))
    (0.49, 0.943)

    Args:
        right: successes; may be a fraction.
        total: trials; may be a fraction.
        z: quantile of the normal distribution; the default gives 95 %.

    Returns:
        Its lower and upper end.
    """
    if total == 0:
        return 0.0, 1.0
    p, z2 = right / total, z * z
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = z / (1 + z2 / total) * math.sqrt(p * (1 - p) / total + z2 / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def share_interval(values: Scores, *, draws: int = 1, resamples: int = 10_000) -> tuple[float, float]:
    """Return the 95 % interval of a mean of shares (from 0 to 1) that does not collapse where all of them are alike.

    The percentile bootstrap over problems (and seeds), widened to Wilson's interval of the same mean where that reaches
    further. Wilson's n is the effective number of answers (Korn and Graubard 1998): m (1 - m) / v with the variance v
    of the problems' shares about their mean m, both with two problems more, one at 0 and one at 1. It is at least the
    number of problems (all answers to a problem are alike, as with 0 of n) and at most that of all answers. A
    ``UserError`` is raised where there is no share, or one is not finite.

    Args:
        values: share of each problem, or seeds x problems.
        draws: answers behind each value.
        resamples: of the bootstrap.

    Returns:
        Its lower and upper end.
    """
    table = score_table(values, "values")
    seeds, problems = table.shape
    effective = min(_effective(table.mean(0)), float(problems * seeds * draws))
    return _widest(bootstrap_interval(values, resamples=resamples), wilson(float(table.mean()) * effective, effective))


def difference_interval(a: Scores, b: Scores, *, resamples: int = 10_000) -> tuple[float, float]:
    """Return the 95 % interval of mean(a) - mean(b) of paired shares that does not collapse where no problem differs.

    The paired bootstrap, widened as ``share_interval`` is, by Wilson's interval of the differences brought from -1 … 1
    to 0 … 1. Where n problems do not differ at all it is about -2.8/n … 2.8/n. A ``UserError`` is raised where the two
    are not of one shape, there is no share, or one is not finite.

    Args:
        a: shares of the problems, or seeds x problems.
        b: shares of the same problems (and seeds).
        resamples: of the bootstrap.

    Returns:
        Its lower and upper end.
    """
    shares = (paired_differences(a, b).mean(0) + 1) / 2
    effective = _effective(shares)
    low, high = wilson(float(shares.mean()) * effective, effective)
    return _widest(paired_bootstrap(a, b, resamples=resamples), (2 * low - 1, 2 * high - 1))


def _effective(shares: Float64[Tensor, " N"]) -> float:
    """Return how many independent yes-or-no answers would vary as these shares do; at least their number."""
    count = len(shares) + 2
    mean = float(shares.sum() + 1) / count
    variance = (float((shares - mean).square().sum()) + mean**2 + (1 - mean) ** 2) / count
    return max(float(len(shares)), len(shares) * mean * (1 - mean) / variance)


def _widest(*intervals: Sequence[float]) -> tuple[float, float]:
    lows, highs = zip(*intervals, strict=True)
    return min(lows), max(highs)
