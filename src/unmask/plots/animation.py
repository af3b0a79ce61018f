"""A trace as an animated GIF."""

from pathlib import Path
from typing import Any

from unmask.plots.flow import flow
from unmask.plots.palette import ACTIVE, INK, QUIET
from unmask.plots.traces import COLUMNS, INCH, LINE, draw_text, spelled, title, written
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
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.animation import PillowWriter

    frames = trace.frames(row)
    texts = [spelled(trace, frame, trace.canvas(row)) for frame in frames]
    boxes = flow([max(column, key=len) for column in zip(*texts, strict=True)], COLUMNS)  # room for what is revised
    size = (COLUMNS * INCH + 0.8, (boxes[-1].line + 1) * LINE + 0.95)
    figure = pyplot.figure(figsize=size, facecolor="white")
    axis = figure.add_axes((0.4 / size[0], 0.12 / size[1], COLUMNS * INCH / size[0], 1 - 0.85 / size[1]))
    head: dict[str, Any] = {"fontsize": 11.5, "color": INK, "family": "monospace", "weight": "bold"}
    figure.text(0.4 / size[0], 1 - 0.32 / size[1], title(trace, row), **head)
    status = figure.text(0.4 / size[0], 1 - 0.55 / size[1], "", fontsize=8.5, color=QUIET)
    bar = figure.add_axes((0.4 / size[0], 1 - 0.68 / size[1], COLUMNS * INCH / size[0], 0.025 / size[1]))
    stride = -(-len(frames) // MOST_PICTURES)
    shown = [*range(0, len(frames) - 1, stride), len(frames) - 1]
    writer = PillowWriter(fps=FRAMES_A_SECOND)
    with writer.saving(figure, str(path), dpi=100):
        for number in shown:
            axis.clear()
            draw_text(axis, boxes, texts[number], frames[number], active=True)
            bar.clear()
            bar.axis("off")
            bar.set(xlim=(0, 1), ylim=(0, 1))
            bar.axvspan(0, (number + 1) / len(frames), color=ACTIVE, lw=0)
            status.set_text(f"forward {number + 1} of {len(frames)} · {written(frames[number])} tokens")
            writer.grab_frame()
        axis.clear()
        draw_text(axis, boxes, texts[-1], frames[-1])
        for _ in range(LAST):
            writer.grab_frame()
    pyplot.close(figure)
    return path
