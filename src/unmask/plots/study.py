"""Pictures of a study: curves along budgets, differences with intervals, arms by decoders, accuracy against speed."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from unmask.plots.figures import COLOURS
from unmask.plots.panels import Figure, panels, save_both

Rows = Sequence[Mapping[str, Any]]
MANY = 10
SPARE = ("#b279a2", "#f2a60d", "#76b7b2", "#9d755d", "#d6616b", "#2d2d7f", "#8c8c1f", "#ff9da6", "#5f6b6d")


def colours(arms: Sequence[str]) -> dict[str, str]:
    """Return a colour for each arm; the quick start's arms have fixed ones."""
    spare = iter(SPARE * (len(arms) // len(SPARE) + 1))
    return {arm: COLOURS.get(arm) or next(spare) for arm in arms}


def plot_curves(lines: Rows, path: Path) -> list[Path]:
    """Draw accuracy along each budget, a panel for each: mean over seeds in a band of their range.

    Args:
        lines: of each arm and budget: ``x``, ``y``, ``low``, ``high`` at each judged point.
        path: without ending; .png and .svg are written.

    Returns:
        The paths of the two files.
    """
    budgets = list(dict.fromkeys(line["budget"] for line in lines))
    shade = colours(list(dict.fromkeys(line["arm"] for line in lines)))
    figure, axes = panels(len(budgets), width=1 + 3.2 * len(budgets), height=3.8, share_y=True)
    for axis, budget in zip(axes, budgets, strict=True):
        for line in lines:
            if line["budget"] == budget:
                axis.plot(line["x"], line["y"], "o-", ms=3, color=shade[line["arm"]])
                axis.fill_between(line["x"], line["low"], line["high"], color=shade[line["arm"]], alpha=0.15, lw=0)
        axis.set(xlabel=budget.replace("_", " "), ylim=(0, 1.02))
    axes[0].set_ylabel("accuracy")
    _legend(figure, shade)
    return save_both(figure, path)


def plot_differences(rows: Rows, path: Path, *, reference: str) -> list[Path]:
    """Draw the differences from the reference with their intervals: a panel for each decoder, a line for each arm.

    Args:
        rows: with ``decoder``, ``cell``, ``arm``, ``difference`` and ``difference_interval``.
        path: without ending; .png and .svg are written.
        reference: name of the arm that others are compared with.

    Returns:
        The paths of the two files.
    """
    decoders = list(dict.fromkeys(row["decoder"] for row in rows))
    places = list(dict.fromkeys((row["cell"], row["arm"]) for row in rows))
    shade = colours(list(dict.fromkeys(row["arm"] for row in rows)))
    figure, axes = panels(len(decoders), width=1.8 + 3.4 * len(decoders), height=1.4 + 0.28 * len(places), share_y=True)
    for axis, decoder in zip(axes, decoders, strict=True):
        for row in rows:
            if row["decoder"] == decoder:
                low, high = row["difference_interval"]
                at, value = places.index((row["cell"], row["arm"])), row["difference"] * 100
                # The mean of resampled means may lie slightly outside a percentile interval of few values.
                reach = [[max(0.0, value - low * 100)], [max(0.0, high * 100 - value)]]
                axis.errorbar(value, at, xerr=reach, fmt="o", ms=4, capsize=3, color=shade[row["arm"]])
        axis.axvline(0, color="0.5", lw=0.8)
        axis.set(title=decoder, xlabel=f"points above {reference}")
    axes[0].set_yticks(range(len(places)), [arm if cell == "all" else f"{cell}: {arm}" for cell, arm in places])
    axes[0].invert_yaxis()
    return save_both(figure, path)


def plot_matrix(rows: Rows, path: Path) -> list[Path]:
    """Draw the accuracy of each arm (line) under each decoder (column); many decoders are lines.

    Args:
        rows: with ``arm``, ``decoder`` and ``accuracy``.
        path: without ending; .png and .svg are written.

    Returns:
        The paths of the two files.
    """
    import numpy as np

    arms, decoders = (list(dict.fromkeys(row[name] for row in rows)) for name in ("arm", "decoder"))
    by_place = {(row["arm"], row["decoder"]): row["accuracy"] for row in rows}
    values = np.array([[by_place[arm, decoder] for decoder in decoders] for arm in arms])
    lines, columns, labels = arms, decoders, ("trained", "decoded")
    if len(decoders) > MANY:
        values, lines, columns, labels = values.T, decoders, arms, ("decoded", "trained")
    figure, (axis,) = panels(1, width=2.2 + 0.85 * len(columns), height=1.6 + 0.45 * len(lines))
    axis.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for (line, column), value in np.ndenumerate(values):
        axis.text(column, line, f"{value:.2f}", ha="center", va="center", color="white" if value < 0.6 else "black")
    axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axis.set_yticks(range(len(lines)), lines)
    axis.tick_params(length=0)
    axis.set(ylabel=labels[0], xlabel=labels[1])
    return save_both(figure, path)


def plot_tradeoff(rows: Rows, path: Path) -> list[Path]:
    """Draw accuracy against tokens per forward and against time, a point for each arm and decoder.

    A line and names for the decoders of an arm that no other one beats in both, a faint point for each of the rest.

    Args:
        rows: with ``arm``, ``decoder``, ``accuracy``, ``tokens_per_forward`` and ``milliseconds``.
        path: without ending; .png and .svg are written.

    Returns:
        The paths of the two files.
    """
    shade = colours(list(dict.fromkeys(row["arm"] for row in rows)))
    figure, axes = panels(2, width=11, height=4.5, share_y=True)
    for axis, name in zip(axes, ("tokens_per_forward", "milliseconds"), strict=True):
        for arm, group in groupby(rows, key=lambda row: row["arm"]):
            mine = list(group)
            best = front([((-1 if name == "milliseconds" else 1) * row[name], row["accuracy"]) for row in mine])
            axis.plot([r[name] for r in mine], [r["accuracy"] for r in mine], "o", color=shade[arm], alpha=0.25, ms=4)
            axis.plot([mine[i][name] for i in best], [mine[i]["accuracy"] for i in best], "o-", color=shade[arm], lw=1)
            for row in (mine[i] for i in best):
                axis.annotate(row["decoder"], (row[name], row["accuracy"]), xytext=(4, 3), textcoords="offset points",
                              fontsize=7, color=shade[arm])  # fmt: skip
    axes[0].set(ylabel="accuracy", xlabel="answer tokens per forward")
    axes[1].set(xlabel="milliseconds a problem, as measured", xscale="log")
    _legend(figure, shade)
    return save_both(figure, path)


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of points that no other one beats in one coordinate while equal or better in the other, by x.

    >>> front([(1, 5), (2, 4), (2, 3), (3, 1), (0, 5)])
    [0, 1, 3]
    """
    beaten = {i for i, (x, y) in enumerate(points) if any(u >= x and v >= y and (u, v) != (x, y) for u, v in points)}
    return sorted(set(range(len(points))) - beaten, key=lambda i: points[i])


def _legend(figure: Figure, shade: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, marker="o", ms=4, label=arm) for arm, colour in shade.items()]
    figure.legend(handles=handles, frameon=False, loc="outside lower center", ncols=min(len(handles), 6), fontsize=8)
