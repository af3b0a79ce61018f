"""A picture of what training contexts do to the gradient."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unmask.plots.palette import EDGE, QUIET
from unmask.plots.panels import Axes, shorten
from unmask.plots.style import dress, figure, legend, looks, save_both

Rows = Sequence[Mapping[str, Any]]
LINEAR = 2.0  # distances beyond are drawn on a scale that is logarithmic above 1
LEVELS = {"vanilla_context": ("--", "in vanilla's context"), "other_draws": (":", "other draws, aligned context")}
PANELS = {
    "prefix_noise": ("share of earlier answer tokens that are hidden", "prefix_chance", "P(some is hidden)"),
    "suffix_visibility": ("share of later columns that are visible", "suffix_chance", "P(some is visible)"),
}


def plot_mismatch(contexts: Rows, path: Path) -> list[Path]:
    """Draw the distance of the gradient in each context from the aligned one, and the probability of the bound (grey).

    Args:
        contexts: ``Findings.contexts``: rows with model, context, rate, distance, prefix_chance, suffix_chance.
        path: without its ending; a .png and an .svg are written.

    Returns:
        The paths of the two files.
    """
    models = list(dict.fromkeys(row["model"] for row in contexts))
    question = "How far does another context turn the gradient?"
    beside = (
        "distance from the aligned gradient g₀; grey, scale on the right: the probability that its bound grows with"
    )
    made, axes = figure(10, 4.2, title=question, subtitle=beside, panels=2, share_y=True)
    chosen = looks(models)
    for axis, (context, (label, chance, chance_label)) in zip(axes, PANELS.items(), strict=True):
        for model in models:
            rows = [row for row in contexts if row["model"] == model]
            points = _points([row for row in rows if row["context"] == context], "distance")
            axis.plot(*points, lw=1.8, ms=4, **chosen[model], label=f"{shorten(model)}: by the share on the axis")
            for other, (style, text) in LEVELS.items():
                level = next((row["distance"] for row in rows if row["context"] == other), None)
                if level is not None:
                    axis.axhline(level, color=chosen[model]["color"], ls=style, lw=1, label=text)
        axis.set(xlabel=label, xlim=(-0.02, 1.02))
        if (most := max(row["distance"] or 0.0 for row in contexts)) > LINEAR:
            axis.set_yscale("symlog", linthresh=1.0)  # a model that has been trained may lie far above one that has not
            axis.set_yticks([tick for tick in (0, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100) if tick <= most])
            axis.yaxis.set_major_formatter("{x:g}")
        axis.set_ylim(bottom=0)
        swept = [row for row in contexts if row["model"] == models[0] and row["context"] == context]
        _draw_chance(axis, _points(swept, chance), chance_label)
    axes[0].set_ylabel("distance, |g − g₀| / |g₀|")
    legend(made, axes[0].get_legend_handles_labels()[0])
    return save_both(made, path)


def _draw_chance(axis: Axes, points: tuple[list[float], list[float]], label: str) -> None:
    """Draw the probability on a scale of its own: the bound leaves its unit, the Lipschitz constant, open."""
    beside = axis.twinx()
    beside.plot(*points, color="0.7", lw=1.2, marker="s", ms=3, zorder=0)
    beside.set_ylim(0, 1.03)
    beside.set_ylabel(label)
    dress(beside)
    beside.spines["right"].set(visible=True, color=EDGE)
    beside.spines["left"].set_visible(False)
    beside.yaxis.label.set_color(QUIET)


def _points(rows: Rows, kind: str) -> tuple[list[float], list[float]]:
    known = [row for row in rows if row[kind] is not None]
    return [row["rate"] for row in known], [row[kind] for row in known]
