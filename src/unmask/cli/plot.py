"""The command ``unmask plot``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.errors import UserError

ENDINGS = (".png", ".svg", ".gif", ".html")
OF_RUNS = (".png", ".svg")


def plot(
    sources: Annotated[
        list[Path],
        typer.Argument(help="A trace, written by unmask generate --save-trace; or folders of training runs."),
    ],
    out: Annotated[Path, typer.Option(help="New file: .png and .svg are pictures, .gif and .html move (of a trace).")],
    row: Annotated[int, typer.Option(help="Which answer of the trace, from 0.")] = 0,
) -> None:
    """Draw how an answer was written, token by token; or how training runs went, several beside each other."""
    from unmask.cli.present import check_new_file

    missing = [str(path) for path in sources if not path.exists()]
    if missing and len(sources) > 1:
        raise UserError(
            f"{', '.join(missing)}: expected a trace or the folder of a run, found no file or folder of that name; "
            "write the file of --save-trace, or the --out of unmask sft"
        )
    runs = {str(path): _lines(path) for path in sources if path.is_dir()}
    traces = [path for path in sources if str(path) not in runs]
    if (runs and traces) or len(traces) > 1:
        raise UserError(
            f"expected one trace, or folders of runs, found files: {len(traces)}, folders: {len(runs)}; "
            "draw each trace in a picture of its own"
        )
    ending, allowed = out.suffix.lower(), OF_RUNS if runs else ENDINGS
    if ending not in allowed:
        raise UserError(f"--out: expected a file that ends in {', '.join(allowed)}, found '{out.name}'")
    check_new_file(out, "--out")
    if runs:
        from unmask.plots.runs import plot_run, plot_runs

        typer.echo(plot_runs(runs, out) if len(runs) > 1 else plot_run(*next(iter(runs.items())), out))
        return
    from unmask.plots.animation import animate_trace
    from unmask.plots.page import write_page
    from unmask.plots.traces import plot_trace
    from unmask.tracing.record import read_trace

    draw = {".gif": animate_trace, ".html": write_page}.get(ending, plot_trace)
    typer.echo(draw(read_trace(traces[0]), out, row=row))


def _lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics; a ``UserError`` where there is nothing to draw."""
    from unmask.train.metrics import MetricsFile
    from unmask.train.run_folder import METRICS_FILE

    if not (folder / METRICS_FILE).is_file():
        raise UserError(f"{folder}: expected a folder of unmask sft, found no {METRICS_FILE}; write the --out of a run")
    lines = [line for line in MetricsFile.read(folder / METRICS_FILE) if _is_number(line.get("loss"))]
    if not lines:
        raise UserError(f"{folder}: expected a run with at least one step, found none yet; wait, or look at its log")
    return MetricsFile.read(folder / METRICS_FILE)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
