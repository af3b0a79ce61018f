"""Pictures of a study of learnability: heat maps of bins by noise level, and curves along the noise level."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from unmask.plots.palette import INK, QUIET
from unmask.plots.panels import Axes, AxesImage, brief, ratio_label, shorten
from unmask.plots.style import figure, legend, save_both

Rows = Sequence[Mapping[str, Any]]
CURVES = {
    "gold": "gold confidence",
    "learnability": "learnability  27/4 · mean p (1 − p)²",
    "information": "information gained, nats",
}


def plot_heat_map(cells: Rows, path: Path, *, changes: Rows = ()) -> list[Path]:
    """Draw the mean gold confidence of each bin (rows) at each noise level (columns), with its count, for each model.

    Args:
        cells: ``Findings.cells``: rows with model, bin, ids, most, least, ratio, count, gold.
        path: without its ending; a .png and an .svg are written.
        changes: ``Findings.changes``: one more panel, the change of the gold confidence and its standard error.

    Returns:
        The paths of the two files.
    """
    models = {name: list(rows) for name, rows in groupby(cells, key=lambda row: row["model"])}
    first = next(iter(models.values()))
    bins, ratios = sorted({row["bin"] for row in first}), sorted({row["ratio"] for row in first})
    count = len(models) + bool(changes)
    width, height = 1.9 + count * (0.62 * len(ratios) + 1.0), 0.9 + 0.52 * len(bins)
    question = "Which tokens does the model get right, at which noise level?"
    of = "mean gold confidence: the probability of the right token"
    made, axes = figure(width, height, title=question, subtitle=of, panels=count, share_y=True)
    for axis, (name, rows) in zip(axes, models.items(), strict=False):
        shown = _grid(axis, rows, bins, ratios, colours={"cmap": "viridis", "vmin": 0, "vmax": 1})
        axis.set_title(shorten(name))
    made.colorbar(shown, ax=axes[len(models) - 1], label="mean gold confidence", pad=0.02)
    if changes:
        limit = max((abs(row["gold"]) for row in changes if row["gold"] is not None), default=0) or 1.0
        shown = _grid(
            axes[-1], changes, bins, ratios, colours={"cmap": "RdBu", "vmin": -limit, "vmax": limit}, sign="+"
        )
        axes[-1].set_title("change")
        made.colorbar(shown, ax=axes[-1], label="change of gold confidence", pad=0.02)
    axes[0].set_yticks(range(len(bins)), [_bin_label(row) for row in first if row["ratio"] == ratios[0]])
    axes[0].set_ylabel("tokens, most frequent first")
    for axis in axes:
        axis.set_xlabel("share of the answer that is hidden, t")
    return save_both(made, path)


def plot_curves(cells: Rows, path: Path) -> list[Path]:
    """Draw gold confidence, learnability and information gained along the noise level, a line for each bin.

    Bars are one standard error. A second model is dashed.

    Args:
        cells: ``Findings.cells``.
        path: without its ending; a .png and an .svg are written.

    Returns:
        The paths of the two files.
    """
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    bins, ratios = sorted({row["bin"] for row in cells}), sorted({row["ratio"] for row in cells})
    models = list(dict.fromkeys(row["model"] for row in cells))
    colours = {place: colormaps["viridis"](0.9 * index / max(len(bins) - 1, 1)) for index, place in enumerate(bins)}
    styles = dict(zip(models, ("-", "--"), strict=False))
    kinds = [kind for kind in CURVES if any(row[kind] is not None for row in cells)]
    question = "How much can tokens teach, at which noise level?"
    made, axes = figure(4.1 * len(kinds), 3.6, title=question, subtitle="mean over the tokens of a bin, ± its standard "
                        "error; bins by how often a token occurs", panels=len(kinds))  # fmt: skip
    for axis, kind in zip(axes, kinds, strict=True):
        for (model, place), rows in groupby(cells, key=lambda row: (row["model"], row["bin"])):
            points = [(row["ratio"], row[kind], row.get(f"{kind}_error") or 0.0) for row in rows
                      if row[kind] is not None]  # fmt: skip
            x, y, error = zip(*points, strict=True) if points else ((), (), ())
            look = {"color": colours[place], "ls": styles[model], "lw": 1.4, "marker": "o", "ms": 3}
            axis.errorbar(x, y, error, elinewidth=0.8, **look)
        axis.set_xscale("log", base=2)
        axis.set_xticks(ratios, [ratio_label(ratio) for ratio in ratios], rotation=45)
        axis.minorticks_off()
        axis.set(xlabel="share of the answer that is hidden, t", title=CURVES[kind])
    names = {place: f"bin {place}" for place in bins}
    names |= {bins[0]: f"bin {bins[0]}, most frequent", bins[-1]: f"bin {bins[-1]}, rarest"} if len(bins) > 1 else {}
    lines = [Line2D([], [], color=colours[place], label=names[place]) for place in bins]
    if len(models) > 1:
        lines += [Line2D([], [], color=INK, ls=styles[model], label=shorten(model)) for model in models]
    legend(made, lines)
    return save_both(made, path)


def _grid(
    axis: Axes, rows: Rows, bins: list[int], ratios: list[float], *, colours: Mapping[str, Any], sign: str = ""
) -> AxesImage:
    """Draw one heat map with numbers, and return it; cells in which no token was predicted stay grey."""
    import numpy as np

    by_place = {(row["bin"], row["ratio"]): row for row in rows}
    values = np.array([[by_place[place, ratio]["gold"] for ratio in ratios] for place in bins], dtype=float)
    axis.set_facecolor("0.9")
    shown = axis.imshow(values, aspect="auto", **colours)
    for line, place in enumerate(bins):
        for column, ratio in enumerate(ratios):
            row = by_place[place, ratio]
            if row["gold"] is None:
                axis.text(column, line, "none", ha="center", va="center", fontsize=7, color=QUIET)
                continue
            # White on dark cells, black on bright ones, by the luminance of the cell's colour.
            red, green, blue, _ = shown.cmap(shown.norm(row["gold"]))
            ink = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else INK
            below = (
                f"±{row['gold_error']:.3f}" if sign and row["gold_error"] is not None else f"n {brief(row['count'])}"
            )
            number = f"{row['gold']:{sign}.{3 if sign else 2}f}"
            axis.text(column, line - 0.14, number, ha="center", va="center", fontsize=9, color=ink)
            axis.text(column, line + 0.27, below, ha="center", va="center", fontsize=6.5, color=ink)
    axis.set_xticks(range(len(ratios)), [ratio_label(ratio) for ratio in ratios])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return shown


def _bin_label(row: Mapping[str, Any]) -> str:
    """Return a bin's label: how many different tokens it has, and how often each occurs."""
    times = " to ".join(dict.fromkeys((brief(row["least"]), brief(row["most"]))))
    if row["ids"] == 1:
        return f"{row['bin']}: 1 token\n{times} times"
    return f"{row['bin']}: {brief(row['ids'])} tokens\n{times} times each"
