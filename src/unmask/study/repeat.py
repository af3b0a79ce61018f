"""Repeating a published study: whether outcomes and costs are the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from unmask.errors import UserError
from unmask.study.published import Published
from unmask.study.results import Result
from unmask.study.verify import AMOUNTS, is_close

COSTS = ("forwards", "tokens_per_forward")


def check_common(published: Published, paths: Sequence[str]) -> None:
    """Refuse to repeat runs of which none was published, before they start.

    Args:
        published: the study that is repeated.
        paths: paths of the runs that are planned, such as ``runs/all/vanilla/seed-0``.

    Raises:
        UserError: the two have no run in common.
    """
    if not set(paths) & published.runs.keys():
        seeds = sorted({run["seed"] for run in published.runs.values()})
        raise UserError(
            f"{published.folder}: expected runs that were published there, found none of them planned; write seeds "
            f"among {seeds}, and arms and cells that it has"
        )


def compare_outcomes(published: Published, now: list[Result]) -> list[dict[str, Any]]:
    """Compare runs with the published ones of the same cell, arm and seed.

    Args:
        published: the study that is repeated.
        now: results of the new runs.

    Returns:
        For each run and decoder both accuracies after the whole run, how many problems came out otherwise then
            (``changed``) and at earlier points (``changed_before``), and a phrase for each cost that differs, except
            times (``totals``).

    Raises:
        UserError: a run was judged on other problems, or no run is among the published ones.
    """
    check_common(published, [result["path"] for result in now])
    rows = []
    for result in now:
        before = published.runs.get(result["path"])
        if before is None:
            continue
        if before["problem_keys"] != result["problem_keys"]:
            raise UserError(
                f"{result['path']}: judged on other problems than in {published.folder}; leave evaluate alone"
            )
        for decoder, was in before["points"][-1]["decoders"].items():
            found = result["points"][-1]["decoders"].get(decoder)
            if found is not None:
                rows.append(
                    {
                        **{name: result[name] for name in ("cell", "arm", "seed")}, "decoder": decoder,
                        "published": was["accuracy"], "now": found["accuracy"],
                        "changed": _changed(was, found), **_on_the_way(before, result, decoder),
                    }
                )  # fmt: skip
    if not rows:
        raise UserError(
            f"{published.folder}: expected runs that were published there, found none; leave seeds and arms"
        )
    return rows


def is_same(row: Mapping[str, Any]) -> bool:
    """Return whether all of a run under one decoder came out as published."""
    return not (row["changed"] or row["changed_before"] or row["totals"])


def _on_the_way(before: Result, now: Result, decoder: str) -> dict[str, Any]:
    """Return how the points that both have differ: outcomes before the end, and costs at all of them."""
    earlier = {point["steps"]: point for point in before["points"]}
    changed, totals = 0, []
    for point in now["points"]:
        was = earlier.get(point["steps"])
        if was is None or decoder not in was["decoders"] or decoder not in point["decoders"]:
            continue
        old, new = was["decoders"][decoder], point["decoders"][decoder]
        changed += 0 if point is now["points"][-1] else _changed(old, new)
        spent = [(name, was[name], point[name]) for name in AMOUNTS if name != "seconds"]
        for name, a, b in spent + [(name, old[name], new[name]) for name in COSTS]:
            if not is_close(a, b):
                totals.append(f"{name} after {point['steps']} steps was {a:.6g} and is {b:.6g}")
    return {"changed_before": changed, "totals": totals}


def _changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> int:
    return sum(a != b for a, b in zip(was["right"], now["right"], strict=True))
