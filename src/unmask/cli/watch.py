"""The command ``unmask watch``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.errors import UserError


def watch(
    run: Annotated[Path, typer.Argument(help="Folder of a run: the --out of unmask sft.")],
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between looks at the folder.")] = 1.0,
) -> None:
    """Draw a training run as it goes on elsewhere; where stdout is no terminal, as it is now."""
    import time

    from rich.console import Console
    from rich.live import Live

    from unmask.plots.live import Board
    from unmask.train.best import METRIC
    from unmask.train.metrics import MetricsFile
    from unmask.train.run_folder import METRICS_FILE, RUN_FILE, SAMPLES_FILE, read_record

    if not (run / RUN_FILE).exists():
        raise UserError(
            f"{run}: expected the folder of a training run, found no {RUN_FILE}; write the --out of unmask sft"
        )
    console = Console()

    def look() -> tuple[Any, bool]:
        record, samples = read_record(run), MetricsFile.read(run / SAMPLES_FILE)
        settings = record["settings"]
        board, lines = Board(str(run), settings.get("best_metric") or METRIC), MetricsFile.read(run / METRICS_FILE)
        board.start(lines[-1]["step"] if lines else 0, settings["steps"], lines)
        board.answers([row for row in samples if row["step"] == samples[-1]["step"]])
        return board.picture(console.width, console.height if console.is_terminal else 100), "result" in record

    picture, is_over = look()
    if is_over or not console.is_terminal:
        console.print(picture)
        return
    with Live(picture, console=console, auto_refresh=False) as live:
        while not is_over:
            time.sleep(every)
            picture, is_over = look()
            live.update(picture, refresh=True)
