"""The command ``unmask quickstart``."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.options import Json, Seed


def quickstart(
    out: Annotated[Path | None, typer.Option(help="New folder to write to (default: runs/quickstart-TIME).")] = None,
    problems: Annotated[int, typer.Option(help="Held-out problems.")] = 400,
    steps: Annotated[int | None, typer.Option(help="Fine-tuning steps (default: as the recipes say).")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Fine-tune a tiny model in three ways and compare them, in one to three minutes on two cores."""
    from rich.console import Console

    from unmask.cli.present import emit
    from unmask.runtime.third_party_logging import silence_libraries
    from unmask.study.quickstart import quickstart as run

    silence_libraries()
    out = out or Path("runs") / time.strftime("quickstart-%Y%m%d-%H%M%S")
    console = Console(stderr=True)
    with console.status("starting") as status:
        report = run(out, problems=problems, seed=seed, steps=steps, progress=status.update)
    if json:
        emit(report)
        return
    _show_denoising(out, console)
    Console().print(_table(report))
    typer.echo(f"{report['problems']} held-out problems, {report['seconds']:.0f} s; runs, report and pictures in {out}")


def _show_denoising(out: Path, console: Any) -> None:
    from unmask.decoding import Decoder
    from unmask.generate import stream
    from unmask.models import load
    from unmask.plots.terminal import watch
    from unmask.study.quickstart import demonstration

    prompt, decoder, canvas = demonstration()
    lm = load(str(out / "blockwise" / "model"))
    steps = stream(lm, prompt, decoder=Decoder(**decoder), max_new_tokens=canvas, chat=False)
    for _ in watch(steps, lm, title=f"blockwise model, {prompt}", console=console, pause=0.12):
        pass


def _table(report: dict[str, Any]) -> Any:
    from rich.table import Table

    from unmask.study.quickstart import ARMS

    table = Table(title="Accuracy on held-out problems (95 % interval)")
    for heading in ("", "block decoding", "full-canvas decoding", "bound by blocks, nats a token"):
        table.add_column(heading)
    for name in ("before", *ARMS):
        cells = []
        for decoding in ("accuracy", "full_canvas"):
            low, high = report[name]["intervals"][decoding]
            cells.append(f"{report[name][decoding]:6.1%}  ({low:.1%} to {high:.1%})")
        table.add_row(name, *cells, f"{report[name]['bounds']['by_block']:.3f}")
    table.caption = "Losses of different objectives do not compare; the bound on held-out answers does."
    return table
