"""The command ``unmask likelihood``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.opening import Likelihoods, LoadedModel
from unmask.cli.options import BlockSize, Canvas, Device, Json, MaxLength, Model, Seed
from unmask.cli.rows import Data, read_rows


def likelihood(
    model: Model,
    data: Data,
    draws: Annotated[int, typer.Option(min=1, help="Draws of hidden tokens for each answer, or block.")] = 128,
    block_size: BlockSize = None,
    canvas: Canvas = None,
    max_length: MaxLength = 1024,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows (default: all of a file, 400 made ones).")] = None,
    split: Annotated[str, typer.Option(help="Of a hub data set or a task.")] = "test",
    batch_size: Annotated[int, typer.Option(min=1, help="Rows side by side.")] = 16,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="New JSON file for the bounds, all settings and versions.")] = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Bound how unlikely a model finds given answers: written in any order, and block by block as in decoding."""
    from unmask.cli.present import check_new_file, emit
    from unmask.evaluate import processes

    here = processes.join()
    if out and processes.rank() == 0:
        check_new_file(out, "--out")
    settings = {"model": model, "data": data, "split": split, "draws": draws, "canvas": canvas, "seed": seed}
    limits = {"max_length": max_length, "limit": limit, "batch_size": batch_size}
    try:
        lm, found = _measured(settings | limits, block_size=block_size, device=device or here)
    finally:
        processes.leave()
    if processes.rank():
        return
    if out:
        _write(out, lm, settings | limits, found)
    emit({**settings, **found.summary()}) if json else _show(found)


def _measured(
    settings: dict[str, Any], *, block_size: int | None, device: str | None
) -> tuple[LoadedModel, Likelihoods]:
    """Return the model and its bounds."""
    from unmask.cli.opening import open_model
    from unmask.cli.present import progress, say
    from unmask.config.defaults import resolve_block_size
    from unmask.data import encode
    from unmask.evaluate.likelihood import likelihood_rows, likelihoods

    draws, canvas, seed = settings["draws"], settings["canvas"], settings["seed"]
    records, chat = read_rows(settings["data"], split=settings["split"], limit=settings["limit"], seed=seed)
    lm = open_model(settings["model"], device=device)
    size = resolve_block_size(decoder=block_size, model=lm.facts.block_size)
    examples = encode(
        records, lm.tokenizer, end_ids=lm.eos_ids, mask_id=lm.mask_id, max_length=settings["max_length"], chat=chat,
        canvas=canvas, on_bad="skip",
    )  # fmt: skip
    for note in examples.report.remarks():
        say(f"note: {note}")
    with progress("rows read", likelihood_rows(lm, examples, samples=draws, block_size=size)) as on_rows:
        found = likelihoods(
            lm, examples, samples=draws, block_size=size, canvas=canvas, batch_size=settings["batch_size"], seed=seed,
            on_rows=on_rows,
        )  # fmt: skip
    return lm, found


def _write(out: Path, lm: LoadedModel, settings: dict[str, Any], found: Likelihoods) -> None:
    """Write the bounds of all answers with the settings and versions that they were made with."""
    import json

    from unmask.evaluate.record import made_with
    from unmask.models.fingerprint import fingerprint
    from unmask.runtime.sealed import FORMAT

    bounds = {"any_order": found.any_order, "by_block": found.by_block}
    answers = {
        name: {"nats": bound.nats.tolist(), "drawing_errors": _numbers(bound.errors.tolist())}
        for name, bound in bounds.items()
        if bound is not None
    }
    kept = {
        "format": FORMAT,
        "settings": {**settings, "weights": fingerprint(lm)},
        "results": found.summary(),
        "answers": {"tokens": found.by_block.tokens.tolist(), **answers},
        **made_with(lm.device),
    }
    out.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _numbers(values: list[float]) -> list[float | None]:
    """Return numbers with NaN as None, which JSON writes as null."""
    return [None if value != value else value for value in values]


def _show(found: Likelihoods) -> None:
    from unmask.cli.present import table

    summary = found.summary()
    rows: dict[str, Any] = {"answers": f"{summary['examples']:,}, {summary['tokens']:,} tokens"}
    labels = {"any_order": "any order", "by_block": f"blocks of {summary['block_size']}"}
    for name, label in labels.items():
        if summary[name]:
            rows[label] = _line(summary[name])
    if summary["gap"]:
        rows["difference"] = _line(summary["gap"])
    table(rows)


def _line(row: dict[str, Any]) -> str:
    error = "" if row["standard_error"] is None else f" ± {row['standard_error']:.4f}"
    drawn = f", {row['drawing_error']:.4f} of it from draws" if row.get("drawing_error") else ""
    return f"{row['nats_per_token']:.4f}{error}{drawn} nats a token"
