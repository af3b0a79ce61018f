"""A picture of a trace: when each token was written and with what confidence, and the text that came out."""

from collections.abc import Sequence
from pathlib import Path

from unmask.plots.flow import Box, flow, visible
from unmask.plots.palette import ACTIVE, BAND, EDGE, INK, QUIET, ink, shade
from unmask.plots.panels import Axes, Figure, shorten
from unmask.tracing.record import Frame, Trace

COLUMNS, INCH = 64, 0.135  # characters of a line of text, and the width of one
LINE = 0.36  # inches from one line of text to the next
MOST_SQUARES = 4000


def plot_trace(trace: Trace, path: Path, *, row: int = 0) -> Path:
    """Draw the commits of a row over its forwards, and below them its text, a colour for the probability of each token.

    Args:
        trace: the trace.
        path: ``.png`` or ``.svg``.
        row: index of the row in the batch.

    Returns:
        ``path``.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    frames, canvas = trace.frames(row), trace.canvas(row)
    texts = spelled(trace, frames[-1], canvas)
    boxes = flow(texts, COLUMNS)
    lines = boxes[-1].line + 1
    tall = min(max(0.16 * len(frames), 1.6), 6.0)
    size = (COLUMNS * INCH + 1.3, tall + lines * LINE + 1.75)
    figure = pyplot.figure(figsize=size)
    left, wide = 0.75 / size[0], COLUMNS * INCH / size[0]
    below = (lines * LINE + 0.1) / size[1]
    above = figure.add_axes((left, below + 0.75 / size[1], wide, tall / size[1]))
    under = figure.add_axes((left, 0.12 / size[1], wide, below))
    _draw_order(above, frames, canvas)
    draw_text(under, boxes, texts, frames[-1], numbers=True)
    _head(figure, trace, frames, row)
    _key(figure, size)
    figure.savefig(path, dpi=150, facecolor="white")
    pyplot.close(figure)
    return path


def spelled(trace: Trace, frame: Frame, canvas: int) -> list[str]:
    """Write the tokens of a canvas so that they can be seen.

    Args:
        trace: the trace.
        frame: the tokens at one forward.
        canvas: columns of the canvas.

    Returns:
        The text of each column; a dot where nothing was written.
    """
    ends = set(trace.header["eos_ids"])
    cells = frame.cells
    return [
        visible(cells[offset].text, is_end=cells[offset].id in ends) if offset in cells else "·"
        for offset in range(canvas)
    ]


def title(trace: Trace, row: int) -> str:
    """Return the end of the prompt that was decoded, as a title."""
    return shorten(trace.prompt(row).replace("\n", "⏎") or "(no prompt)", 58)


def summary(trace: Trace, frames: Sequence[Frame]) -> str:
    """Return a line with the tokens, forwards, blocks and selection of a decoding."""
    tokens = written(frames[-1])
    decoder = trace.header.get("decoder", {})
    how = decoder.get("selection", {}).get("name")
    rate = f"{tokens} tokens in {len(frames)} forwards, {tokens / len(frames):.2f} a forward"
    return " · ".join([rate, f"blocks of {trace.header['block_size']}", *([f"selection {how}"] if how else [])])


def written(frame: Frame) -> int:
    """Return how many tokens a frame has that were not given."""
    return sum(cell.index is not None for cell in frame.cells.values())


def _draw_order(axis: Axes, frames: Sequence[Frame], canvas: int) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    for number, frame in enumerate(frames):
        begin, end = frame.block
        axis.add_patch(Rectangle((begin, number), end - begin, 1, color=BAND, lw=0, zorder=0))
    squares, colours = [], []
    for number, frame in enumerate(frames):
        for offset in frame.fresh:
            squares.append(Rectangle((offset, number), 1, 1))
            colours.append(shade(frame.cells[offset].probability or 0.0))
        for offset in frame.taken_back:
            axis.plot(offset + 0.5, number + 0.5, "x", color=INK, ms=4, mew=1, zorder=3)
    edge = EDGE if len(squares) < MOST_SQUARES else "none"
    axis.add_collection(PatchCollection(squares, facecolor=colours, edgecolor=edge, lw=0.6, zorder=2))
    for edge_at in sorted({frame.block[0] for frame in frames} - {0}):
        axis.axvline(edge_at, color="#d5dbe1", lw=0.8, zorder=1)
    axis.set(xlim=(0, canvas), ylim=(len(frames), 0))
    axis.set_xlabel("position on the canvas", color=QUIET, fontsize=8.5)
    axis.set_ylabel("forward", color=QUIET, fontsize=8.5)
    axis.tick_params(colors=QUIET, labelsize=8, length=2.5, color=EDGE)
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, len(frames)) if len(frames) / step <= 12)
    counts = [count for count in range(1, len(frames) + 1) if count == 1 or count % every == 0]
    axis.set_yticks([count - 0.5 for count in counts], [str(count) for count in counts])
    axis.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]  # numbers have a MaxNLocator
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(EDGE)


def draw_text(
    axis: Axes, boxes: Sequence[Box], texts: Sequence[str], frame: Frame, *, numbers: bool = False, active: bool = False
) -> None:
    """Draw a frame's tokens in their boxes.

    Args:
        axis: in characters and lines.
        boxes: of the final text.
        texts: of the final text.
        frame: which tokens are written, and with what probability.
        numbers: write below each token which forward wrote it, from 1.
        active: mark the active block and the tokens that this forward wrote.
    """
    from matplotlib.patches import FancyBboxPatch

    for box, final in zip(boxes, texts, strict=True):
        cell = frame.cells.get(box.offset)
        middle, top = box.left + box.width / 2, box.line
        is_fresh = active and box.offset in frame.fresh
        if active and frame.block[0] <= box.offset < frame.block[1]:
            axis.plot([box.left - 0.2, box.left + box.width + 0.2], [top + 0.9] * 2, color=ACTIVE, lw=1.6)
        if cell is None:
            axis.text(middle, top + 0.42, "·", ha="center", va="center", family="monospace", color=QUIET)
            continue
        colour = INK
        if cell.probability is not None:  # given tokens have no box
            fill = shade(cell.probability)
            colour = ink(fill)
            axis.add_patch(FancyBboxPatch(
                (box.left, top + 0.12), box.width, 0.6, boxstyle="round,pad=0,rounding_size=0.12", mutation_aspect=0.4,
                facecolor=fill, edgecolor=INK if is_fresh else EDGE, lw=1.2 if is_fresh else 0.6))  # fmt: skip
        axis.text(middle, top + 0.43, final, ha="center", va="center", family="monospace", fontsize=9.5, color=colour)
        if numbers and cell.index is not None:
            axis.text(middle, top + 0.86, str(cell.index + 1), ha="center", va="center", fontsize=5.5, color=QUIET)
    axis.set(xlim=(-0.15, COLUMNS), ylim=(boxes[-1].line + 1, 0))
    axis.axis("off")


def _head(figure: Figure, trace: Trace, frames: Sequence[Frame], row: int) -> None:
    wide, tall = figure.get_size_inches()
    left = 0.75 / wide
    figure.text(left, 1 - 0.3 / tall, title(trace, row), fontsize=11.5, color=INK, family="monospace", weight="bold")
    figure.text(left, 1 - 0.53 / tall, summary(trace, frames), fontsize=8.5, color=QUIET)


def _key(figure: Figure, size: tuple[float, float]) -> None:
    """Draw the scale of probabilities at the top right."""
    wide, tall = size
    axis = figure.add_axes(((wide - 2.0) / wide, 1 - 0.56 / tall, 1.4 / wide, 0.1 / tall))
    for step in range(100):
        axis.axvspan(step / 100, (step + 1) / 100, color=shade((step + 0.5) / 100), lw=0)
    axis.set(xlim=(0, 1), yticks=[])
    axis.set_xticks([0, 0.5, 1], ["0", "½", "1"], fontsize=7.5, color=QUIET)
    axis.tick_params(length=0, pad=2)
    axis.spines[:].set_visible(False)
    axis.set_title("probability when written", fontsize=7.5, color=QUIET, pad=3)
