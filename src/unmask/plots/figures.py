"""Pictures of a run: loss curves, accuracies, the order in which an answer was written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unmask.decoding import Step
from unmask.plots.panels import Axes, Figure

COLOURS = {"before": "#9aa0a6", "vanilla": "#4c78a8", "blockwise": "#e4572e", "mixture": "#54a24b"}


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    from matplotlib import pyplot

    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return path


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
    figure, axes = _figure(7, 4)
    for name, lines in runs.items():
        colour = COLOURS.get(name)
        points = [(line["step"], line["loss"]) for line in lines if "loss" in line]
        window = max(1, len(points) // 20)
        smooth = [
            sum(loss for _, loss in points[max(0, i - window + 1) : i + 1])
            / len(points[max(0, i - window + 1) : i + 1])
            for i in range(len(points))
        ]
        (drawn,) = axes.plot([step for step, _ in points], smooth, color=colour, label=f"{name}: training")
        held = [(line["step"], line["held_out_loss"]) for line in lines if "held_out_loss" in line]
        if held:
            axes.plot(*zip(*held, strict=True), "o--", color=drawn.get_color(), label=f"{name}: held out")
    axes.set(xlabel="optimiser step", ylabel="loss, nats" + (", of each method's own task" if len(runs) > 1 else ""))
    if len(runs) > 1:
        axes.set_title(beside_losses(bounds), fontsize=9)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return _save(figure, path)


def beside_losses(bounds: Mapping[str, float] | None) -> str:
    """Return the note that belongs beside losses of several objectives."""
    said = "Losses of different objectives do not compare"
    if not bounds:
        return f"{said}; likelihood bounds do (not measured here)"
    values = ", ".join(f"{name} {value:.3f}" for name, value in bounds.items())
    return f"{said}; bounds by block decoding do,\nnats a token on held-out answers: {values}"


def plot_denoising(steps: Sequence[Step], spelled: Sequence[str], path: Path, *, title: str = "") -> Path:
    """Draw when each token of an answer was written (rows: forwards) and with what confidence (colour).

    Args:
        steps: the trace of one row.
        spelled: the final tokens of its canvas.
        path: ``.png`` or ``.svg``.
        title: the prompt.

    Returns:
        ``path``.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    block_size = steps[0].state.batch.block_size
    figure, axes = _figure(max(6.0, 0.32 * len(spelled)), max(3.0, 0.2 * len(steps)))
    colours = colormaps["viridis"]
    written: dict[int, tuple[int, float]] = {}
    for number, step in enumerate(steps):
        for (row, offset), score in zip(step.at.tolist(), step.scores.tolist(), strict=True):
            if row == 0:
                written[offset] = (number, score)
    least = min((score for _, score in written.values()), default=0.0)
    for offset, (number, score) in written.items():
        shade = colours((score - least) / max(1.0 - least, 1e-9))
        axes.add_patch(Rectangle((offset, number), 1, len(steps) - number, color=shade, alpha=0.35, lw=0))
        axes.add_patch(Rectangle((offset, number), 1, 1, color=shade, lw=0))
        axes.text(offset + 0.5, len(steps) + 0.6, spelled[offset], ha="center", va="center", family="monospace")
    for edge in range(0, len(spelled) + 1, block_size):
        axes.axvline(edge, color="black", lw=0.6)
    axes.set(xlim=(0, len(spelled)), ylim=(len(steps) + 1.2, 0), ylabel="forward", title=title)
    axes.set_xticks(edges := range(0, len(spelled) + 1, block_size), list(map(str, edges)))
    axes.set_xlabel(
        f"position in the answer; lines: block borders; dark to bright: confidence {least:.2f} to 1.00 when written"
    )
    return _save(figure, path)


def plot_accuracies(table: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> Path:
    """Draw accuracies with their intervals, a group of bars for each decoding.

    Args:
        table: model -> decoding -> ``Evaluation.summary()``.
        path: ``.png`` or ``.svg``.

    Returns:
        ``path``.
    """
    figure, axes = _figure(6, 4)
    decodings = list(next(iter(table.values())))
    width = 0.8 / len(table)
    for place, (name, results) in enumerate(table.items()):
        for group, decoding in enumerate(decodings):
            value = results[decoding]["accuracy"]
            low, high = results[decoding]["interval"]
            at = group + (place - (len(table) - 1) / 2) * width
            axes.bar(at, value, 0.92 * width, color=COLOURS.get(name), label=name if group == 0 else None)
            axes.errorbar(at, value, [[value - low], [high - value]], color="black", capsize=3, lw=1)
    axes.set_xticks(range(len(decodings)), decodings)
    axes.set(ylim=(0, 1), ylabel="accuracy on held-out problems, 95 % interval")
    figure.legend(frameon=False, loc="outside upper center", ncols=len(table))
    return _save(figure, path)
