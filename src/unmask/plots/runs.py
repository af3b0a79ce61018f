"""Pictures of training runs: one run with all that it logged, or the losses of several beside each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unmask.plots.panels import Axes, Figure, shorten
from unmask.plots.style import blank, dress, figure, legend, looks, save

Lines = Sequence[Mapping[str, Any]]
STRETCHES = 60
"""Columns of a heat map: the steps in each are averaged."""
MEASURED = {
    "held_out_bound": ("held-out bound, nats a token", "How likely are held-out answers?"),
    "accuracy": ("accuracy", "How many answers are right?"),
}
TRAINED, HELD_OUT, BOUND, NORM, SHARE = "#0072b2", "#d55e00", "#009e73", "#6b7785", "#1b1b4f"
CLIPPED = 0.97  # share of the values that the colours tell apart; higher ones have the brightest


def plot_run(name: str, lines: Lines, path: Path) -> Path:
    """Draw all that one run has logged: losses, loss by noise level and by block, gradient norm, share of masks.

    Args:
        name: of the run.
        lines: of its ``metrics.jsonl``.
        path: ``.png`` or ``.svg``.

    Returns:
        ``path``.
    """
    maps = [(key, title) for key, title in HEAT if any(key in line for line in lines)]
    made, axes = _grid(2 + len(maps), title="How did the run learn?", subtitle=name)
    _losses(axes[0], lines)
    for axis, (key, title) in zip(axes[1:], maps, strict=False):
        _heat(made, axis, lines, key, title)
    _norm(axes[1 + len(maps)], lines)
    return save(made, path)


def plot_runs(runs: Mapping[str, Lines], path: Path) -> Path:
    """Draw the losses of several runs in one panel, and where they were measured bounds and accuracies in others.

    Args:
        runs: name -> lines of ``metrics.jsonl``.
        path: ``.png`` or ``.svg``.

    Returns:
        ``path``.
    """
    further = [key for key in MEASURED if any(key in line for lines in runs.values() for line in lines)]
    made, axes = figure(
        5.2 + 4.2 * len(further), 3.8, panels=1 + len(further), title="Which run learned more?",
        subtitle="Losses of different objectives do not compare; bounds and accuracies do.",
    )  # fmt: skip
    chosen = looks(list(runs))
    for name, lines in runs.items():
        look, label = chosen[name], shorten(name)
        axes[0].plot(*_smooth(lines), color=look["color"], lw=1.3, label=f"{label}: training")
        if held := _points(lines, "held_out_loss"):
            axes[0].plot(*zip(*held, strict=True), ls="--", ms=4, label=f"{label}: held out", **look)
        for axis, key in zip(axes[1:], further, strict=True):
            if measured := _points(lines, key):
                axis.plot(*zip(*measured, strict=True), ms=4, **look)
    axes[0].set(xlabel="optimiser step", ylabel="loss, nats; training: mean over 5 %")
    for axis, key in zip(axes[1:], further, strict=True):
        axis.set(xlabel="optimiser step", ylabel=MEASURED[key][0])
    legend(made, axes[0].get_legend_handles_labels()[0])
    return save(made, path)


HEAT = (
    ("nll_by_noise_level", "loss by noise level: share of hidden tokens"),
    ("nll_by_block", "loss by block of the answer"),
)


def _grid(count: int, *, title: str, subtitle: str) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels in two columns."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = (count + 1) // 2
    width, height = 10.0, 3.3 * rows
    made, head = blank(width, height, title, subtitle)
    made.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.09, rect=(0, 0, 1, 1 - head / (height + head))))
    axes = [made.add_subplot(rows, 2, number + 1) for number in range(count)]
    for axis in axes:
        dress(axis)
    return made, axes


def _losses(axis: Axes, lines: Lines) -> None:
    axis.plot(*_smooth(lines), color=TRAINED, lw=1.3, label="training, mean over 5 %")
    for key, label, colour in (
        ("held_out_loss", "held out", HELD_OUT), ("held_out_bound", "held-out bound, nats a token", BOUND),
    ):  # fmt: skip
        if points := _points(lines, key):
            axis.plot(*zip(*points, strict=True), "o--", ms=3.5, color=colour, label=label)
    axis.set(xlabel="optimiser step", ylabel="nats", title="loss")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8)


def _heat(made: Figure, axis: Axes, lines: Lines, key: str, title: str) -> None:
    """Draw a list along the steps: one row for each entry, colours for its mean over a stretch of steps."""
    import numpy as np

    rows = [(line["step"], line[key]) for line in lines if key in line]
    last, size = rows[-1][0], max(index + 1 for _, row in rows for index, x in enumerate(row) if x is not None)
    size = size if key == "nll_by_block" else len(rows[0][1])
    count = min(STRETCHES, len(rows))
    sums, counts = np.zeros((size, count)), np.zeros((size, count))
    for step, row in rows:
        column = min((step - 1) * count // last, count - 1)
        for index, value in enumerate(row[:size]):
            if value is not None:
                sums[index, column] += value
                counts[index, column] += 1
    means = np.ma.masked_where(counts == 0, sums / np.maximum(counts, 1))
    is_level = key == "nll_by_noise_level"
    edges = np.linspace(0, 1, size + 1) if is_level else np.arange(size + 1) - 0.5
    shown = means.compressed()
    most = float(np.quantile(shown, CLIPPED)) if shown.size else 1.0  # else the first steps would darken all others
    drawn = axis.pcolormesh(np.linspace(0, last, count + 1), edges, means, cmap="viridis", vmin=0, vmax=most)
    made.colorbar(drawn, ax=axis, label="nats a token", extend="max")
    axis.set(xlabel="optimiser step", ylabel="noise level t" if is_level else "block", title=title, facecolor="#eef0f2")
    if not is_level:
        names = [f"{n}+" if n == len(rows[0][1]) - 1 else str(n) for n in range(size)]
        axis.set_yticks(range(size), names)


def _norm(axis: Axes, lines: Lines) -> None:
    """Draw the norm of the gradient, and on the right the share of mask tokens."""
    axis.plot(*_smooth(lines, "grad_norm"), color=NORM, lw=1.2)
    axis.set(xlabel="optimiser step", title="gradient norm (grey), share of mask tokens (blue, dashed)")
    axis.set_ylabel("gradient norm before clipping")
    axis.set_ylim(bottom=0)
    if any("masked_share" in line for line in lines):
        right = axis.twinx()
        right.plot(*_smooth(lines, "masked_share"), color=TRAINED, lw=1.2, ls="--")
        dress(right)
        right.spines["right"].set_visible(True)
        right.set(ylim=(0, 1), ylabel="share of mask tokens")


def _points(lines: Lines, key: str) -> list[tuple[float, float]]:
    return [(line["step"], line[key]) for line in lines if key in line]


def _smooth(lines: Lines, key: str = "loss") -> tuple[list[float], list[float]]:
    """Return the steps, and the running mean of a value over 5 % of them."""
    points = _points(lines, key)
    window = max(1, len(points) // 20)
    near = [[value for _, value in points[max(0, i - window + 1) : i + 1]] for i in range(len(points))]
    return [step for step, _ in points], [sum(values) / len(values) for values in near]
