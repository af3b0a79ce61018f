"""The command ``unmask sft``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.options import Device, Json, Out, Set


def sft(
    recipe: Annotated[Path, typer.Argument(help="YAML file; see recipes/.")],
    out: Out,
    set_: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin the run in --out again; it must hold no whole checkpoint.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="In place of the recipe's run.seed.")] = None,
    device: Device = None,
    live: Annotated[
        bool, typer.Option("--live", help="Draw losses, numbers and answers (run.samples) while it trains.")
    ] = False,
    json: Json = False,
) -> None:
    """Fine-tune a model with any objective, as a recipe says."""
    from unmask.cli.present import emit, say
    from unmask.config.plugins import load_recorded
    from unmask.recipes.recipe import import_plugins, read_recipe
    from unmask.recipes.run import sft as run
    from unmask.runtime.third_party_logging import silence_libraries
    from unmask.train.metrics import MetricsFile
    from unmask.train.run_folder import RUN_FILE, read_record

    options = {"model.device": device, "run.seed": seed}
    assignments = [*(set_ or ()), *(f"{name}={value}" for name, value in options.items() if value is not None)]
    silence_libraries()
    values = read_recipe(recipe, tuple(assignments))
    if resume and (out / RUN_FILE).exists():
        import_plugins(values)
        load_recorded(read_record(out).get("plugins"), str(out / RUN_FILE))
    result = run(values, out, resume=resume, restart=restart, tell=say, show=_view(out, values) if live else True)
    lines = MetricsFile.read(out / "metrics.jsonl") or [{"step": 0}]
    if json:
        last = {name: lines[-1][name] for name in ("loss", *MEASURED) if name in lines[-1]}
        emit({"folder": str(result.folder), "model": str(result.model), **last, **result.saved, **result.totals})
        return
    _summarise(lines, result)


MEASURED = {"held_out_loss": "held-out loss", "held_out_bound": "held-out bound", "accuracy": "accuracy"}


def _view(out: Path, values: dict[str, Any]) -> Any:
    """Return the live view, or True for the progress bar where stderr is no terminal."""
    from rich.console import Console

    from unmask.cli.present import say
    from unmask.plots.live import LiveRun

    if not Console(stderr=True).is_terminal:
        say("--live: stderr is no terminal; a progress bar is drawn instead (unmask watch RUN shows the run elsewhere)")
        return True
    section = values.get("run")
    metric = section.get("best_metric") if isinstance(section, dict) else None
    return LiveRun(str(out), str(metric or "held_out_loss"))


def _which(saved: dict[str, Any]) -> str:
    """Return of which step a run's model is, and where the best one is."""
    average = f", average of weights with decay {saved['ema']:g}" if "ema" in saved else ""
    if "best_step" not in saved:
        return f"of the last step, {saved['step']:,}{average}"
    best = f"lowest {MEASURED[saved['metric']]}" if saved["metric"] != "accuracy" else "highest accuracy"
    value = f"{best} {saved['value']:.4g}"
    if saved["step"] == saved["best_step"] == saved["last_step"]:
        return f"of the last step, {saved['step']:,}, with the {value}{average}"
    if saved["step"] == saved["best_step"]:
        return f"of step {saved['step']:,}, with the {value}; the last step was {saved['last_step']:,}{average}"
    return (
        f"of the last step, {saved['step']:,}{average}; the {value} is in checkpoints/checkpoint-{saved['best_step']}, "
        "and run.save_best: true saves that one"
    )


def _summarise(lines: list[dict[str, Any]], result: Any) -> None:
    """Print what happened, what it cost, and what to do next."""
    from unmask.cli.present import as_text, table

    def course(name: str) -> str:
        values = [line[name] for line in lines if isinstance(line.get(name), float)]
        return f"{values[0]:.4f} to {values[-1]:.4f}" if values else "not measured"

    totals = result.totals
    typer.echo(f"{lines[-1]['step']:,} steps in {totals['seconds']:.1f} s")
    rows: dict[str, Any] = {"loss": course("loss"), "held-out loss": course("held_out_loss")}
    rows |= {MEASURED[name]: course(name) for name in ("held_out_bound", "accuracy") if any(name in x for x in lines)}
    rows["examples"] = totals["examples"]
    rows["tokens"] = f"{as_text(totals['supervised_tokens'])} supervised of {as_text(totals['forward_tokens'])} read"
    table({**rows, "model": str(result.model), "its weights": _which(result.saved)})
    typer.echo(f"next: unmask generate {result.folder} --prompt '…'")
