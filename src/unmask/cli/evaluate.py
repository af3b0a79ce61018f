"""The command ``unmask eval``."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.opening import Answer, Decoder, EvaluateSection, Repetition
from unmask.cli.options import AnswerRule, Device, Json, Questions, decodes

BESIDE_REPEAT = ("model", "repeat", "out", "device", "show", "json")


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The run to do; ``repeat`` is the file that it was read from, and ``kept`` the content of that file."""

    model: str
    judged: EvaluateSection
    decoder: Decoder
    repeat: Path | None = None
    kept: dict[str, Any] | None = None


@decodes
def evaluate(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="Hub name, folder, adapter folder, .gguf file, or asset:quickstart/model.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="A task's name (unmask methods), or YAML: '{name: gsm8k, path: data}'.")
    ] = None,
    questions: Questions = None,
    answer: AnswerRule = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="Take what is not given from the evaluate and decoder sections of a recipe."),
    ] = None,
    problems: Annotated[int | None, typer.Option(min=1, help="How many (default: all, or 400 made ones).")] = None,
    split: Annotated[str | None, typer.Option(help="train or test (default: test).")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Answers to each problem, for avg@k and pass@k; needs a temperature.")
    ] = None,
    *,
    chosen: Mapping[str, Any],
    full_canvas: Annotated[bool, typer.Option("--full-canvas", help="Decode without blocks.")] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Answers side by side (default: 16).")] = None,
    out: Annotated[Path | None, typer.Option(help="New folder for run.json and answers.jsonl.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    repeat: Annotated[
        Path | None,
        typer.Option(help="Make the run of this run.json again (MODEL: if it has moved); exit code 1 if it differs."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers (default: 0).")] = None,
    show: Annotated[
        int | None, typer.Option(min=0, help="Wrong answers to print (default: 3 of your own questions, else none).")
    ] = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Decode a task's problems: accuracy with its interval, forwards, tokens per forward.

    Under torchrun (torchrun --nproc-per-node 2 -m unmask.cli.main eval …) each process decodes its share.
    """
    if resume and not out:
        raise _mistake("--resume: goes on with the run in a folder; write --out FOLDER beside it")
    if repeat:
        _run(_repeated(context.params, repeat), out=out, resume=False, device=device, show=show, json=json)
        return
    if model is None:
        raise _mistake("expected a model, found none; write unmask eval MODEL --task gsm8k, or --repeat run.json")
    from unmask.cli.decoding import decoder_of

    given = {
        "task": task, "questions": questions, "answer": answer, "split": split, "problems": problems,
        "samples": samples, "batch_size": batch_size,
    }  # fmt: skip
    judged, preset = _judged(recipe, {**given, "max_new_tokens": chosen["max_new_tokens"], "seed": seed})
    decoder = decoder_of(chosen, whole=full_canvas, preset=preset, model=model)
    plan = _Plan(model=model, judged=judged, decoder=decoder)
    _run(plan, out=out, resume=resume, device=device, show=show, json=json)


def _mistake(message: str) -> Exception:
    from unmask.errors import UserError

    return UserError(message)


def _judged(recipe: Path | None, given: dict[str, Any]) -> tuple[EvaluateSection, Mapping[str, Any]]:
    """Return how the model is judged, and the fields of the recipe's decoder."""
    from unmask.config.yaml import read_value
    from unmask.recipes.recipe import judging
    from unmask.tasks import choose_task

    given = {name: value for name, value in given.items() if value is not None}
    if "task" in given:
        given["task"] = choose_task(given["task"])
    if "answer" in given and given["answer"].startswith("{"):
        given["answer"] = read_value(given["answer"], "--answer")
    return judging(recipe, given)


def _repeated(given: dict[str, Any], path: Path) -> _Plan:
    """Return the run that a file describes, to be repeated."""
    from unmask.config.components import InvalidConfigError, fill
    from unmask.config.plugins import load_recorded
    from unmask.decoding import Decoder
    from unmask.evaluate import check_record, read_run
    from unmask.recipes.sections import EvaluateSection

    for name, value in given.items():
        if name not in BESIDE_REPEAT and value is not None and value is not False:  # 0 is a setting, too
            label = f"--{name.replace('_', '-')}"
            raise _mistake(f"{label}: --repeat takes all settings from its file; leave {label} out")
    kept = read_run(path)
    check_record(path, kept)
    load_recorded(kept.get("plugins"), str(path))
    settings = kept["settings"]
    names = ("task", "split", "samples", "max_new_tokens", "batch_size", "seed")
    try:
        judged = fill(EvaluateSection, {**{name: settings[name] for name in names}, "problems": settings["size"]})
        load_recorded(list(getattr(judged.task, "files", ())), str(path))  # what a rule would run
        decoder = fill(Decoder, settings["decoder"])
        return _Plan(model=given["model"] or settings["model"], judged=judged, decoder=decoder, repeat=path, kept=kept)
    except (InvalidConfigError, KeyError) as error:
        version = kept["versions"].get("unmask", "unknown")
        problem = f"no setting {error}" if isinstance(error, KeyError) else str(error)
        raise _mistake(f"{path}: settings of unmask {version} that this one cannot read: {problem}") from None


def _run(plan: _Plan, *, out: Path | None, resume: bool, device: str | None, show: int | None, json: bool) -> None:
    """Check all that can be checked, load the model, and show how its answers were judged."""
    from unmask.evaluate import check_folder, check_samples, processes
    from unmask.runtime.runlock import owned

    mine = processes.join()
    check_samples(plan.judged.samples, plan.decoder)
    with ExitStack() as stack:
        stack.callback(processes.leave)

        def claim() -> None:
            if out:
                stack.enter_context(owned(out, "unmask eval"))
                check_folder(out, resume=resume)

        processes.in_the_first(claim)
        is_same = _answered(plan, out=out, resume=resume, device=device or mine, show=show, json=json)
    if not is_same:
        raise typer.Exit(1)


def _answered(plan: _Plan, *, out: Path | None, resume: bool, device: str | None, show: int | None, json: bool) -> bool:
    """Decode the answers and show how they were judged; False if a repeated run came out otherwise."""
    from unmask.cli.decoding import check_decoder
    from unmask.cli.opening import open_model
    from unmask.cli.present import progress, say
    from unmask.config.defaults import resolve_canvas
    from unmask.evaluate import compare, open_journal, processes, settings_of
    from unmask.evaluate import evaluate as run
    from unmask.evaluate.record import made_with
    from unmask.evaluate.repeat import check_repeatable
    from unmask.tasks import connect

    judged, task = plan.judged, plan.judged.task
    queried = task.problems(judged.split, judged.problems or task.default_problems, judged.seed)
    if not resume:  # a finished run needs nobody to judge it
        connect(task)
    lm = open_model(plan.model, device=device)
    canvas = resolve_canvas(given=judged.max_new_tokens, model=lm.facts.canvas)
    check_decoder(plan.decoder, lm, canvas)
    numbers = {"max_new_tokens": canvas, "samples": judged.samples, "seed": judged.seed}
    settings = settings_of(
        lm, task, queried, decoder=plan.decoder, model=plan.model, split=judged.split, size=judged.problems,
        batch_size=judged.batch_size, **numbers,
    )  # fmt: skip
    if plan.repeat and plan.kept:
        check_repeatable(plan.repeat, plan.kept, settings)
    journal = open_journal(out, settings, lm.device, resume=resume) if out else None
    try:
        with progress(task.name, len(queried) * judged.samples) as on_batch:
            found = run(
                lm, task, queried, decoder=plan.decoder, batch_size=judged.batch_size, journal=journal,
                on_batch=on_batch, **numbers,
            )  # fmt: skip
    except BaseException:
        if journal:
            journal.abandon()
        raise
    summary = journal.finish(found, lm.device)["results"] if journal else found.summary()
    again = compare(plan.repeat, plan.kept, found, made_with(lm.device)) if plan.repeat and plan.kept else None
    if processes.rank() == 0:
        _show(plan, summary, again, was_finished=bool(journal and journal.finished), json=json)
        for reason, count in found.why_empty.items():
            say(f"note: {count} of {len(found.answers)} answers {'is' if count == 1 else 'are'} empty: {reason}")
        if not json:
            _show_wrong(found.answers, 3 if show is None and task.name == "questions" else show or 0)
    return again is None or again.is_same


def _show(plan: _Plan, summary: dict[str, Any], again: Repetition | None, *, was_finished: bool, json: bool) -> None:
    from unmask.cli.present import emit, table

    judged = plan.judged
    if json:
        further: dict[str, Any] = {"repeat": again.as_dict()} if again else {}
        further |= {"was_finished": True} if was_finished else {}
        emit({"model": plan.model, "task": judged.task.name, "split": judged.split, **summary, **further})
        return
    answers, method = summary["problems"] * summary["samples"], summary.get("interval_method", "unknown")
    name = "accuracy" if summary["samples"] == 1 else f"avg@{summary['samples']}"
    rows = {
        "task": f"{judged.task.name}, {judged.split}, {summary['problems']:,} problems",
        name: _sure(summary["accuracy"], summary["interval"]),
    }
    for k, row in summary.get("pass", {}).items():
        rows[f"pass@{k}"] = _sure(row["rate"], row["interval"])
    rows |= {"intervals": method} if method != "wilson" else {}
    rows |= summary.get("grades", {})
    rows |= {"empty answers": summary["empty"]} if summary["empty"] else {}
    rows |= {name: summary[name] for name in ("forwards", "tokens_per_forward", "seconds")}
    rows |= {"run": "was finished before; nothing is changed"} if was_finished else {}
    table(rows | (_comparison(again, answers) if again else {}))


def _show_wrong(answers: Sequence[Answer], limit: int) -> None:
    """Print the first answers that are wrong, each with its question and what was expected."""
    from unmask.errors import printable, shorten

    wrong = [answer for answer in answers if not answer.is_right]
    if limit and wrong:
        typer.echo(f"\nwrong answers ({min(limit, len(wrong)):,} of {len(wrong):,}):")
    for answer in wrong[:limit]:
        said = shorten(answer.text, 160) if answer.text.strip() else "nothing"
        lines = (f"  {answer.source}: {shorten(answer.prompt, 160)}", f"    expected: {shorten(answer.expected, 160)}",
                 f"    answered: {said}")  # fmt: skip
        typer.echo(printable("\n".join(lines)))


def _sure(share: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{share:.2%} (95 % interval {low:.2%} to {high:.2%})"  # as it is recorded: four digits


def _comparison(again: Repetition, answers: int) -> dict[str, str]:
    verdict = f"all {answers:,} are the same" if again.is_same else "not the same"
    if again.different:
        verdict += f": {len(again.different):,} problems, the first is {again.different[0]}"
    rows = {"answers": verdict}
    if again.verdicts:
        rows["verdicts"] = f"{len(again.verdicts):,} problems judged otherwise, the first is {again.verdicts[0]}"
    named = {"totals": again.totals, "made otherwise": again.made_otherwise, "unknown of the first": again.unknown}
    return rows | {name: "; ".join(phrases) for name, phrases in named.items() if phrases}
