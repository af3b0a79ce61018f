"""Pictures of a run: loss curves, accuracies, the order in which an answer was written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from unmask.decoding import Step
from unmask.plots.flow import END
from unmask.plots.fonts import legible
from unmask.plots.palette import EDGE, INK, PAST, QUIET, shade
from unmask.plots.panels import shorten
from unmask.plots.style import figure, legend, looks, number_forwards, one_row, probability_key, save

WIDEST = 3  # letters of a token that stands upright below its column; longer ones are turned


def plot_losses(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], path: Path, *, bounds: Mapping[str, float] | None = None
) -> Path:
    """Draw the training loss of each run (a running mean over 5 % of the steps) and the held-out losses.

    Losses of different objectives do not compare, and the picture of several runs has a line about that; their bounds
    do.

    Args:
        runs: name -> lines of ``metrics.jsonl``.
        path: ``.png`` or ``.svg``.
        bounds: name -> bound on held-out answers as block decoding writes them, nats a token; written beside.

    Returns:
        ``path``.
    """
    many = len(runs) > 1
    question = "How far did each run learn its own task?" if many else "How far did the loss fall?"
    made, (axes,) = figure(7, 3.8, title=question, subtitle=beside_losses(bounds) if many else next(iter(runs), ""))
    chosen = looks(list(runs))
    for name, lines in runs.items():
        look = chosen[name]
        points = [(line["step"], line["loss"]) for line in lines if "loss" in line]
        window = max(1, len(points) // 20)
        smooth = [
            sum(loss for _, loss in points[max(0, i - window + 1) : i + 1])
            / len(points[max(0, i - window + 1) : i + 1])
            for i in range(len(points))
        ]
        axes.plot([step for step, _ in points], smooth, color=look["color"], label=f"{name}: training")
        held = [(line["step"], line["held_out_loss"]) for line in lines if "held_out_loss" in line]
        if held:
            axes.plot(*zip(*held, strict=True), ls="--", ms=4, label=f"{name}: held out", **look)
    axes.set(xlabel="optimiser step", ylabel="loss, nats; running mean over 5 %")
    axes.set_ylim(bottom=0)
    legend(made, axes.get_legend_handles_labels()[0])
    return save(made, path)


def beside_losses(bounds: Mapping[str, float] | None) -> str:
    """Return the note that belongs beside losses of several objectives."""
    said = "Losses of different objectives do not compare; likelihood bounds do"
    if not bounds:
        return f"{said} (not measured here)"
    values = ", ".join(f"{name} {value:.3f}" for name, value in bounds.items())
    return f"{said}. On held-out answers by block decoding, nats a token: {values}"


def plot_denoising(steps: Sequence[Step], spelled: Sequence[str], path: Path, *, title: str = "") -> Path:
    """Draw when each token of an answer was written (rows: forwards) and with what probability (colour).

    Args:
        steps: the trace of one row.
        spelled: the final tokens of its canvas, as ``visible`` writes them; what follows the first end is grey.
        path: ``.png`` or ``.svg``.
        title: the prompt.

    Returns:
        ``path``.
    """
    from matplotlib.patches import Rectangle

    size, count = steps[0].state.batch.block_size, len(spelled)
    end = spelled.index(END) if END in spelled else count
    names = [shorten(legible(one_row(text))[0], 14) for text in spelled]
    is_long = max(map(cell_len, names)) > WIDEST
    below = 0.09 * max(map(cell_len, names)) if is_long else 0.2  # inches that the tokens take
    row = min(max(0.17, 2.2 / len(steps)), 0.4)
    question = "In which order was the answer written?"
    made, (axes,) = figure(max(6.0, 0.32 * count), row * len(steps) + below + 1.0, title=question, subtitle=title)
    for number, step in enumerate(steps):
        for (which, offset), probability in zip(step.at.tolist(), step.probabilities.tolist(), strict=True):
            if which == 0:
                colour = PAST if offset > end else shade(probability)
                axes.add_patch(Rectangle((offset, number), 1, len(steps) - number, color=colour, alpha=0.4, lw=0))
                axes.add_patch(Rectangle((offset, number), 1, 1, facecolor=colour, edgecolor=EDGE, lw=0.6))
    look: dict[str, Any] = {"rotation": 90, "va": "top"} if is_long else {"va": "top"}
    for offset, name in enumerate(names):
        colour = QUIET if offset > end else INK
        place = (offset + 0.5, len(steps))
        axes.annotate(name, place, (0, -4), textcoords="offset points", ha="center", family="monospace", color=colour,
                      annotation_clip=False, **look)  # fmt: skip
    borders = range(0, count + 1, size)
    for border in borders:
        axes.axvline(border, color=QUIET, lw=0.8)
    axes.set_xlim(0, count)
    number_forwards(axes, len(steps))
    axes.set_xticks(borders, list(map(str, borders)))
    axes.tick_params(axis="x", pad=below * 72)
    axes.set_xlabel("position on the canvas; lines are borders of blocks")
    probability_key(made, past=end < count - 1)
    return save(made, path)


def plot_accuracies(table: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> Path:
    """Draw accuracies with their intervals, a group of bars for each decoding.

    Args:
        table: model -> decoding -> ``Evaluation.summary()``.
        path: ``.png`` or ``.svg``.

    Returns:
        ``path``.
    """
    made, (axes,) = figure(6, 3.6, title="How many held-out problems does each model solve?")
    chosen = looks(list(table))
    decodings = list(next(iter(table.values())))
    width = 0.8 / len(table)
    for place, (name, results) in enumerate(table.items()):
        for group, decoding in enumerate(decodings):
            value = results[decoding]["accuracy"]
            low, high = results[decoding]["interval"]
            at = group + (place - (len(table) - 1) / 2) * width
            axes.bar(at, value, 0.92 * width, color=chosen[name]["color"], label=name if group == 0 else None)
            axes.errorbar(at, value, [[value - low], [high - value]], color=INK, capsize=3, lw=1)
    axes.set_xticks(range(len(decodings)), decodings)
    axes.set(ylim=(0, 1), ylabel="accuracy, with its 95 % interval")
    legend(made, axes.get_legend_handles_labels()[0])
    return save(made, path)
