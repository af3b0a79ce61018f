"""A trace as one HTML file to play, step through and point at. Nothing is loaded from elsewhere."""

import html
import json
from pathlib import Path

from unmask.errors import printable
from unmask.plots.flow import visible
from unmask.plots.palette import SHADES
from unmask.plots.traces import QUESTION, end_of, key_of, summary, title
from unmask.tracing.record import Trace

TEMPLATE = Path(__file__).with_name("page.html")


def write_page(trace: Trace, path: Path, *, row: int = 0) -> Path:
    """Write a row's trace as a page.

    Args:
        trace: the trace.
        path: ``.html``.
        row: index of the row in the batch.

    Returns:
        ``path``.
    """
    frames = trace.frames(row)
    ends = set(trace.header["eos_ids"])
    told = [
        {
            "block": frame.block,
            "end": end_of(trace, frame),
            "fresh": list(frame.fresh),
            "back": list(frame.taken_back),
            "cells": {
                offset: [visible(cell.text, is_end=cell.id in ends), cell.probability, cell.index, cell.id]
                for offset, cell in frame.cells.items()
                if number == 0 or cell != frames[number - 1].cells.get(offset)
            },
            "gone": [] if number == 0 else [offset for offset in frames[number - 1].cells if offset not in frame.cells],
        }
        for number, frame in enumerate(frames)
    ]
    data = {"canvas": trace.canvas(row), "frames": told, "shades": SHADES}
    # "</" would end the script element
    page = TEMPLATE.read_text("utf-8").replace("@TITLE@", html.escape(title(trace, row)))
    shown = key_of(frames, end_of(trace, frames[-1]), trace.canvas(row))
    key = "· <b>bold</b>: given " * shown["given"] + '· <span class="past">grey</span>: after the end ' * shown["past"]
    page = page.replace("@QUESTION@", QUESTION).replace("@KEY@", key)
    page = page.replace("@SUMMARY@", html.escape(summary(trace, frames)))
    script = json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
    path.write_text(printable(page.replace("@DATA@", script)), "utf-8")
    return path
