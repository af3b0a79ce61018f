"""Statistics of differences: bootstrap intervals, sign-flip permutation tests, Holm's correction.

Scores are a vector (one for each problem) or a table (seeds x problems). Everything is a function of its arguments and
``seed``.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float64
from torch import Tensor

from unmask.core.random import Draws
from unmask.errors import UserError

Scores = Sequence[float] | Sequence[Sequence[float]] | Tensor

EXACT = 16
"""Up to this many differences all sign flips are tried."""

_CHUNK = 1 << 22


def bootstrap_interval(
    values: Scores, seed: int = 0, *, level: float = 0.95, resamples: int = 10_000
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean.

    A vector is resampled by problem. A table is resampled by seed and, independently, by problem (the pigeonhole
    bootstrap, Owen 2007, errs on the wide side); with one seed, by problem only.

    Args:
        values: scores of the problems, or seeds x problems.
        seed: of the resampling.
        level: share of the distribution that lies inside.
        resamples: how many.

    Returns:
        Its lower and upper end.

    Raises:
        UserError: ``level`` is no share, there is no value, or one is not finite.
    """
    table = score_table(values, "values")
    if not 0 < level < 1:
        raise UserError(f"level={level}: expected a share between 0 and 1, such as 0.95")
    seeds, problems = table.shape
    means = []
    for begin, end in _chunks(resamples, max(seeds, problems)):
        by_seed = _counts(seed, "bootstrap/seeds", begin, end, seeds)
        by_problem = _counts(seed, "bootstrap/problems", begin, end, problems)
        means.append(((by_seed @ table) * by_problem).sum(1) / (seeds * problems))
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.cat(means).quantile(tails).tolist()
    return low, high


def paired_bootstrap(
    a: Scores, b: Scores, seed: int = 0, *, level: float = 0.95, resamples: int = 10_000
) -> tuple[float, float]:
    """Return the bootstrap interval of mean(a) - mean(b) over the same problems (and seeds), drawn together.

    A ``UserError`` is raised where the two are not of one shape, there is no value, or one is not finite.

    Args:
        a: scores of the problems, or seeds x problems.
        b: scores of the same problems (and seeds).
        seed: of the resampling.
        level: share of the distribution that lies inside.
        resamples: how many.

    Returns:
        Its lower and upper end.
    """
    return bootstrap_interval(paired_differences(a, b), seed, level=level, resamples=resamples)


def paired_permutation(a: Scores, b: Scores, seed: int = 0, *, flips: int = 100_000) -> float:
    """Return the two-sided p value of mean(a) = mean(b) by flipping the signs of the paired differences.

    Exact, over all flips, for up to ``EXACT`` differences that are not zero (on right and wrong answers that is
    McNemar's exact test); else (1 + as extreme) / (1 + flips) over drawn ones, which is never 0.

    Tables are averaged over seeds, and problems are flipped: p is about these seeds and problems in general.
    ``seed_permutation`` is about seeds in general.

    Args:
        a: scores of the problems, or seeds x problems.
        b: scores of the same problems (and seeds).
        seed: of the flips, where they are drawn.
        flips: how many are drawn.

    Returns:
        p; 1 where no problem differs.
    """
    # Sums of exact zeros and ones must tie exactly, hence no division before the comparison.
    differences = paired_differences(a, b).sum(0)
    differences = differences[differences != 0]
    count = len(differences)
    if not count:
        return 1.0
    observed = float(differences.sum().abs()) - 1e-9 * float(differences.abs().sum())
    is_exact = count <= EXACT
    trials, extreme = 2**count if is_exact else flips, 0
    for begin, end in _chunks(trials, count):
        flip = _all_flips(begin, end, count) if is_exact else _drawn_flips(seed, begin, end, count)
        extreme += int(((flip @ differences).abs() >= observed).sum())
    return extreme / trials if is_exact else (1 + extreme) / (1 + trials)


def seed_permutation(a: Scores, b: Scores) -> float | None:
    """Return the two-sided p value of mean(a) = mean(b) by flipping the signs of the seeds' mean differences.

    It is about seeds in general, on these problems, where ``paired_permutation`` is about problems in general, on
    these seeds. Seeds are few: with n of them p is at least 2 / 2^n, .0625 with five and .031 with six.

    Args:
        a: scores, seeds x problems.
        b: scores of the same seeds and problems.

    Returns:
        p; None for fewer than two seeds, which show nothing about others.
    """
    differences = paired_differences(a, b)
    if len(differences) < 2:
        return None
    means = differences.mean(1)
    return paired_permutation(means, torch.zeros_like(means))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number (Holm 1979), in the order given: reject where one is at most alpha.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def ratio_error(sums: Float64[Tensor, " E"], counts: Float64[Tensor, " E"]) -> float | None:
    """Return the standard error of m = sum of sums / sum of counts over examples; None for fewer than two.

    That of a ratio estimator: sqrt(E/(E-1) sum of (S_e - m n_e)^2) / sum of n_e.

    Args:
        sums: S_e, of each example.
        counts: n_e, of each example.

    Returns:
        The standard error, in the unit of m.
    """
    examples = len(sums)
    if examples < 2:
        return None
    residual = sums - sums.sum() / counts.sum() * counts
    return float((residual.square().sum() * examples / (examples - 1)).sqrt() / counts.sum())


def score_table(values: Scores, name: str) -> Float64[Tensor, "S N"]:
    """Return scores as a table, seeds x problems; a vector is one seed.

    Args:
        values: scores of the problems, or seeds x problems.
        name: which scores they are, for the message.

    Returns:
        The table, [S, N].

    Raises:
        UserError: there is no value, or one is not finite.
    """
    table = torch.as_tensor(values, dtype=torch.float64)
    table = table[None] if table.ndim == 1 else table
    if table.ndim != 2 or not table.numel():
        raise UserError(f"{name}: expected scores of problems, or seeds x problems, found shape {list(table.shape)}")
    if not bool(table.isfinite().all()):
        raise UserError(f"{name}: expected finite scores, found {int((~table.isfinite()).sum())} that are not")
    return table


def paired_differences(a: Scores, b: Scores) -> Float64[Tensor, "S N"]:
    """Return a - b as a table, seeds x problems.

    Args:
        a: scores of the problems, or seeds x problems.
        b: scores of the same problems (and seeds).

    Returns:
        The differences, [S, N].

    Raises:
        UserError: the two are not of one shape, there is no value, or one is not finite.
    """
    first, second = score_table(a, "a"), score_table(b, "b")
    if first.shape != second.shape:
        raise UserError(
            f"expected scores of the same problems and seeds, found shapes {list(first.shape)} and "
            f"{list(second.shape)}; pair them by problem"
        )
    return first - second


def _chunks(total: int, width: int) -> list[tuple[int, int]]:
    """Return the ranges that cut 0 … total - 1 into chunks whose size times ``width`` stays small."""
    step = max(1, _CHUNK // width)
    return [(begin, min(begin + step, total)) for begin in range(0, total, step)]


@lru_cache(maxsize=4)  # a study needs the same draws over and over
def _counts(seed: int, name: str, begin: int, end: int, size: int) -> Float64[Tensor, "R N"]:
    """Return how often each of ``size`` things is drawn in resamples ``begin`` … ``end``, with replacement, [R, N]."""
    counts = torch.zeros(end - begin, size, dtype=torch.float64)
    drawn = (Draws(seed=seed).uniform(name, torch.arange(begin, end)[:, None], torch.arange(size)) * size).long()
    return counts.scatter_add_(1, drawn, torch.ones_like(counts))


def _all_flips(begin: int, end: int, count: int) -> Float64[Tensor, "R N"]:
    return 1.0 - 2.0 * ((torch.arange(begin, end)[:, None] >> torch.arange(count)) & 1).double()


def _drawn_flips(seed: int, begin: int, end: int, count: int) -> Float64[Tensor, "R N"]:
    # A draw depends on its index only, so that fewer resamples are the first of more.
    return _wide_flips(seed, begin, end, 1 << (count - 1).bit_length())[:, :count]


@lru_cache(maxsize=1)
def _wide_flips(seed: int, begin: int, end: int, width: int) -> Float64[Tensor, "R N"]:
    drawn = Draws(seed=seed).uniform("flip", torch.arange(begin, end)[:, None], torch.arange(width))
    return torch.where(drawn < 0.5, 1.0, -1.0).double()
