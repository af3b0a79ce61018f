"""The command ``unmask analyze``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.opening import Findings, Record, Study, Subject
from unmask.cli.options import BlockSize, Canvas, Device, Json, MaxLength, Model, Seed
from unmask.cli.rows import Data, read_rows
from unmask.errors import UserError

Out = Annotated[Path | None, typer.Option(help="New folder for tables (CSV) and pictures (PNG and SVG).")]
Ratios = Annotated[str | None, typer.Option(help="Hidden shares of the answer, such as 1/16,1/4,0.5,1.")]
Compare = Annotated[str | None, typer.Option(help="A second model, measured on the same noise.")]
WithMismatch = Annotated[
    bool, typer.Option("--mismatch", help="Also compare gradients in the contexts of vanilla and blockwise training.")
]


def analyze(
    model: Model,
    data: Data,
    compare: Compare = None,
    mismatch: WithMismatch = False,
    ratios: Ratios = None,
    bins: Annotated[int, typer.Option(help="Bins of tokens by frequency.")] = 5,
    block_size: BlockSize = None,
    canvas: Canvas = None,
    max_length: MaxLength = 1024,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows (default: all of a file, 400 made ones).")] = None,
    split: Annotated[str, typer.Option(help="Of a hub data set or a task.")] = "train",
    passes: Annotated[int, typer.Option(help="Draws of the noise for each example.")] = 4,
    batch_size: Annotated[int, typer.Option(help="Rows side by side.")] = 16,
    seed: Seed = 0,
    out: Out = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Measure what the tokens of answers can teach at each noise level, by how frequent they are."""
    from unmask.analyze import analysis_rows, check_out
    from unmask.analyze import analyze as run
    from unmask.cli.present import emit, progress

    study = _study(ratios, bins=bins, passes=passes, batch_size=batch_size, seed=seed)
    if block_size is not None and block_size < 1:
        raise UserError(f"--block-size: expected at least 1, found {block_size}; the default is the model's own, or 32")
    if out:
        check_out(out)
    records, chat = read_rows(data, split=split, limit=limit, seed=seed)
    names = [model, *([compare] if compare else [])]
    limits = {"block_size": block_size, "canvas": canvas, "max_length": max_length}
    subjects, size = _open(names, records, chat=chat, device=device, **limits)
    total = analysis_rows(len(subjects), len(subjects[0].examples), study, with_mismatch=mismatch)
    with progress("rows read", total) as on_rows:
        found = run(subjects, study, block_size=size, canvas=canvas, with_mismatch=mismatch, on_rows=on_rows)
    files = [*found.write(out), *_draw(found, out)] if out else []
    if json:
        emit({**found.as_dict(), "files": [str(path) for path in files]})
        return
    _show(found)
    if out:
        typer.echo(f"tables and pictures in {out}: {', '.join(path.name for path in files if path.suffix != '.svg')}")


def _study(ratios: str | None, **settings: Any) -> Study:
    """Return what is to be measured, from the options, checked before a model is loaded."""
    from unmask.analyze import Study
    from unmask.config.components import InvalidConfigError, fill

    given = {} if ratios is None else {"ratios": [_ratio(text) for text in ratios.split(",") if text.strip()]}
    try:
        return fill(Study, {**settings, **given})
    except InvalidConfigError as error:
        raise InvalidConfigError([f"--{problem.replace('_', '-', 1)}" for problem in error.problems]) from None


def _ratio(text: str) -> float:
    from fractions import Fraction

    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError):
        raise UserError(
            f"--ratios: expected numbers above 0 and up to 1, found '{text.strip()}'; write for example 1/4,1/2,1"
        ) from None


def _open(
    names: list[str], records: Sequence[Record], *, device: str | None, block_size: int | None, **limits: Any
) -> tuple[list[Subject], int]:
    """Return the models with the rows encoded for each, in blocks of the size of the first, and that size."""
    from unmask.analyze import Subject
    from unmask.cli.opening import open_model
    from unmask.cli.present import say
    from unmask.config.defaults import resolve_block_size
    from unmask.data import encode

    loaded = [open_model(name, device=device) for name in names]
    size = resolve_block_size(decoder=block_size, model=loaded[0].facts.block_size)
    subjects: list[Subject] = []
    for name, lm in zip(_apart(names), loaded, strict=True):
        encoded = encode(
            records, lm.tokenizer, block_size=size, end_ids=lm.eos_ids, mask_id=lm.mask_id, on_bad="skip", **limits
        )  # fmt: skip
        for note in encoded.report.remarks() if not subjects else ():
            say(f"note: {note}")
        subjects.append(Subject(name=name, lm=lm, examples=encoded))
    return subjects, size


def _apart(names: list[str]) -> list[str]:
    """Return names that differ: models of one name are numbered."""
    return names if len(set(names)) == len(names) else [f"{name} ({place})" for place, name in enumerate(names, 1)]


def _draw(found: Findings, out: Path) -> list[Path]:
    from unmask.plots.learnability import plot_curves, plot_heat_map
    from unmask.plots.mismatch import plot_mismatch

    files = plot_heat_map(found.cells, out / "heat-map", changes=found.changes)
    files += plot_curves(found.cells, out / "curves")
    return files + (plot_mismatch(found.contexts, out / "mismatch") if found.contexts else [])


def _show(found: Findings) -> None:
    from rich.console import Console

    from unmask.plots.tables import analysis_tables

    for table in analysis_tables(found.as_dict()):
        Console().print(table)
