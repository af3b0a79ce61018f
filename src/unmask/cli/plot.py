"""The command ``unmask plot``."""

from pathlib import Path
from typing import Annotated

import typer

from unmask.errors import UserError

ENDINGS = (".png", ".svg", ".gif", ".html")


def plot(
    trace: Annotated[Path, typer.Argument(help="Written by unmask generate --save-trace.")],
    out: Annotated[Path, typer.Option(help="New file: .png and .svg are pictures, .gif and .html move.")],
    row: Annotated[int, typer.Option(help="Which answer of the trace, from 0.")] = 0,
) -> None:
    """Draw how an answer was written: in which order, with what confidence, block by block."""
    from unmask.cli.present import check_new_file

    ending = out.suffix.lower()
    if ending not in ENDINGS:
        raise UserError(f"--out: expected a file that ends in {', '.join(ENDINGS)}, found '{out.name}'")
    check_new_file(out, "--out")
    from unmask.plots.animation import animate_trace
    from unmask.plots.page import write_page
    from unmask.plots.traces import plot_trace
    from unmask.tracing.record import read_trace

    draw = {".gif": animate_trace, ".html": write_page}.get(ending, plot_trace)
    typer.echo(draw(read_trace(trace), out, row=row))
