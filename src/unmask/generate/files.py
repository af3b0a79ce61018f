"""``generate_file``: from a file of prompts to a file of answers, in batches, to be gone on with after a kill."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unmask.config.defaults import resolve_canvas
from unmask.data import prompt_ids
from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.generate.answer_file import check_out, columns_of, open_answers
from unmask.generate.api import generate, resolve_decoder
from unmask.generate.empty import why_empty
from unmask.generate.prompt_files import PromptRow, Prompts, read_prompts
from unmask.models import LoadedModel
from unmask.models.fingerprint import hash_of_model
from unmask.tracing.record import describe


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """What became of a file of prompts.

    Args:
        out: the file of answers.
        rows: prompts that have all their answers.
        answers: that the file holds.
        skipped: source of a row that was left out -> why.
        empty: why an answer is empty -> how many are, of those written now.
        tokens: of the answers, summed.
        forwards: that read their rows, summed.
        was_finished: whether all of it was there before.
    """

    out: str
    rows: int = 0
    answers: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    empty: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    forwards: int = 0
    was_finished: bool = False


@dataclass(frozen=True, kw_only=True)
class Answering:
    """How prompts are answered; the arguments of ``generate`` that hold for all of them.

    Args:
        decoder: how the canvas is filled.
        max_new_tokens: columns of each canvas; None: those that the model was trained for, else 256.
        seed: of the sampler.
        n: samples of each prompt.
        chat: put texts into the chat template; None: if there is one.
        stop_strings: an answer ends before any of them.
        compile: run the model through ``torch.compile``.
    """

    decoder: Decoder = field(default_factory=Decoder)
    max_new_tokens: int | None = None
    seed: int = 0
    n: int = 1
    chat: bool | None = None
    stop_strings: tuple[str, ...] = ()
    compile: bool = False


def generate_file(
    lm: LoadedModel,
    prompts: str | Path,
    out: str | Path,
    *,
    answering: Answering | None = None,
    batch_size: int = 16,
    column: str | None = None,
    answer_column: str = "answer",
    on_bad: str = "error",
    resume: bool = False,
    on_batch: Callable[[int], None] | None = None,
    **options: Any,
) -> FileReport:
    """Answer the prompts of a file: ``generate_file(lm, "prompts.jsonl", "answers.jsonl", seed=1)``.

    Args:
        lm: a loaded model with a tokenizer.
        prompts: see ``prompt_files.read_prompts``.
        out: a new ``.jsonl`` file. Each line has all columns of its row, and ``answer``, ``row`` (from 1), ``tokens``,
            ``forwards``, ``finish``; with several samples also ``sample``. It can be read at any moment.
        answering: how, as one value; default: made of ``options``.
        batch_size: answers that are decoded side by side; no answer depends on it.
        column: that holds the prompts; default: the first of ``messages``, ``prompt``, ``question`` and the like.
        answer_column: name of the column with the answer; the others then begin with that name.
        on_bad: whether a row that cannot be used is an error, before anything is decoded, or left out and reported.
        resume: go on with a file that was begun with the same settings.
        on_batch: called with the number of answers that are there.
        **options: fields of ``Answering``, and of ``Decoder``, in place of ``answering``.

    Returns:
        What was written, and what was left out.

    Raises:
        UserError: the prompts cannot be read, the file cannot be written, or it was begun with other settings.
    """  # noqa: DOC502
    read = read_prompts(prompts, column=column)
    read.check(on_bad)
    check_out(out, read, resume=resume, answer_column=answer_column)
    return answer_prompts(
        lm, read, Path(out), answering=answering or _answering(options), batch_size=batch_size, on_bad=on_bad,
        answer_column=answer_column, resume=resume, on_batch=on_batch,
    )  # fmt: skip


def answer_prompts(
    lm: LoadedModel,
    prompts: Prompts,
    out: Path,
    *,
    answering: Answering,
    batch_size: int = 16,
    on_bad: str = "error",
    answer_column: str = "answer",
    resume: bool = False,
    on_batch: Callable[[int], None] | None = None,
) -> FileReport:
    """Answer prompts that were read already, into a file. Arguments and result as of ``generate_file``."""
    prompts, ids = encoded(lm, prompts, answering, on_bad)
    settings = settings_of(lm, prompts, answering)
    skipped = {row.source: str(row.fault) for row in prompts.faulty}
    empty: Counter[str] = Counter()
    with open_answers(
        out, prompts, settings, resume=resume, answer_column=answer_column, n=answering.n
    ) as file:  # fmt: skip
        open_rows = [row for row in prompts.usable if not file.has(row)]
        # By length, so that rows of one batch need little padding; equal ones in the order of the file.
        open_rows.sort(key=lambda row: len(ids[row.number]))
        if on_batch:
            on_batch(len(file.done))
        for answers, reasons in batches(
            lm, open_rows, ids, answering, batch_size=batch_size, answer_column=answer_column
        ):
            file.append(answers)
            empty.update(reasons)
            if on_batch:
                on_batch(len(file.done))
        file.finish(skipped)
        names = file.names
        return FileReport(
            out=str(out), rows=len(prompts.usable), answers=len(file.done), skipped=skipped, empty=dict(empty),
            tokens=sum(int(answer[names["tokens"]]) for answer in file.done.values()),
            forwards=sum(int(answer[names["forwards"]]) for answer in file.done.values()),
            was_finished=file.is_finished,
        )  # fmt: skip


def batches(
    lm: LoadedModel,
    rows: Sequence[PromptRow],
    ids: dict[int, list[int]],
    answering: Answering,
    *,
    batch_size: int,
    answer_column: str = "answer",
) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
    """Decode rows in batches, in the order that they are given in.

    Args:
        lm: the model.
        rows: to answer.
        ids: number of a row -> tokens of its prompt.
        answering: how.
        batch_size: answers side by side; with several samples of a prompt, at least those of one prompt.
        answer_column: name of the column with the answer.

    Yields:
        The answers of a batch as rows of the file, and why some are empty.

    Raises:
        UserError: the batch size is below 1.
    """
    if batch_size < 1:
        raise UserError(f"batch_size={batch_size}: expected at least 1")
    names, many = columns_of(answer_column), max(1, batch_size // answering.n)
    canvas = resolve_canvas(given=answering.max_new_tokens, model=lm.facts.canvas)
    for begin in range(0, len(rows), many):
        chosen = rows[begin : begin + many]
        found = generate(
            lm, [ids[row.number] for row in chosen], decoder=answering.decoder,
            max_new_tokens=answering.max_new_tokens, seed=[seed_of(answering.seed, row.earlier) for row in chosen],
            n=answering.n, stop_strings=answering.stop_strings, compile=answering.compile,
        )  # fmt: skip
        answers, reasons = [], []
        for i, (text, tokens) in enumerate(zip(found.texts, found.answers, strict=True)):
            row, sample = chosen[i // answering.n], i % answering.n
            facts = {
                "answer": text, "row": row.number, **({"sample": sample} if answering.n > 1 else {}),
                "tokens": len(tokens), "forwards": found.row_forwards[i], "finish": found.finish[i],
            }  # fmt: skip
            answers.append({**row.columns, **{names[name]: value for name, value in facts.items()}})
            reason = why_empty(lm, tokens, text, finish=found.finish[i], chat=answering.chat, canvas=canvas)
            reasons += [] if reason is None else [reason]
        yield answers, reasons


def encoded(
    lm: LoadedModel, prompts: Prompts, answering: Answering, on_bad: str
) -> tuple[Prompts, dict[int, list[int]]]:
    """Return the prompts, those that the model's template refuses marked as faulty, and the tokens of the others.

    Args:
        lm: the model.
        prompts: as they were read.
        answering: whether texts are put into the chat template.
        on_bad: whether a row that cannot be used is an error.

    Returns:
        The prompts, and the tokens of each usable row by its number.

    Raises:
        UserError: there are no samples to draw, the model has no tokenizer, or a row cannot be used.
    """
    if answering.n < 1:
        raise UserError(f"n={answering.n}: expected at least 1 sample of each prompt")
    if lm.tokenizer is None:
        raise UserError("a file of prompts: expected a model with a tokenizer, found none")
    ids, rows = {}, []
    for row in prompts.rows:
        if row.fault is None:
            try:
                ids[row.number] = prompt_ids(lm.tokenizer, row.prompt, chat=answering.chat, tools=row.tools)
            except UserError as error:
                row = replace(row, fault=str(error))
        rows.append(row)
    marked = replace(prompts, rows=rows)
    marked.check(on_bad)
    return marked, ids


def settings_of(lm: LoadedModel, prompts: Prompts, answering: Answering) -> dict[str, Any]:
    """Return everything that the answers to a file of prompts depend on, as JSON types."""
    marks = "\n".join(repr((row.number, row.prompt, row.tools)) for row in prompts.usable)
    resolved = resolve_decoder(lm, answering.decoder)
    return {
        "model": lm.source,
        "weights": hash_of_model(lm),
        "dtype": str(next(lm.model.parameters()).dtype).removeprefix("torch."),
        "prompts": hashlib.sha256(marks.encode()).hexdigest()[:16],
        "decoder": describe(resolved),
        "max_new_tokens": resolve_canvas(given=answering.max_new_tokens, model=lm.facts.canvas),
        "seed": answering.seed,
        "n": answering.n,
        "chat": answering.chat,
        "stop_strings": list(answering.stop_strings),
    }


def seed_of(seed: int, earlier: int) -> int:
    """Return the seed of a row; a prompt that stands in the file again is a further sample, with another seed.

    Args:
        seed: of the whole file.
        earlier: rows before it with the same prompt.

    Returns:
        The seed of the file for the first of equal prompts, else a function of it and the number of earlier ones.
    """
    if not earlier:
        return seed
    return int.from_bytes(hashlib.blake2b(f"{seed}/again/{earlier}".encode(), digest_size=7).digest(), "little")


def _answering(options: dict[str, Any]) -> Answering:
    names = ("max_new_tokens", "seed", "n", "chat", "stop_strings", "compile")
    own = {name: value for name, value in options.items() if name in names}
    fields = {name: value for name, value in options.items() if name not in (*names, "decoder")}
    if "decoder" in options and fields:
        raise UserError(f"give either decoder=… or its fields {sorted(fields)}, not both")
    if isinstance(strings := own.get("stop_strings"), str):
        own["stop_strings"] = (strings,)
    elif strings is not None:
        own["stop_strings"] = tuple(strings)
    return Answering(decoder=options.get("decoder") or Decoder(**fields), **own)
