"""The command ``unmask tasks``."""

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.options import Json, Seed

tasks = typer.Typer(help="List the tasks, check that their own solutions are right, or write their problems to a file.")


@tasks.callback(invoke_without_command=True)
def listed(context: typer.Context, json: Json = False) -> None:
    """List the tasks, check that their own solutions are right, or write their problems to a file."""
    if context.invoked_subcommand is not None:
        return
    from unmask.cli.present import emit, table
    from unmask.config.registry import describe
    from unmask.tasks import TASKS

    listing = {name: describe(TASKS[name], TASKS[name].__module__)["summary"] for name in TASKS}
    emit(listing) if json else table(listing)


@tasks.command()
def check(
    task: Annotated[
        str, typer.Argument(help="A task's name, or YAML: '{name: mbpp, path: mbpp.jsonl, execute: sandbox}'.")
    ],
    split: Annotated[str | None, typer.Option(help="train or test (default: those that the task has).")] = None,
    problems: Annotated[int | None, typer.Option(min=1, help="How many of each split (default: all).")] = None,
    json: Json = False,
) -> None:
    """Judge the reference solution of every problem; exit code 1 if one is not right."""
    from unmask.cli.present import as_text, emit, progress
    from unmask.tasks import choose_task, connect
    from unmask.tasks.references import check_references, splits_of

    chosen = choose_task(task)
    size = problems or chosen.default_problems
    splits = {split: chosen.problems(split, size, 0)} if split else splits_of(chosen, size)
    connect(chosen)
    found = []
    for name, wanted in splits.items():
        with progress(f"{chosen.name}, {name}", len(wanted)) as on_done:
            found.append(check_references(chosen, wanted, name, on_done))
    if json:
        by_split = {
            one.split: {
                "problems": one.problems, "failed": one.failed, **({"without": one.without} if one.without else {})
            }
            for one in found
        }  # fmt: skip
        emit({"task": chosen.name, "splits": by_split})
    else:
        for one in found:
            right = one.problems - len(one.failed)
            typer.echo(f"{chosen.name}, {one.split}: {as_text(right)} of {as_text(one.problems)} references are right")
            if one.without:
                typer.echo(f"  {as_text(one.without)} more have no reference to judge")
            for source in one.failed:
                typer.echo(f"  not right: {source}")
    if any(one.failed for one in found):
        raise typer.Exit(1)


@tasks.command()
def write(
    task: Annotated[str, typer.Argument(help="A task's name, or YAML: '{name: sorting, shortest: 8, longest: 8}'.")],
    out: Annotated[Path, typer.Option(help="New .jsonl file.")],
    split: Annotated[str, typer.Option(help="train or test.")] = "train",
    problems: Annotated[int | None, typer.Option(min=1, help="How many (default: all, or the task's number).")] = None,
    seed: Seed = 0,
) -> None:
    """Write problems of a task as rows of prompt, completion and answer, to train on or to ask."""
    import json

    from unmask.cli.present import as_text, check_new_file
    from unmask.tasks import choose_task

    check_new_file(out, "--out")
    chosen = choose_task(task)
    rows = [
        {"prompt": problem.query, "completion": problem.solution, "answer": problem.answer}
        for problem in chosen.problems(split, problems or chosen.default_problems, seed)
    ]
    out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    typer.echo(f"{as_text(len(rows))} {split} problems of {chosen.name} in {out}")
