"""The one style of all pictures: size, title, fonts, colours, and how a figure is saved.

A picture's title is the question that it answers; the line below says of what. ``figure`` makes it, ``looks`` gives
each arm or run its colour and mark, ``save`` writes it:

    figure, (axes,) = figure(7, 4, title="How fast did the loss fall?", subtitle="runs/a")
    axes.plot([1, 2], [2.0, 1.5], **looks(["a"])["a"])
    save(figure, Path("loss.png"))
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from unmask.errors import shorten as cut_middle
from unmask.plots.flow import MARKS
from unmask.plots.fonts import give_fonts, legible, say_missing, without_font_warnings
from unmask.plots.palette import EDGE, INK, PAST, QUIET, shade
from unmask.plots.panels import Axes, Figure

# Told apart in grey and by eyes that see no red or no green, the marks as well.
KNOWN: Mapping[str, tuple[str, str]] = {
    "before": ("#a9afb5", "P"), "vanilla": ("#0072b2", "o"), "blockwise": ("#d55e00", "s"), "mixture": ("#009e73", "^"),
}  # fmt: skip
SPARE = ("#1b1b4f", "#d9b300", "#b66dff", "#6db6ff", "#661100", "#004949")
SPARE_MARKS = ("D", "v", "X", "<", "p", "h", ">")
PROBABILITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
DPI = 150
LEFT = 0.12  # inches from the edge to the title
TITLE, SUBTITLE, LABEL, SMALL = 12.0, 9.0, 9.5, 8.0  # points
LETTER = 0.57 / 72  # inches of a letter for each point, on average


def figure(
    width: float, height: float, *, title: str, subtitle: str = "", panels: int = 1, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """Make a figure in the style of all pictures: panels side by side below a title.

    Args:
        width: inches.
        height: inches without the title.
        title: the question that the picture answers.
        subtitle: what it is answered for, such as the prompt or the folder of a run; cut in its middle where it is
            longer than two lines. Line breaks are shown as ⏎.
        panels: how many.
        share_y: whether the panels have one vertical scale.

    Returns:
        The figure, and its panels from left to right. Write legends with ``legend`` of this module.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    made, head = blank(width, height, title, subtitle)
    made.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07, rect=(0, 0, 1, 1 - head / (height + head))))
    axes = list(made.subplots(1, panels, squeeze=False, sharey=share_y)[0])
    for axis in axes:
        dress(axis)
    return made, axes


def dress(axis: Axes) -> None:
    """Draw axes in the style of all pictures: two thin spines, quiet ticks."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(EDGE)
    axis.tick_params(colors=QUIET, color=EDGE, labelsize=SMALL, length=2.5)
    for label in (axis.xaxis.label, axis.yaxis.label):
        label.set(size=LABEL, color=INK)


def blank(width: float, height: float, title: str, subtitle: str = "", details: str = "") -> tuple[Figure, float]:
    """Make a figure with a title and nothing else, for a picture with a layout of its own.

    Args:
        width: inches.
        height: inches without the title.
        title: the question that the picture answers.
        subtitle: of what.
        details: one more line.

    Returns:
        The figure, and the inches that its head takes.
    """
    from matplotlib.figure import Figure as NewFigure
    from matplotlib.transforms import ScaledTranslation

    made = NewFigure(figsize=(width, height))
    at = 0.10
    parts: list[tuple[str, float, int, dict[str, Any]]] = [
        (title, TITLE, 3, {"weight": "bold", "color": INK}),
        (subtitle, SUBTITLE, 2, {"color": INK}),
        (details, SUBTITLE, 1, {"color": QUIET}),
    ]
    for text, size, most, look in parts:
        columns = max(int((width - 2 * LEFT) / (LETTER * size * (1.06 if "weight" in look else 1))), 8)
        for line in lines(text, columns, most) if text else ():
            place = made.transFigure + ScaledTranslation(LEFT, -at, made.dpi_scale_trans)
            made.text(0, 1, line, transform=place, size=size, va="top", ha="left", **look)
            at += size * 1.35 / 72
        at += 0.03
    head = at + 0.06
    made.set_size_inches(width, height + head)
    return made, head


def lines(text: str, columns: int, most: int) -> list[str]:
    """Return a text in lines, cut in its middle where they would be too many.

    >>> lines("What is 2 + 2?", 8, 2), lines("a" * 30, 10, 2)
    (['What is', '2 + 2?'], ['aaaaaaaaaa', '… aaaaaaa'])
    """
    text, _ = legible(one_row(text))
    for length in range(columns * most, 0, -1):
        cut = text if length >= len(text) else cut_middle(text, length)
        wrapped = textwrap.wrap(_spaced(cut), columns, break_on_hyphens=False)
        if len(wrapped) <= most:
            return [line.replace(FILL, "") for line in wrapped]
    return []


FILL = "\ue000"  # stands beside a character that is two columns wide


def _spaced(text: str) -> str:
    """Return a text in which each character of two columns, such as a Chinese one, counts twice."""
    from rich.cells import cell_len

    return "".join(each + FILL * (cell_len(each) - 1) for each in text)


def one_row(text: str) -> str:
    r"""Return a text in one row: line breaks and other control codes as signs.

    >>> one_row("a\nb")
    'a⏎b'
    """
    return text.translate(MARKS)


def number_forwards(axis: Axes, count: int) -> None:
    """Number the forwards of a decoding from 1, the first at the top: row n lies between n - 1 and n."""
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, count) if count / step <= 12)
    shown = [number for number in range(1, count + 1) if number == 1 or number % every == 0]
    axis.set(ylim=(count, 0), ylabel="forward")
    axis.set_yticks([number - 0.5 for number in shown], [str(number) for number in shown])


def legend(made: Figure, handles: Sequence[object], *, columns: int | None = None) -> None:
    """Draw a legend below all panels.

    Args:
        made: the figure.
        handles: what the legend lists, each with its label.
        columns: entries in a row; None: as many as the width holds.
    """
    if not handles:
        return
    labels = [str(each.get_label()) for each in handles]  # type: ignore[attr-defined]
    entry = max(map(len, labels)) * LETTER * SMALL + 0.55
    fit = max(int(made.get_size_inches()[0] / entry), 1)
    made.legend(handles=handles, labels=labels, frameon=False, loc="outside lower left", fontsize=SMALL,
                labelcolor=INK, borderaxespad=0.6, ncols=min(columns or fit, fit, len(handles)))  # fmt: skip


def probability_key(made: Figure, *, given: bool = False, past: bool = False, taken_back: bool = False) -> None:
    """Draw at the bottom what the colours of tokens mean.

    Args:
        made: the figure.
        given: whether the picture has tokens that were given.
        past: whether it has tokens after the end.
        taken_back: whether it has crosses where tokens were hidden again.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Line2D([], [], ls="", label="probability when written:")]
    handles += [Patch(facecolor=shade(value), edgecolor=EDGE, lw=0.6, label=f"{value:g}") for value in PROBABILITIES]
    if given:
        handles.append(
            Line2D([], [], ls="", marker=r"$\mathbf{a}$", mew=0, ms=7, color=INK, label="given: bold, no colour")
        )
    if past:
        handles.append(Patch(facecolor=PAST, lw=0, label="after the end"))
    if taken_back:
        handles.append(Line2D([], [], ls="", marker="x", color=INK, label="hidden again"))
    made.legend(handles=handles, frameon=False, fontsize=SMALL, labelcolor=QUIET, ncols=len(handles),
                loc="outside lower left" if made.get_layout_engine() else "lower left",
                handlelength=1.1, handletextpad=0.4, columnspacing=0.9, borderaxespad=0.6)  # fmt: skip


def colour_of(name: str) -> str:
    """Return the colour of an arm or run, the same in every picture; two names may share one, ``colours`` avoids it."""
    return KNOWN[name][0] if name in KNOWN else SPARE[crc32(name.encode()) % len(SPARE)]


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each name: its own, or the next one where another name of the picture has it.

    The order of the names changes nothing. From seven unknown names on, colours come again, with other marks.
    """
    return {name: str(look["color"]) for name, look in looks(names).items()}


def looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the colour and the mark of each name, as keywords for ``Axes.plot``: ``color`` and ``marker``.

    Args:
        names: all that the picture shows.

    Returns:
        name -> its keywords, in the order of ``names``. No two names have the same pair, up to 42 unknown names.
    """
    taken: dict[str, tuple[str, str]] = {}
    for name in sorted(set(names) - set(KNOWN)):
        first = crc32(name.encode())
        index = first % len(SPARE)
        turn = len(taken) // len(SPARE)  # once all colours are given out, they come again with other marks
        used = [colour for colour, _ in list(taken.values())[turn * len(SPARE) :]]
        while SPARE[index] in used:
            index = (index + 1) % len(SPARE)
        taken[name] = (SPARE[index], SPARE_MARKS[(index + turn) % len(SPARE_MARKS)])
    chosen = {name: KNOWN.get(name) or taken[name] for name in names}
    return {name: {"color": colour, "marker": mark} for name, (colour, mark) in chosen.items()}


def save(made: Figure, path: Path) -> Path:
    """Write a figure, with fonts for all its characters, and return its path.

    Args:
        made: from ``figure``.
        path: ``.png``, ``.svg`` or another ending that matplotlib knows.

    Returns:
        ``path``.
    """
    _write(made, [path])
    return path


def save_both(made: Figure, path: Path) -> list[Path]:
    """Write a figure as ``path`` with the endings .png and .svg, and return both paths."""
    paths = [path.with_name(f"{path.name}.{ending}") for ending in ("png", "svg")]
    _write(made, paths)
    return paths


def _write(made: Figure, paths: Sequence[Path]) -> None:
    for axis in made.axes:
        axis.title.set(size=LABEL, color=INK)  # set_title has a size of its own
        for side in (axis.xaxis, axis.yaxis):
            side.offsetText.set(size=SMALL, color=QUIET)
        if axis.get_label() == "<colorbar>":
            dress(axis)
            axis.spines[:].set_visible(False)
    say_missing(give_fonts(made))
    with without_font_warnings():
        for path in paths:
            made.savefig(path, dpi=DPI, facecolor="white")
