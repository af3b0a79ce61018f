"""Pictures of a study: curves along budgets, differences with intervals, arms by decoders, accuracy against speed."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.plots.palette import INK, QUIET
from unmask.plots.panels import Figure
from unmask.plots.style import SMALL, figure, legend, looks, save_both

Rows = Sequence[Mapping[str, Any]]
if TYPE_CHECKING:
    from matplotlib.text import Annotation

MANY = 10
NEAR = ((4, 3), (4, -9), (4, 12), (4, -18), (4, 21), (4, -27))  # points from a point to its name, tried in turn
NAMES = {
    "steps": "optimiser steps", "examples": "examples read", "forward_tokens": "tokens read", "flops": "FLOPs",
    "seconds": "seconds of training",
}  # fmt: skip


def plot_curves(lines: Rows, path: Path, *, of: str = "") -> list[Path]:
    """Draw accuracy along each budget, a panel for each: mean over seeds in a band of their range.

    Args:
        lines: of each arm and budget: ``x``, ``y``, ``low``, ``high`` at each judged point.
        path: without ending; .png and .svg are written.
        of: what was judged, and by which decoder.

    Returns:
        The paths of the two files.
    """
    budgets = list(dict.fromkeys(line["budget"] for line in lines))
    shade = looks(list(dict.fromkeys(line["arm"] for line in lines)))
    width, height = max(1 + 3.2 * len(budgets), 6.0), 3.4
    question = "How does the accuracy grow with what training costs?"
    made, axes = figure(width, height, title=question, subtitle=of, panels=len(budgets), share_y=True)
    for axis, budget in zip(axes, budgets, strict=True):
        for line in lines:
            if line["budget"] == budget:
                axis.plot(line["x"], line["y"], ms=4, **shade[line["arm"]])
                colour = shade[line["arm"]]["color"]
                axis.fill_between(line["x"], line["low"], line["high"], color=colour, alpha=0.15, lw=0)
        axis.set(xlabel=NAMES.get(budget, budget.replace("_", " ")), ylim=(0, 1.02))
    axes[0].set_ylabel("accuracy; mean and range of seeds")
    _legend(made, shade)
    return save_both(made, path)


def plot_differences(rows: Rows, path: Path, *, reference: str, of: str = "") -> list[Path]:
    """Draw the differences from the reference with their intervals: a panel for each decoder, a line for each arm.

    Args:
        rows: with ``decoder``, ``cell``, ``arm``, ``difference`` and ``difference_interval``.
        path: without ending; .png and .svg are written.
        reference: name of the arm that others are compared with.
        of: at which equal budget.

    Returns:
        The paths of the two files.
    """
    decoders = list(dict.fromkeys(row["decoder"] for row in rows))
    places = list(dict.fromkeys((row["cell"], row["arm"]) for row in rows))
    shade = looks(list(dict.fromkeys(row["arm"] for row in rows)))
    width, height = max(1.8 + 3.4 * len(decoders), 6.0), 0.9 + 0.28 * len(places)
    question = f"Which arms beat {reference}, and by how much?"
    made, axes = figure(width, height, title=question, subtitle=of, panels=len(decoders), share_y=True)
    bounds = [edge * 100 for row in rows for edge in (*row["difference_interval"], row["difference"])]
    least, most = min(0.0, *bounds), max(0.0, *bounds)
    room = 0.05 * (most - least) or 1.0
    for axis, decoder in zip(axes, decoders, strict=True):
        for row in rows:
            if row["decoder"] == decoder:
                low, high = row["difference_interval"]
                at, value = places.index((row["cell"], row["arm"])), row["difference"] * 100
                # The mean of resampled means may lie slightly outside a percentile interval of few values.
                reach = [[max(0.0, value - low * 100)], [max(0.0, high * 100 - value)]]
                axis.errorbar(value, at, xerr=reach, ls="", ms=5, capsize=3, **shade[row["arm"]])
        axis.axvline(0, color=QUIET, lw=0.8)
        axis.set(title=f"decoded with {decoder}", xlabel=f"percentage points above {reference}, 95 % interval")
        axis.set_xlim(least - room, most + room)  # one scale for all panels
    axes[0].set_yticks(range(len(places)), [arm if cell == "all" else f"{cell}: {arm}" for cell, arm in places])
    axes[0].invert_yaxis()
    return save_both(made, path)


def plot_matrix(rows: Rows, path: Path, *, of: str = "") -> list[Path]:
    """Draw the accuracy of each arm (line) under each decoder (column); many decoders are lines.

    Args:
        rows: with ``arm``, ``decoder`` and ``accuracy``.
        path: without ending; .png and .svg are written.
        of: which cell of the study.

    Returns:
        The paths of the two files.
    """
    import numpy as np

    arms, decoders = (list(dict.fromkeys(row[name] for row in rows)) for name in ("arm", "decoder"))
    by_place = {(row["arm"], row["decoder"]): row["accuracy"] for row in rows}
    values = np.array([[by_place[arm, decoder] for decoder in decoders] for arm in arms])
    lines, columns, labels = arms, decoders, ("trained as", "decoded with")
    if len(decoders) > MANY:
        values, lines, columns, labels = values.T, decoders, arms, ("decoded with", "trained as")
    width, height = max(3.2 + 0.85 * len(columns), 5.5), 1.2 + 0.36 * len(lines)
    made, (axis,) = figure(width, height, title="How often is each arm right, by decoder?", subtitle=of)
    shown = axis.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (line, column), value in np.ndenumerate(values):
        ink = "white" if value < 0.6 else INK
        axis.text(column, line, f"{value:.2f}", ha="center", va="center", fontsize=SMALL, color=ink)
    axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axis.set_yticks(range(len(lines)), lines)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set(ylabel=labels[0], xlabel=labels[1])
    made.colorbar(shown, ax=axis, label="accuracy", pad=0.02, fraction=0.06, aspect=30)
    return save_both(made, path)


def plot_tradeoff(rows: Rows, path: Path, *, of: str = "") -> list[Path]:
    """Draw accuracy against tokens per forward and against time, a point for each arm and decoder.

    A line and names for the decoders of an arm that no other one beats in both, a faint point for each of the rest.

    Args:
        rows: with ``arm``, ``decoder``, ``accuracy``, ``tokens_per_forward`` and ``milliseconds``.
        path: without ending; .png and .svg are written.
        of: which cell of the study.

    Returns:
        The paths of the two files.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    shade = looks(list(dict.fromkeys(row["arm"] for row in rows)))
    question = "What does speed cost in accuracy?"
    made, axes = figure(11, 4.5, title=question, subtitle=of, panels=2, share_y=True)
    names: list[Annotation] = []
    for axis, name in zip(axes, ("tokens_per_forward", "milliseconds"), strict=True):
        for arm, group in groupby(rows, key=lambda row: row["arm"]):
            mine = list(group)
            best = front([((-1 if name == "milliseconds" else 1) * row[name], row["accuracy"]) for row in mine])
            look, colour = shade[arm], shade[arm]["color"]
            axis.plot([r[name] for r in mine], [r["accuracy"] for r in mine], ls="", alpha=0.25, ms=4, **look)
            axis.plot([mine[i][name] for i in best], [mine[i]["accuracy"] for i in best], lw=1, ms=5, **look)
            for row in (mine[i] for i in best):
                names.append(
                    axis.annotate(row["decoder"], (row[name], row["accuracy"]), xytext=NEAR[0],
                                  textcoords="offset points", fontsize=7, color=colour))  # fmt: skip
    axes[0].set(ylabel="accuracy", xlabel="answer tokens per forward", xlim=(0, axes[0].get_xlim()[1] * 1.05))
    axes[1].set(xlabel="milliseconds a problem, as measured; log scale", xscale="log")
    axes[1].xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axes[1].xaxis.set_major_formatter("{x:g}")
    axes[1].xaxis.set_minor_formatter(NullFormatter())
    _legend(made, shade)
    _move_apart(made, names)
    return save_both(made, path)


def _move_apart(made: Figure, names: Sequence["Annotation"]) -> None:
    """Move names above or below their points until none lies on another; the last choice stays where all do."""
    made.draw_without_rendering()
    placed: list[Any] = []
    for name in names:
        for offset in NEAR:
            name.set_position(offset)
            box = name.get_window_extent()
            if not any(box.overlaps(other) for other in placed):
                break
        placed.append(box)


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of points that no other one beats in one coordinate while equal or better in the other, by x.

    >>> front([(1, 5), (2, 4), (2, 3), (3, 1), (0, 5)])
    [0, 1, 3]
    """
    beaten = {i for i, (x, y) in enumerate(points) if any(u >= x and v >= y and (u, v) != (x, y) for u, v in points)}
    return sorted(set(range(len(points))) - beaten, key=lambda i: points[i])


def _legend(made: Figure, shade: Mapping[str, Mapping[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    legend(made, [Line2D([], [], ms=5, label=arm, **look) for arm, look in shade.items()])
