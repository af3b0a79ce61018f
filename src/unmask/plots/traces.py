"""A picture of a trace: when each token was written and with what confidence, and the text that came out."""

from collections.abc import Sequence
from pathlib import Path

from unmask.plots.flow import Box, flow, visible
from unmask.plots.fonts import legible
from unmask.plots.palette import ACTIVE, BAND, EDGE, INK, PAST, QUIET, ink, shade
from unmask.plots.panels import Axes, shorten
from unmask.plots.style import LEFT, blank, dress, number_forwards, one_row, probability_key, save
from unmask.tracing.record import Frame, Trace

COLUMNS, INCH = 64, 0.135  # characters of a line of text, and the width of one
LINE = 0.36  # inches from one line of text to the next
LABELS, KEY = 0.62, 0.34  # inches left of the drawing and below it
QUESTION = "In which order was the answer written?"
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
    frames, canvas = trace.frames(row), trace.canvas(row)
    texts, end = drawn(spelled(trace, frames[-1], canvas)), end_of(trace, frames[-1])
    boxes = flow(texts, COLUMNS)
    text_tall = (boxes[-1].line + 1) * LINE + 0.1
    tall = min(max(0.16 * len(frames), 1.6), 6.0)
    wide = COLUMNS * INCH
    bottom = text_tall + KEY
    figure, _ = blank(wide + LABELS + LEFT, bottom + 0.55 + tall, QUESTION, title(trace, row), summary(trace, frames))
    size = figure.get_size_inches()
    left, share = LABELS / size[0], wide / size[0]
    above = figure.add_axes((left, (bottom + 0.55) / size[1], share, tall / size[1]))
    under = figure.add_axes((left, KEY / size[1], share, text_tall / size[1]))
    _draw_order(above, frames, canvas, end)
    draw_text(under, boxes, texts, frames[-1], end=end, numbers=True)
    probability_key(figure, **key_of(frames, end, canvas))
    return save(figure, path)


def end_of(trace: Trace, frame: Frame) -> int:
    """Return the offset of the first end token whose text goes no further; the canvas's last column + 1 without one.

    Args:
        trace: knows which tokens end a text.
        frame: the tokens at one forward.

    Returns:
        An offset; what lies behind it is no part of the answer.
    """
    ends, last = set(trace.header["eos_ids"]), max(frame.cells, default=-1) + 1
    given = max((offset for offset, cell in frame.cells.items() if cell.index is None), default=-1)
    found = (offset for offset, cell in sorted(frame.cells.items()) if cell.id in ends and offset > given)
    return next(found, last)


def key_of(frames: Sequence[Frame], end: int, canvas: int) -> dict[str, bool]:
    """Return which lines the key of a picture needs, as keywords of ``probability_key``."""
    return {
        "given": any(cell.index is None for cell in frames[-1].cells.values()),
        "past": end < canvas - 1,
        "taken_back": any(frame.taken_back for frame in frames),
    }


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


def drawn(texts: Sequence[str]) -> list[str]:
    """Return texts of tokens as a picture has them: codes for what no font has, long ones cut."""
    return [shorten(legible(text)[0], COLUMNS // 2) for text in texts]


def title(trace: Trace, row: int) -> str:
    """Return the prompt that was decoded, in one row."""
    return one_row(trace.prompt(row)) or "(no prompt)"


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


def _draw_order(axis: Axes, frames: Sequence[Frame], canvas: int, end: int) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    for number, frame in enumerate(frames):
        begin, end = frame.block
        axis.add_patch(Rectangle((begin, number), end - begin, 1, color=BAND, lw=0, zorder=0))
    squares, colours = [], []
    for number, frame in enumerate(frames):
        for offset in frame.fresh:
            squares.append(Rectangle((offset, number), 1, 1))
            colours.append(PAST if offset > end else shade(frame.cells[offset].probability or 0.0))
        for offset in frame.taken_back:
            axis.plot(offset + 0.5, number + 0.5, "x", color=INK, ms=4, mew=1, zorder=3)
    edge = EDGE if len(squares) < MOST_SQUARES else "none"
    axis.add_collection(PatchCollection(squares, facecolor=colours, edgecolor=edge, lw=0.6, zorder=2))
    for edge_at in sorted({frame.block[0] for frame in frames} - {0}):
        axis.axvline(edge_at, color="#d5dbe1", lw=0.8, zorder=1)
    axis.set(xlim=(0, canvas), xlabel="position on the canvas")
    number_forwards(axis, len(frames))
    dress(axis)
    axis.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]  # numbers have a MaxNLocator


def draw_text(
    axis: Axes, boxes: Sequence[Box], texts: Sequence[str], frame: Frame, *, end: int, numbers: bool = False,
    active: bool = False,
) -> None:  # fmt: skip
    """Draw a frame's tokens in their boxes: given ones bold, those after the end grey.

    Args:
        axis: in characters and lines.
        boxes: of the final text.
        texts: of the final text.
        frame: which tokens are written, and with what probability.
        end: offset of the end, as ``end_of`` returns it.
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
        colour, is_past = INK, box.offset > end
        if cell.probability is not None:  # given tokens have no box
            fill = PAST if is_past else shade(cell.probability)
            colour = QUIET if is_past else ink(fill)
            axis.add_patch(FancyBboxPatch(
                (box.left, top + 0.12), box.width, 0.6, boxstyle="round,pad=0,rounding_size=0.12", mutation_aspect=0.4,
                facecolor=fill, edgecolor=INK if is_fresh else EDGE, lw=1.2 if is_fresh else 0.6))  # fmt: skip
        axis.text(middle, top + 0.43, final, ha="center", va="center", family="monospace", fontsize=9.5, color=colour,
                  weight="bold" if cell.probability is None else "normal")  # fmt: skip
        if numbers and cell.index is not None:
            axis.text(middle, top + 0.86, str(cell.index + 1), ha="center", va="center", fontsize=5.5, color=QUIET)
    axis.set(xlim=(-0.15, COLUMNS), ylim=(boxes[-1].line + 1, 0))
    axis.axis("off")
