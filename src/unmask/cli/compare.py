"""The command ``unmask compare``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.opening import Comparison
from unmask.cli.options import AnswerRule, Json, Questions

Recipes = Annotated[
    list[Path], typer.Argument(help="Recipes from one base; the first is what others are compared with.")
]
General = Annotated[
    str | None,
    typer.Option(help="Problems of another kind, to see what tuning makes worse: a task, or a file of questions."),
]
GeneralAnswer = Annotated[
    str | None, typer.Option(help="The rule for a file of general questions (default: that of --answer).")
]
GeneralProblems = Annotated[int | None, typer.Option(min=1, help="How many of them (default: all, or 400 made ones).")]
Rates = Annotated[
    str | None, typer.Option(help="Learning rates to try for every recipe, '1e-4,3e-4' (default: each recipe's own).")
]
Equal = Annotated[
    str, typer.Option(help="Compare whole runs (run), or at equal steps, examples, supervised_tokens, flops, seconds.")
]
Every = Annotated[int | None, typer.Option(min=1, help="Steps between judgements on the way (default: none).")]


def compare(
    recipes: Recipes,
    questions: Questions = None,
    answer: AnswerRule = None,
    task: Annotated[str | None, typer.Option(help="A task in place of questions: a name, or YAML.")] = None,
    problems: Annotated[int | None, typer.Option(min=1, help="How many of them (default: all).")] = None,
    general: General = None,
    general_answer: GeneralAnswer = None,
    general_problems: GeneralProblems = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each recipe, with the seeds 0, 1, 2 …")] = 3,
    rates: Rates = None,
    equal: Equal = "run",
    every: Every = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Columns of the canvas of every answer.")] = None,
    out: Annotated[Path, typer.Option(help="Folder; the same again goes on with it.")] = Path("runs/compare"),
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs side by side (default: one for each core).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and say what would run.")] = False,
    json: Json = False,
) -> None:
    """Train recipes with several seeds, judge them and their base on your questions, and report what is better."""
    from unmask.study.recipes import comparison

    judged = {
        "task": _chosen(task), "questions": questions, "answer": _rule(answer), "problems": problems,
        "max_new_tokens": max_new_tokens,
    }  # fmt: skip
    made = comparison(
        recipes, judged={name: value for name, value in judged.items() if value is not None},
        general=_general(general, general_answer or answer), general_problems=general_problems, seeds=seeds,
        rates=_rates(rates), equal=equal, every=every,
    )  # fmt: skip
    _run(made, out, jobs=jobs, dry_run=dry_run, json=json)


def _run(made: Comparison, out: Path, *, jobs: int | None, dry_run: bool, json: bool) -> None:
    """Run a comparison, or what is missing of it, and show what it comes to; or only what it would run."""
    import unmask.study as studies
    from unmask.cli.present import emit
    from unmask.cli.study import run_with_progress, show_plan
    from unmask.study.headline import headline, sections_of

    found: dict[str, Any] = {}

    def lead(results: Any, summary: dict[str, Any], folder: Path) -> list[Any]:
        overlaps = made.overlap()
        found.update(headline(results, summary, made.problems, overlaps))
        summary["headline"] = dict(found)
        return sections_of(found, overlaps, made.remarks, folder)

    checked = studies.plan(made.values, out, lead=lead)
    seen = studies.overview(checked)
    if dry_run and json:
        emit({**seen, "questions": len(made.problems), "remarks": list(made.remarks)})
        return
    if dry_run:
        show_plan(seen, jobs)
    for remark in made.remarks if not json else ():
        typer.echo(f"mind: {remark}", err=not dry_run)
    if dry_run:
        return
    summary = run_with_progress(studies.run_study, checked, jobs)
    emit(summary) if json else _show(found, out)


def _rule(answer: str | None) -> Any:
    from unmask.config.yaml import read_value

    return read_value(answer, "--answer") if answer is not None and answer.startswith("{") else answer


def _chosen(task: str | None) -> Any:
    """Return a task as its study has it: a name or a mapping, once it is known to be one."""
    from unmask.config.yaml import read_value
    from unmask.tasks import choose_task

    if task is None:
        return None
    choose_task(task)
    return read_value(task, "--task")


def _general(given: str | None, answer: str | None) -> Any:
    """Return the task of the general problems: a file of questions with its rule, or a task."""
    from unmask.errors import UserError
    from unmask.tasks import TASKS

    if given is None:
        return None
    if given.startswith("{") or given in TASKS:
        return _chosen(given)
    if not Path(given).is_file():
        raise UserError(f"--general: expected a task or a file of questions, found '{given}'; write for example gsm8k")
    if answer is None:
        raise UserError(f"--general {given}: expected a rule for its answers, found none; write --general-answer RULE")
    return {"name": "questions", "path": given, "answer": _rule(answer)}


def _rates(given: str | None) -> list[float]:
    from unmask.errors import UserError

    try:
        return [float(rate) for rate in given.strip("[] ").split(",")] if given else []
    except ValueError:
        raise UserError(f"--rates: expected numbers such as 1e-4,3e-4, found '{given}'") from None


def _show(found: dict[str, Any], out: Path) -> None:
    """Print the table of models, the sentences, and where the whole report is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from unmask.study.grid import folder_name
    from unmask.study.headline import cells

    table = Table(box=box.SIMPLE_HEAD)
    for head in ("", "model", "right, %", "points against base", "p"):
        table.add_column(head)
    for kind in found["models"][0]["judged"]:
        for number, row in enumerate(found["models"]):
            right, *others = cells(row["judged"][kind])
            is_last = number == len(found["models"]) - 1
            table.add_row("" if number else kind, row["model"], right.replace(" %", ""), *others, end_section=is_last)
    Console().print(table)
    for said in found["sentences"]:
        typer.echo(said.replace("**", ""))
    typer.echo(f"report in {out / 'report.md'} and {out / 'report.html'}")
    first = folder_name(found["models"][-1]["model"])
    typer.echo(f"models of seed 0 as in {out / 'runs' / 'all' / first / 'seed-0' / 'train' / 'model'}")
