"""Which arm is better under which budget, and how certain that is: rows of plain values, made of raw outcomes only."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any

from unmask.evaluate.intervals import difference_interval, share_interval
from unmask.evaluate.statistics import holm, paired_permutation, seed_permutation
from unmask.study.curves import Curve, amount_for_all

RESAMPLES = 2_000
FLIPS = 10_000
Row = dict[str, Any]


def compare(
    curves: Sequence[Curve], budgets: Mapping[str, float | None], reference: str, *, intervals: bool = True
) -> list[Row]:
    """Compare the arms in each cell, under each budget and decoder.

    A row has the accuracy (mean over seeds and problems) with its interval over both (``share_interval``), and, for
    arms that are not the reference, the difference from it on the same seeds and problems with its interval
    (``difference_interval``), the p value of a paired permutation test over problems, the same after Holm's correction
    over all of a budget's tests, and the p value of the test over seeds (``seed_permutation``), which is not corrected.

    Args:
        curves: of all runs.
        budgets: name -> amount, None for the largest that all of a cell's runs reach.
        reference: name of the reference arm.
        intervals: whether to make them, which takes most of the time; else they are None.

    Returns:
        A row for each cell, budget, decoder and arm.
    """
    rows: list[Row] = []
    for budget, stated in budgets.items():
        made = [
            row
            for _, cell in _by(curves, "cell")
            for row in _cell_rows(list(cell), budget, stated, reference, intervals=intervals)
        ]
        tested = [row for row in made if row["p"] is not None]
        for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
            row["p_holm"] = p
        rows += made
    return rows


def _by(curves: Sequence[Curve], field: str) -> Iterator[tuple[str, Iterator[Curve]]]:
    """Return curves that stand together, in groups of one value of a field, in the order of the study."""
    order = {name: i for i, name in enumerate(dict.fromkeys(getattr(curve, field) for curve in curves))}
    return groupby(sorted(curves, key=lambda curve: order[getattr(curve, field)]), key=lambda c: getattr(c, field))


def _cell_rows(curves: list[Curve], budget: str, stated: float | None, reference: str, *, intervals: bool) -> list[Row]:
    amount = amount_for_all(curves, budget, stated)
    rows = []
    for decoder, mine in _by(curves, "decoder"):
        by_arm = {arm: sorted(group, key=lambda curve: curve.seed) for arm, group in _by(list(mine), "arm")}
        tables = {arm: [curve.points_at(budget, amount) for curve in group] for arm, group in by_arm.items()}
        for arm, group in by_arm.items():
            compared = {} if arm == reference else _against(by_arm, tables, arm, reference, intervals=intervals)
            rows.append(
                {
                    "cell": group[0].cell, "budget": budget, "amount": amount, "decoder": decoder, "arm": arm,
                    "accuracy": fmean(map(fmean, tables[arm])),
                    "interval": list(share_interval(tables[arm], resamples=RESAMPLES)) if intervals else None,
                    "seeds": {curve.seed: fmean(table) for curve, table in zip(group, tables[arm], strict=True)},
                    "paths": {curve.seed: curve.path for curve in group},
                    "difference": None, "difference_interval": None, "p": None, "p_holm": None, "p_seeds": None,
                    "above": None, **compared,
                }
            )  # fmt: skip
    return rows


def _against(
    by_arm: Mapping[str, Sequence[Curve]],
    tables: Mapping[str, Sequence[Sequence[float]]],
    arm: str,
    reference: str,
    *,
    intervals: bool,
) -> Row:
    """Return the comparison of an arm with the reference on the seeds that both have; empty where there is none."""
    seeds = {name: {c.seed: t for c, t in zip(by_arm[name], tables[name], strict=True)} for name in by_arm}
    common = [seed for seed in seeds[arm] if seed in seeds.get(reference, {})]
    if not common:
        return {}
    mine, theirs = ([seeds[name][seed] for seed in common] for name in (arm, reference))
    my_means, their_means = list(map(fmean, mine)), list(map(fmean, theirs))
    return {
        "difference": fmean(my_means) - fmean(their_means),
        "difference_interval": list(difference_interval(mine, theirs, resamples=RESAMPLES)) if intervals else None,
        "p": paired_permutation(mine, theirs, flips=FLIPS),
        "p_seeds": seed_permutation(mine, theirs),
        "above": f"{sum(a > b for a, b in zip(my_means, their_means, strict=True))} of {len(common)}",
    }


def check_headroom(
    curves: Sequence[Curve], base: tuple[float, float], tuned: float, decoders: Sequence[str]
) -> list[Row]:
    """Check whether base and tuned models leave room for differences.

    Args:
        curves: of all runs.
        base: lowest and highest accuracy of the base.
        tuned: accuracy that no arm's mean final accuracy may reach.
        decoders: names of those to look at.

    Returns:
        A row for each cell and decoder.
    """
    rows = []
    for cell, mine in _by(curves, "cell"):
        for decoder, group in _by(list(mine), "decoder"):
            if decoder not in decoders:
                continue
            found = list(group)
            start = found[0].accuracies()[0]
            best = max(
                (fmean(curve.accuracies()[-1] for curve in of_arm), arm) for arm, of_arm in _each_arm(found)
            )  # fmt: skip
            faults = []
            if not base[0] <= start <= base[1]:
                faults.append(f"the base stands at {start:.1%}, outside {base[0]:.0%} to {base[1]:.0%}")
            if best[0] >= tuned:
                faults.append(f"{best[1]} reaches {best[0]:.1%}, at or above {tuned:.0%}")
            rows.append(
                {"cell": cell, "decoder": decoder, "base": start, "best": best[0], "arm": best[1], "faults": faults}
            )
    return rows


def _each_arm(curves: Sequence[Curve]) -> list[tuple[str, list[Curve]]]:
    return [(arm, list(group)) for arm, group in _by(curves, "arm")]
