"""Accuracy as a function of what was spent: every budget is read off the same judged points by interpolation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unmask.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The judged points of one run under one decoder.

    Args:
        cell: cell of the run.
        arm: arm of the run.
        seed: seed of the run.
        decoder: name of the decoder.
        spent: budget -> amount at each point, from 0.
        right: for each point, each problem's outcome, 1 or 0; the first is the base's.
        path: folder of the run.
    """

    cell: str
    arm: str
    seed: int
    decoder: str
    spent: Mapping[str, Sequence[float]]
    right: Sequence[Sequence[float]]
    path: str

    def points_at(self, budget: str, amount: float) -> list[float]:
        """Interpolate each problem's outcome linearly between the two neighbouring points.

        The mean is the interpolated accuracy. Amounts beyond the last point by rounding count as the last point.

        Args:
            budget: name of the budget.
            amount: how much of it, in its unit.

        Returns:
            The outcome of each problem, from 0 to 1.
        """
        spent = self.spent[budget]
        after = next((i for i, value in enumerate(spent) if value >= amount), len(spent) - 1)
        if after == 0:
            return [float(x) for x in self.right[0]]
        low, high = spent[after - 1], spent[after]
        share = min(1.0, (amount - low) / (high - low)) if high > low else 1.0
        pairs = zip(self.right[after - 1], self.right[after], strict=True)
        return [x + share * (y - x) for x, y in pairs]

    def accuracies(self) -> list[float]:
        """Return the accuracy at each point."""
        return [sum(right) / len(right) for right in self.right]


def curves_of(result: Mapping[str, Any], base: Mapping[str, Any], budgets: Sequence[str]) -> list[Curve]:
    """Make the curves of a run, one for each decoder.

    Args:
        result: result of the run.
        base: result of its base, the first point of each curve.
        budgets: names of the budgets.

    Returns:
        The curves.

    Raises:
        UserError: run and base were judged on other problems.
    """
    if result["problem_keys"] != base["problem_keys"]:
        raise UserError(
            f"{result['path']}: judged on other problems than {base['path']}; delete the one that is out of date"
        )
    points = result["points"]
    last = points[-1]["steps"]
    points = [{**point, "run": point["steps"] / last} for point in points]
    spent = {budget: [0.0, *(float(point[budget]) for point in points)] for budget in budgets}
    return [
        Curve(
            cell=result["cell"], arm=result["arm"], seed=result["seed"], decoder=decoder, spent=spent,
            right=[judged["right"], *(point["decoders"][decoder]["right"] for point in points)], path=result["path"],
        )
        for decoder, judged in base["decoders"].items()
    ]  # fmt: skip


def amount_for_all(curves: Sequence[Curve], budget: str, stated: float | None) -> float:
    """Return the amount of a budget to compare at: the one stated, or the largest that all runs reach.

    Args:
        curves: of all runs.
        budget: name of the budget.
        stated: amount that the recipe states; None: none.

    Returns:
        The amount, in the budget's unit.

    Raises:
        UserError: an arm does not reach the stated amount.
    """
    least = min(curves, key=lambda curve: curve.spent[budget][-1])
    reached = least.spent[budget][-1]
    if stated is not None and stated > reached * (1 + 1e-9):
        raise UserError(
            f"equal.{budget}: {stated:g} cannot be met: arm '{least.arm}' ends at {reached:g} (seed {least.seed}, cell "
            f"{least.cell}); write at most that, or raise its run.steps"
        )
    return reached if stated is None else float(stated)
