"""``unmask generate --in PROMPTS --out ANSWERS``: a file of prompts becomes a file of answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from unmask.cli.opening import Answering, Decoder, FileReport, Prompts
from unmask.errors import UserError


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Options of ``unmask generate`` that are for files.

    Args:
        source: file of prompts, or ``-``.
        out: file of answers, or ``-``; None: stdout.
        batch_size: answers side by side.
        column: that holds the prompts.
        answer_column: name of the column with the answer.
        on_bad: ``error`` or ``skip``.
        resume: go on with ``out``.
    """

    source: str | None
    out: str | None
    batch_size: int
    column: str | None
    answer_column: str
    on_bad: Any  # checked by Prompts.check
    resume: bool

    def check(self, others: Mapping[str, Any]) -> None:
        """Refuse options of files without a file, and those that mean nothing for a file.

        Args:
            others: option -> value of those that are for prompts on the command line.

        Raises:
            UserError: names the option to leave out.
        """
        if self.source is not None:
            given = [name for name, value in others.items() if value]
            if given:
                raise UserError(f"--in: the prompts are in the file, found {given[0]} beside it; leave out {given[0]}")
            return
        alone = {
            "--out": self.out, "--column": self.column, "--resume": self.resume, "--on-bad": self.on_bad != "error",
            "--answer-column": self.answer_column != "answer",
        }  # fmt: skip
        if found := [name for name, value in alone.items() if value]:
            raise UserError(f"{found[0]}: is for a file of prompts; write --in prompts.jsonl beside it")


def answer_file(
    model: str, options: FileOptions, answering: Mapping[str, Any], *, device: str | None, json: bool
) -> None:
    """Answer a file of prompts; what is wrong with the files is told before the model is loaded.

    Args:
        model: the model that the user named.
        options: of files.
        answering: fields of ``Answering``.
        device: where to decode.
        json: print the report as one JSON object.

    Raises:
        UserError: the files cannot be used, or ``--json`` is given for answers on stdout.
    """
    from unmask.cli.decoding import check_decoder
    from unmask.cli.opening import open_model
    from unmask.cli.present import progress
    from unmask.config.defaults import resolve_canvas
    from unmask.generate.answer_file import check_out
    from unmask.generate.files import Answering, answer_prompts
    from unmask.generate.prompt_files import read_prompts

    out = options.out or "-"
    if out == "-" and json:
        raise UserError("--json: the answers themselves go to stdout; write --out answers.jsonl, or leave out --json")
    prompts = read_prompts(options.source or "-", column=options.column)
    prompts.check(options.on_bad)
    check_out(out, prompts, resume=options.resume, answer_column=options.answer_column)
    lm = open_model(model, device=device)
    made = Answering(**answering)
    canvas = resolve_canvas(given=made.max_new_tokens, model=lm.facts.canvas)
    check_decoder(made.decoder, lm, canvas)
    if out == "-":
        _print_answers(lm, prompts, made, options)
        return
    with progress("answers", len(prompts.usable) * made.n) as on_batch:
        report = answer_prompts(
            lm, prompts, Path(out), answering=made, batch_size=options.batch_size, on_bad=options.on_bad,
            answer_column=options.answer_column, resume=options.resume, on_batch=on_batch,
        )  # fmt: skip
    _show(report, json=json)


def _print_answers(lm: Any, prompts: Prompts, made: Answering, options: FileOptions) -> None:
    """Print answers as JSON Lines on stdout, in the order of the prompts, a batch at a time."""
    from unmask.generate.answer_file import as_line
    from unmask.generate.files import batches, encoded

    prompts, ids = encoded(lm, prompts, made, options.on_bad)
    empty: list[str] = []
    for answers, reasons in batches(
        lm, prompts.usable, ids, made, batch_size=options.batch_size, answer_column=options.answer_column
    ):
        typer.echo("".join(map(as_line, answers)), nl=False)
        empty += reasons
    _remark({row.source: str(row.fault) for row in prompts.faulty}, {reason: empty.count(reason) for reason in empty})


def _show(report: FileReport, *, json: bool) -> None:
    from unmask.cli.present import emit, table

    _remark(report.skipped, report.empty)
    per_forward = round(report.tokens / max(report.forwards, 1), 3)
    if json:
        emit({**vars(report), "tokens_per_forward": per_forward})
        return
    rows: dict[str, Any] = {"answers": report.answers, "tokens_per_forward": per_forward, "file": report.out}
    rows |= {"skipped rows": len(report.skipped)} if report.skipped else {}
    rows |= {"run": "was finished before; nothing is changed"} if report.was_finished else {}
    table(rows)


def _remark(skipped: Mapping[str, str], empty: Mapping[str, int]) -> None:
    """Print what was left out, and why answers are empty."""
    from unmask.cli.present import say

    shown: Sequence[tuple[str, str]] = list(skipped.items())
    for source, fault in shown[:5]:
        say(f"note: {source} was skipped: {fault}")
    if len(shown) > 5:
        say(f"note: {len(shown) - 5:,} more rows were skipped; the record beside --out names them")
    for reason, count in empty.items():
        say(f"note: {count:,} {'answer is' if count == 1 else 'answers are'} empty: {reason}")


def decoder_fields(
    decoder: Decoder, chosen: Mapping[str, Any], *, seed: int, n: int, raw: bool, stop: Sequence[str], compiled: bool
) -> dict[str, Any]:
    """Return the fields of ``Answering`` that the options of ``unmask generate`` describe."""
    return {
        "decoder": decoder, "max_new_tokens": chosen["max_new_tokens"], "seed": seed, "n": n,
        "chat": False if raw else None, "stop_strings": tuple(stop), "compile": compiled,
    }  # fmt: skip
