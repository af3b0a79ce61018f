"""A trace as an animated GIF."""

from pathlib import Path

from rich.cells import cell_len

from unmask.plots.flow import flow
from unmask.plots.fonts import give_fonts, say_missing, without_font_warnings
from unmask.plots.palette import ACTIVE, QUIET
from unmask.plots.style import LEFT, SUBTITLE, blank, probability_key
from unmask.plots.traces import (
    COLUMNS,
    INCH,
    KEY,
    LINE,
    QUESTION,
    draw_text,
    drawn,
    end_of,
    key_of,
    spelled,
    title,
    written,
)  # fmt: skip
from unmask.tracing.record import Trace

MOST_PICTURES = 80  # longer decodings show every second, third … forward
FRAMES_A_SECOND = 8
LAST = 16  # pictures for which the finished text stays


def animate_trace(trace: Trace, path: Path, *, row: int = 0) -> Path:
    """Draw a row's text forward by forward: the active block underlined, fresh tokens outlined.

    Args:
        trace: the trace.
        path: ``.gif``.
        row: index of the row in the batch.

    Returns:
        ``path``.
    """
    from matplotlib.animation import PillowWriter

    frames, canvas = trace.frames(row), trace.canvas(row)
    texts = [drawn(spelled(trace, frame, canvas)) for frame in frames]
    boxes = flow(
        [max(column, key=cell_len) for column in zip(*texts, strict=True)], COLUMNS
    )  # room for what is revised
    text_tall = (boxes[-1].line + 1) * LINE
    figure, head = blank(COLUMNS * INCH + 2 * LEFT, text_tall + 0.42 + KEY, QUESTION, title(trace, row))
    size = figure.get_size_inches()
    left, wide = LEFT / size[0], COLUMNS * INCH / size[0]
    axis = figure.add_axes((left, KEY / size[1], wide, text_tall / size[1]))
    status = figure.text(left, 1 - (head + 0.12) / size[1], "", fontsize=SUBTITLE, color=QUIET)
    bar = figure.add_axes((left, 1 - (head + 0.26) / size[1], wide, 0.03 / size[1]))
    probability_key(figure, **key_of(frames, end_of(trace, frames[-1]), canvas))
    stride = -(-len(frames) // MOST_PICTURES)
    shown = [*range(0, len(frames) - 1, stride), len(frames) - 1]
    writer = PillowWriter(fps=FRAMES_A_SECOND)
    missing: set[str] = set()

    def show(number: int, *, active: bool) -> None:
        axis.clear()
        end = end_of(trace, frames[number])
        draw_text(axis, boxes, texts[number], frames[number], end=end, active=active)
        bar.clear()
        bar.axis("off")
        bar.set(xlim=(0, 1), ylim=(0, 1))
        bar.axvspan(0, (number + 1) / len(frames), color=ACTIVE, lw=0)
        status.set_text(f"forward {number + 1} of {len(frames)} · {written(frames[number])} tokens")
        missing.update(give_fonts(figure))
        writer.grab_frame(facecolor="white")

    with without_font_warnings(), writer.saving(figure, str(path), dpi=100):
        for number in shown:
            show(number, active=True)
        for _ in range(LAST):
            show(len(frames) - 1, active=False)
    say_missing(missing)
    return path
