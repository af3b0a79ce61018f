"""The pictures of a study's report."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from unmask.plots.study import plot_curves, plot_differences, plot_matrix, plot_tradeoff
from unmask.study.curves import Curve
from unmask.study.document import Figure, Heading, Section
from unmask.study.grid import ALL, Cell
from unmask.study.results import Results
from unmask.study.spec import HEADS, Study

Row = Mapping[str, Any]


def draw(study: Study, cells: Sequence[Cell], results: Results, rows: Sequence[Row], out: Path) -> list[Section]:
    """Draw all pictures into ``out/figures``.

    Args:
        study: its settings.
        cells: cells of the grid.
        results: the results that exist.
        rows: comparisons, as ``compare`` returns them.
        out: folder of the study.

    Returns:
        The sections of the report that show the pictures.
    """
    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    made: list[Section] = [Heading("Pictures")]
    many = len(cells[0].judge.decoders) > 3

    def add(path: Path, caption: str) -> None:
        made.append(Figure(f"figures/{path.name}.png", caption))

    for budget, group in groupby(rows, key=lambda row: row["budget"]):
        compared = [row for row in group if row["difference"] is not None]
        if compared and not many:
            plot_differences(
                compared, folder / f"differences-{budget}", reference=study.compared_with,
                of=f"{HEADS[budget]}, over seeds and problems",
            )  # fmt: skip
            caption = f"Points above {study.compared_with} {HEADS[budget]}, with 95 % intervals"
            add(folder / f"differences-{budget}", f"{caption} over seeds and problems, of [all runs](runs)")
    is_judged_on_the_way = any(len(curve.right) > 2 for curve in results.curves) or list(study.equal) != ["run"]
    for cell in dict.fromkeys(curve.cell for curve in results.curves if is_judged_on_the_way):
        where = "" if cell == ALL else f", {cell}"
        for number, decoder in enumerate(list(cells[0].judge.decoders)[:2]):
            mine = [curve for curve in results.curves if (curve.cell, curve.decoder) == (cell, decoder)]
            name = folder / f"curves-{cell}-{number}"
            plot_curves(_lines(mine, list(study.equal)), name, of=f"decoded with {decoder}{where}")
            add(name, f"Accuracy along the runs{where}, under {decoder}: mean and range over seeds, of [these runs]"
                f"(runs/{cell})")  # fmt: skip
        if many:
            first = next(iter(study.equal))
            shown = [row for row in rows if row["cell"] == cell and row["budget"] == first]
            plot_matrix(shown, folder / f"matrix-{cell}", of=f"at equal {first.replace('_', ' ')}{where}")
            add(
                folder / f"matrix-{cell}",
                f"Accuracy of each arm under each decoder{where}, of [these runs](runs/{cell})",
            )
            plot_tradeoff(_decodings(results, cell), folder / f"tradeoff-{cell}", of=f"after the whole run{where}")
            add(folder / f"tradeoff-{cell}", f"Accuracy against speed{where}, of [these runs](runs/{cell})")
    return made


def _lines(curves: Sequence[Curve], budgets: Sequence[str]) -> list[dict[str, Any]]:
    """Return the curves of each arm, averaged over seeds."""
    lines = []
    for arm in dict.fromkeys(curve.arm for curve in curves):
        mine = [curve for curve in curves if curve.arm == arm]
        points = list(zip(*(curve.accuracies() for curve in mine), strict=True))
        height = {"y": list(map(fmean, points)), "low": list(map(min, points)), "high": list(map(max, points))}
        for budget in budgets:
            spent = zip(*(curve.spent[budget] for curve in mine), strict=True)
            lines.append({"arm": arm, "budget": budget, "x": list(map(fmean, spent)), **height})
    return lines


def _decodings(results: Results, cell: str) -> list[dict[str, Any]]:
    """Return what each decoder achieves and costs after the whole run, averaged over seeds."""
    found: dict[tuple[str, str], list[Row]] = {}
    for result in results.runs:
        if result["cell"] == cell:
            for decoder, row in result["points"][-1]["decoders"].items():
                found.setdefault((result["arm"], decoder), []).append({**row, "problems": result["problems"]})
    return [
        {
            "arm": arm, "decoder": decoder, "accuracy": fmean(row["accuracy"] for row in rows),
            "tokens_per_forward": fmean(row["tokens_per_forward"] for row in rows),
            "milliseconds": fmean(row["seconds"] / row["problems"] for row in rows) * 1e3,
        }
        for (arm, decoder), rows in found.items()
    ]  # fmt: skip
