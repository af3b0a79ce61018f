"""Sums of what was measured, separate for each example, and the means, errors and paired differences made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

MEANS = ("gold", "top", "nll", "accuracy", "learnability")
ENTRIES = 1 + len(MEANS)
"""What is summed of each token: one, and these."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Sums over tokens for each noise level, example and group of tokens.

    They are separate for each example for two reasons: tokens of one example are not independent, so errors are taken
    over examples; and a sum in the order of the examples does not depend on how they were cut into batches.

    Args:
        values: float64 [T, E, G, Q]; entry 0 counts, the others sum ``MEANS``.
    """

    values: Float64[Tensor, "T E G Q"]

    @classmethod
    def empty(cls, levels: int, examples: int, groups: int) -> "Sums":
        """Return sums of no tokens, all zero."""
        return cls(values=torch.zeros(levels, examples, groups, ENTRIES, dtype=torch.float64))

    def add(
        self, level: int, example: Int[Tensor, " K"], group: Int[Tensor, " K"], entries: Float64[Tensor, "K Q"]
    ) -> None:
        """Add the entries of tokens at one noise level, one after the other.

        Args:
            level: index of the noise level.
            example: index of each token's example, [K].
            group: index of each token's group, [K].
            entries: what is summed of each token, [K, Q]; the first entry is 1.
        """
        self.values[level].view(-1, ENTRIES).index_add_(0, example * self.values.shape[2] + group, entries)

    @property
    def counts(self) -> Float64[Tensor, "T E G"]:
        """Number of tokens that were predicted, [T, E, G]."""
        return self.values[..., 0]

    def merged(self) -> "Sums":
        """Return the sums of all groups together, as one group."""
        return Sums(values=self.values.sum(2, keepdim=True))

    def cells(self, ratios: Sequence[float], *, errors: bool = True) -> list[list[dict[str, Any]]]:
        """Compute the means of each group and noise level.

        Args:
            ratios: the noise levels.
            errors: whether to compute standard errors, too.

        Returns:
            For each group a row for each noise level: the count, and the means; None where no token was predicted.
        """
        rows = _cells(self.values, ratios, errors=errors)
        for row in rows:
            all_hidden = next((cell["nll"] for cell in row if cell["ratio"] == 1), None)
            for cell in row:
                known = all_hidden is not None and cell["nll"] is not None
                cell["information"] = all_hidden - cell["nll"] if known else None
        return rows

    def changes(self, after: "Sums", ratios: Sequence[float]) -> list[list[dict[str, Any]]]:
        """Compute the differences of the means from these sums to others of the same tokens.

        Args:
            after: sums of the other model.
            ratios: the noise levels.

        Returns:
            For each group a row for each noise level: ``after`` less this, with the errors of paired differences.
        """
        difference = after.values - self.values
        difference[..., 0] = self.counts
        return _cells(difference, ratios, errors=True)


def _cells(values: Float64[Tensor, "T E G Q"], ratios: Sequence[float], *, errors: bool) -> list[list[dict[str, Any]]]:
    """Return, for each group and noise level, the count and the means, with their errors if wanted.

    The standard error of m = sum of S_e / sum of n_e over the examples e is that of a ratio estimator,
    sqrt(E/(E-1) sum of (S_e - m n_e)^2) / sum of n_e.
    """
    total = values.sum(1)
    means = total[..., 1:] / total[..., :1]
    rows = []
    for group in range(values.shape[2]):
        row = []
        for level, ratio in enumerate(ratios):
            cell: dict[str, Any] = {"ratio": ratio, "count": int(total[level, group, 0])}
            counts = values[level, :, group, 0]
            for index, name in enumerate(MEANS):
                mean = means[level, group, index]
                cell[name] = _number(mean)
                if errors:
                    cell[f"{name}_error"] = _error(values[level, :, group, index + 1], counts, mean)
            row.append(cell)
        rows.append(row)
    return rows


def _error(sums: Float64[Tensor, " E"], counts: Float64[Tensor, " E"], mean: Float64[Tensor, ""]) -> float | None:
    has_any = counts > 0
    examples = int(has_any.sum())
    if examples < 2:
        return None
    residual = (sums - mean * counts)[has_any].square().sum() * examples / (examples - 1)
    return float(residual.sqrt() / counts.sum())


def _number(value: Tensor) -> float | None:
    return float(value) if bool(torch.isfinite(value)) else None
