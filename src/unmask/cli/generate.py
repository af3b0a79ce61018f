"""The command ``unmask generate``."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.opening import Decoder, Generation, LoadedModel, Step
from unmask.cli.options import (
    AnswerFile,
    Blanks,
    BlankTokens,
    Compile,
    Device,
    Json,
    JsonSchema,
    Model,
    Prompt,
    PromptColumn,
    PromptFile,
    Regex,
    SaveTrace,
    Seed,
    Stop,
    decodes,
)
from unmask.errors import UserError, not_utf8


@decodes
def generate(
    model: Model,
    prompt: Prompt = None,
    infill: Blanks = None,
    blank_tokens: BlankTokens = None,
    in_: PromptFile = None,
    out: AnswerFile = None,
    batch_size: Annotated[int, typer.Option(min=1, help="With --in: answers side by side.")] = 16,
    column: PromptColumn = None,
    answer_column: Annotated[str, typer.Option(help="With --in: what the column of answers is called.")] = "answer",
    on_bad: Annotated[str, typer.Option(help="With --in: error, or skip rows that cannot be used.")] = "error",
    resume: Annotated[bool, typer.Option("--resume", help="With --in: go on with the answers in --out.")] = False,
    *,
    chosen: Mapping[str, Any],
    n: Annotated[int, typer.Option("--n", help="Samples of each prompt; needs a temperature.")] = 1,
    stop: Stop = None,
    regex: Regex = None,
    json_schema: JsonSchema = None,
    raw: Annotated[bool, typer.Option("--raw", help="Do not put prompts into the chat template.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Watch the answer being denoised.")] = False,
    save_trace: SaveTrace = None,
    compile: Compile = False,  # noqa: A002  # as torch and transformers call it
    seed: Seed = 0,
    device: Device = None,
    json: Json = False,
) -> None:
    """Answer prompts or fill blanks, block by block."""
    from unmask.cli.answer_files import FileOptions, answer_file, decoder_fields
    from unmask.cli.decoding import check_decoder, decoder_of
    from unmask.cli.opening import open_model
    from unmask.config.defaults import resolve_canvas

    files = FileOptions(
        source=in_, out=out, batch_size=batch_size, column=column, answer_column=answer_column, on_bad=on_bad,
        resume=resume,
    )  # fmt: skip
    files.check({
        "--prompt": prompt, "--infill": infill, "--blank-tokens": blank_tokens, "--live": live,
        "--save-trace": save_trace,
    })  # fmt: skip
    if in_ is not None:
        decoder = decoder_of(chosen, model=model, regex=regex, json_schema=json_schema)
        answering = decoder_fields(decoder, chosen, seed=seed, n=n, raw=raw, stop=stop or (), compiled=compile)
        answer_file(model, files, answering, device=device, json=json)
        return
    if infill:
        _check_infill({"--prompt": prompt, "--max-new-tokens": chosen["max_new_tokens"], "--stop": stop, "--raw": raw})
    texts = _texts(infill or prompt, blank_tokens=blank_tokens if not infill else None)
    if live and (json or len(texts) > 1 or n > 1):
        raise UserError("--live: expected one --prompt or --infill, --n 1 and no --json; leave one out")
    _check_new(save_trace)
    decoder = decoder_of(chosen, model=model, regex=regex, json_schema=json_schema)
    lm = open_model(model, device=device, live=live)
    canvas = resolve_canvas(given=chosen["max_new_tokens"], model=lm.facts.canvas)
    check_decoder(decoder, lm, None if infill else canvas)
    through = _through(lm, decoder, title=texts[0] if live else None, path=save_trace, seed=seed)
    options = {"decoder": decoder, "seed": seed, "n": n, "compile": compile, "through": through}
    if infill:
        _fill(lm, texts, widths=blank_tokens or [16], json=json, **options)
        return
    _answer(lm, texts, canvas=canvas, chat=False if raw else None, json=json, stop_strings=stop or (), **options)


def _check_infill(others: dict[str, Any]) -> None:
    """Refuse options that mean nothing for texts with blanks."""
    given = [name for name, value in others.items() if value]
    if given:
        raise UserError(
            f"--infill: the text itself says what is given and how long the canvas is, found {given[0]} beside it; "
            f"leave out {given[0]}"
        )


def _texts(found: Sequence[str] | None, *, blank_tokens: Sequence[int] | None) -> list[str]:
    if not found:
        raise UserError("expected --prompt TEXT, --infill 'a ___ b' or --in FILE, found none")
    if blank_tokens:
        raise UserError("--blank-tokens: is for blanks, found no --infill; write --max-new-tokens")
    return [_stdin() if text == "-" else text for text in found]


def _stdin() -> str:
    try:
        return sys.stdin.read().rstrip("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"--prompt -: expected UTF-8 text on stdin, found {not_utf8(error)}; convert it") from None


def _check_new(path: Path | None) -> None:
    """Refuse a file that the trace could not be written to, before the model is loaded."""
    from unmask.cli.present import check_new_file

    if path is not None:
        check_new_file(path, "--save-trace")


def _through(
    lm: LoadedModel, decoder: Decoder, *, title: str | None, path: Path | None, seed: int
) -> Callable[[Iterator[Step]], Iterator[Step]]:
    """Return a function that passes the steps through the live view, the trace file, both or neither."""

    def through(steps: Iterator[Step]) -> Iterator[Step]:
        if title is not None:
            from unmask.plots.terminal import watch

            steps = watch(steps, lm, title=title)
        if path is not None:
            from unmask.generate import resolve_decoder
            from unmask.tracing.record import describe, record

            steps = record(steps, lm, path, settings={"decoder": describe(resolve_decoder(lm, decoder)), "seed": seed})
        return steps

    return through


def _note_masks(lm: LoadedModel, texts: Sequence[str]) -> None:
    """Print a note to a user who may have meant blanks: a mask token in a prompt is read as it stands."""
    from unmask.cli.present import say

    name = lm.tokenizer.convert_ids_to_tokens(lm.mask_id) if lm.tokenizer else None
    if name and any(name in text for text in texts):
        say(f"note: a prompt holds the mask token '{name}', which stays as it is; --infill 'a ___ b' fills blanks")


def _note_empty(lm: LoadedModel, out: Generation, *, chat: bool | None, canvas: int) -> None:
    """Print why answers are empty, each reason once."""
    from unmask.cli.present import say
    from unmask.generate.empty import why_empty

    rows = enumerate(zip(out.answers, out.texts, out.finish, strict=True), 1)
    found = {
        i: why_empty(lm, answer, text, finish=finish, chat=chat, canvas=canvas)
        for i, (answer, text, finish) in rows
    }  # fmt: skip
    reasons = [reason for reason in found.values() if reason]
    for reason in dict.fromkeys(reasons):
        count = reasons.count(reason)
        what = "the answer is" if len(found) == 1 else f"{count} of {len(found)} answers are"
        say(f"note: {what} empty: {reason}")


def _answer(
    lm: LoadedModel, texts: Sequence[str], *, canvas: int, chat: bool | None, json: bool, **options: Any
) -> None:
    """Print answers to prompts, and why some are empty."""
    from unmask.generate import generate as run

    _note_masks(lm, texts)
    found = run(lm, texts, max_new_tokens=canvas, chat=chat, **options)
    _show(found, json=json)
    _note_empty(lm, found, chat=chat, canvas=canvas)


def _fill(lm: LoadedModel, texts: Sequence[str], *, widths: Sequence[int], json: bool, **options: Any) -> None:
    """Print texts with their blanks filled."""
    from unmask.generate import infill as run

    _show(run(lm, texts, blank_tokens=widths[0] if len(widths) == 1 else widths, **options), json=json)


def _show(out: Generation, *, json: bool) -> None:
    """Print the texts, or everything as one JSON object."""
    from unmask.cli.present import emit, say

    for row, is_stuck in enumerate(out.is_stuck):
        if is_stuck:
            say(f"note: answer {row + 1} stopped where nothing that the constraint allows was left; it is no match")
    if not json:
        for text in out.texts:
            typer.echo(text)
        return
    blanks = {"blanks": out.blanks} if hasattr(out, "blanks") else {}
    stuck = {"is_stuck": out.is_stuck} if any(out.is_stuck) else {}
    values = {"texts": out.texts, **blanks, **stuck, "forwards": out.forwards}
    emit({
        **values,
        "tokens_per_forward": round(out.tokens_per_forward, 3),
        "tokens": [len(answer) for answer in out.answers],
    })  # fmt: skip
