"""The command ``unmask study``."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.options import Json, Set


def study(
    recipe: Annotated[str, typer.Argument(help="A built-in study (see --list), or a YAML file.")] = "",
    size: Annotated[str | None, typer.Option(help="smoke, cpu or gpu (default: the recipe as it stands).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the study; the same again goes on with it.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs side by side (default: one for each core).")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Run this arm only; may be repeated.")] = None,
    cell: Annotated[list[str] | None, typer.Option(help="Run this cell only; may be repeated.")] = None,
    bases: Annotated[
        Path | None, typer.Option(help="Folder of the bases that are made; studies may share it (default: OUT/bases).")
    ] = None,
    set_: Set = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it, and say what would run and how long.")] = False,
    report_only: Annotated[bool, typer.Option("--report-only", help="Write the report of what is there.")] = False,
    repeat: Annotated[
        Path | None,
        typer.Option(help="Repeat the study in this folder, at the rates that it chose, and compare the outcomes."),
    ] = None,
    publish_to: Annotated[
        Path | None,
        typer.Option("--publish", help="Copy report, figures and results, without models and texts, to this folder."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the built-in studies and leave.")] = False,
    json: Json = False,
) -> None:
    """Compare objectives from one base under equal budgets, paired over seeds and problems."""
    import unmask.study as studies
    from unmask.cli.present import emit

    if list_:
        _list(json)
        return
    _check(recipe, size, repeat, needs_out=out is None and not dry_run)
    before = studies.read_published(repeat, tuple(set_ or ())) if repeat else None
    checked = studies.plan(
        before.values if before else studies.read_study(recipe, size, tuple(set_ or ())),
        out or Path("runs") / Path(recipe or repeat or "").stem,
        bases=bases,
        only=only or (),
        only_cells=cell or (),
        rates=before.rates if before else None,
    )
    if before:
        studies.check_common(before, [f"runs/{run.path}" for run in checked.reported])
    seen = studies.overview(checked)
    if dry_run:
        emit(seen) if json else show_plan(seen, jobs)
        return
    summary = studies.report(checked) if report_only else run_with_progress(studies.run_study, checked, jobs)
    if publish_to:
        studies.publish(checked.out, publish_to)
    if before:
        rows = studies.compare_outcomes(before, list(studies.results(checked).runs))
        summary |= {"repeated": rows, "unknown": list(before.unknown)}
    if json:
        emit(summary)
    else:
        _show(summary, checked.out)
        if before:
            _show_repetition(summary["repeated"], before)
    if not all(map(studies.is_same, summary.get("repeated", []))):
        raise typer.Exit(1)


def _check(recipe: str, size: str | None, repeat: Path | None, *, needs_out: bool) -> None:
    """Refuse options that leave open which study is meant, or where it is written."""
    from unmask.errors import UserError

    if bool(recipe) == bool(repeat):
        found = "none" if repeat is None else f"'{recipe}' beside --repeat"
        raise UserError(f"expected a study, found {found}; write a name of unmask study --list, a file, or --repeat")
    if repeat is not None and size is not None:
        raise UserError(f"--size: {repeat} has its size already; leave --size out, or change a field by --set")
    if needs_out:
        raise UserError("expected --out, a folder for the study, found none; write for example --out runs/study")


def _list(json: bool) -> None:
    from unmask.cli.present import emit, table
    from unmask.study import built_in_studies, read_study

    found = {name: read_study(name)["question"] for name in built_in_studies()}
    emit(found) if json else table(found)


def run_with_progress(run_study: Callable[..., dict[str, Any]], checked: object, jobs: int | None) -> dict[str, Any]:
    """Run a study with a bar for its current phase; return its summary."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from unmask.runtime.third_party_logging import silence_libraries

    silence_libraries()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def follow(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        return run_study(checked, jobs=jobs, follow=follow)


def show_plan(seen: dict[str, Any], jobs: int | None) -> None:
    """Print the grid and what it takes."""
    from unmask.cli.present import table
    from unmask.runtime.environment import cores

    workers = jobs or cores()
    time = "not measured yet"
    if seen["core_seconds"] is not None:
        minutes = seen["core_seconds"] / workers / 60
        time = f"{minutes:.0f} minutes with {workers} side by side, at {seen['seconds_per_run']:.0f} s a run"
    table(
        {
            **{name: seen[name] for name in ("question", "cells", "arms", "seeds", "rates", "decoders")},
            "equal": list(seen["equal"]),
            "runs": f"{seen['runs']} and {seen['trials']} to choose rates; {seen['missing']} are missing",
            "bases to make": seen["bases_to_make"],
            "time without bases": time,
        }
    )


SHOWN_DECODERS = 2


def _show(summary: dict[str, Any], out: Path) -> None:
    """Print what the first budget showed under the first decoders, and where the whole report is."""
    from itertools import groupby

    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = summary["comparisons"]
    decoders = list(dict.fromkeys(row["decoder"] for row in rows))[:SHOWN_DECODERS]
    rows = [row for row in rows if row["budget"] == rows[0]["budget"] and row["decoder"] in decoders]
    for (cell, decoder), mine in groupby(rows, key=lambda row: (row["cell"], row["decoder"])):
        title = f"{cell}, {decoder}, at equal {rows[0]['budget'].replace('_', ' ')}"
        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
        for head in ("arm", "accuracy", f"points above {summary['reference']}", "p", "p over seeds", "above in"):
            table.add_column(head)
        for row in mine:
            against = ("", "", "", "")
            if row["difference"] is not None:
                low, high = (f"{value * 100:+.1f}" for value in row["difference_interval"])
                p = ("unknown" if p is None else f"{p:.3g}" for p in (row["p_holm"], row["p_seeds"]))
                against = (f"{row['difference'] * 100:+.1f} ({low} to {high})", *p, row["above"])
            table.add_row(row["arm"], f"{row['accuracy']:.3f}", *against)
        Console().print(table)
    for row in summary["room"]:
        if row["faults"]:
            typer.echo(f"no room in {row['cell']} under {row['decoder']}: {'; '.join(row['faults'])}", err=True)
    typer.echo(f"report in {out / 'report.md'} and {out / 'report.html'}")


def _show_repetition(rows: list[dict[str, Any]], before: Any) -> None:
    """Print both accuracies of each run, how many problems came out otherwise, and what else differs."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from unmask.study import is_same

    table = Table(title=f"Against {before.folder}, after the whole run", box=box.SIMPLE_HEAD, title_justify="left")
    for head in ("cell", "arm", "seed", "decoder", "published", "now", "changed", "on the way"):
        table.add_column(head)
    for row in rows:
        shown = (f"{row['published']:.3f}", f"{row['now']:.3f}", str(row["changed"]), str(row["changed_before"]))
        table.add_row(row["cell"], row["arm"], str(row["seed"]), row["decoder"], *shown)
    Console().print(table)
    for row in rows:
        if row["totals"]:
            typer.echo(f"{row['cell']}, {row['arm']}, seed {row['seed']}, {row['decoder']}: {'; '.join(row['totals'])}")
    same = sum(map(is_same, rows))
    typer.echo(f"{same} of {len(rows)} outcomes are the same, problem by problem")
    if before.unknown:
        typer.echo(f"unknown of the first, which an older version wrote: {', '.join(before.unknown)}")
