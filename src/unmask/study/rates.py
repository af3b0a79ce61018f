"""The learning rate of each arm: the best of one grid that all arms try, on validation problems."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any


def trials_of(results: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return the last accuracies (means over decoders) of trials by cell and arm, lowest rate first."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in sorted(results, key=lambda result: result["rate"]):
        accuracy = fmean(row["accuracy"] for row in result["points"][-1]["decoders"].values())
        row = {"rate": result["rate"], "accuracy": accuracy, "path": result["path"]}
        found.setdefault((result["cell"], result["arm"]), []).append(row)
    return found


def best_rate(trials: Sequence[Mapping[str, Any]]) -> float:
    """Return the rate with the highest accuracy; of equals the lowest.

    >>> best_rate([{"rate": 1e-3, "accuracy": 0.8}, {"rate": 3e-3, "accuracy": 0.8}])
    0.001
    """
    return float(max(trials, key=lambda trial: (trial["accuracy"], -trial["rate"]))["rate"])


def is_at_edge(trials: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the best rate is the lowest or the highest tried, so that a better one may lie outside."""
    rates = [trial["rate"] for trial in trials]
    return len(rates) > 1 and best_rate(trials) in (min(rates), max(rates))
