"""Opens what a recipe names: its model, and its data as encoded examples."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unmask.core.attention import Grid
from unmask.data import Blend, EncodedData, Record, encode, end_of_turn, read
from unmask.data.split import hold_out, shared_prompts
from unmask.errors import UserError
from unmask.models import LoadedModel, add_lora, from_scratch, load
from unmask.models.checkpoints import pick_device
from unmask.recipes.chat_templates import set_template
from unmask.recipes.sections import DataFile, DataSection, ModelSection


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The examples of a recipe.

    Args:
        training: that are trained on, with the report on all rows.
        held_out: of the held-out loss; may be empty.
        blend: which examples each file has, and how often they are drawn; None where no weights are written.
        facts: what ``run.json`` says about the data: files, rows, examples, and how rows were held out.
        remarks: a line each on what a user should know.
    """

    training: EncodedData
    held_out: EncodedData
    blend: Blend | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def load_model(section: ModelSection) -> LoadedModel:
    """Return the model of a recipe, loaded or made with random weights, with adapters if ``lora`` is set."""
    if section.from_scratch is not None:
        device = pick_device(section.device)
        lm = from_scratch(section.from_scratch, section.tokenizer, shift=bool(section.shift), device=device)
        return _with_template(lm, section.chat_template)
    lm = load(
        str(section.path),
        device=section.device,
        dtype=section.dtype,
        mask_token=section.mask_token,
        shift=section.shift,
    )
    lm = _with_template(lm, section.chat_template)
    return add_lora(lm, section.lora) if section.lora else lm


def _with_template(lm: LoadedModel, template: str | None) -> LoadedModel:
    """Return a model whose tokenizer has a recipe's chat template, and which stops at the end of its turns."""
    if template is not None and lm.tokenizer is not None:
        set_template(lm.tokenizer, template)
        end = end_of_turn(lm.tokenizer)
        lm.facts = replace(lm.facts, eos_ids=tuple(dict.fromkeys((end, *lm.facts.eos_ids))))
    return lm


def load_examples(
    section: DataSection, lm: LoadedModel, *, block_size: int, grid: Grid = "answer", first: bool = False
) -> Examples:
    """Return the encoded examples of a recipe, those that are held out apart.

    Args:
        section: ``data`` of the recipe.
        lm: whose tokenizer and ends are used.
        block_size: of the run.
        grid: where blocks are counted from.
        first: whether the first examples of a file are held out, as versions up to 0.4 did, to resume their runs.

    Returns:
        Examples to train on, held-out ones, and what is to be known about them.

    Raises:
        UserError: rows cannot be used, or nothing would be held out or left.
    """  # noqa: DOC502

    def encoded_of(records: list[Record]) -> EncodedData:
        return encode(
            records, lm.tokenizer, end_ids=lm.eos_ids, mask_id=lm.mask_id, max_length=section.max_length,
            canvas=section.canvas, block_size=block_size, grid=grid, chat=section.uses_chat, on_bad=section.on_bad,
            too_long=section.too_long,
        )  # fmt: skip

    if section.task is not None:
        encoded = encoded_of(task_records(section, section.size))
        training, held_out = take_first(encoded, section.held_out)
        return Examples(training=training, held_out=held_out, remarks=encoded.report.remarks())
    of_files = file_records(section, None)
    records = [record for rows in of_files for record in rows]
    encoded = encoded_of(records)
    remarks = encoded.report.remarks()
    if section.validation is not None:
        rows = validation_records(section, None)
        training, held_out = encoded, encoded_of(rows)
        remarks += [f"data.validation: {line}" for line in held_out.report.remarks()]
        if shared := shared_prompts(records, rows):
            remarks.append(
                f"data.validation: {shared} of {len(rows)} rows begin with a prompt that is trained on, too; the "
                "held-out loss says less about new prompts"
            )
    elif first:
        training, held_out = take_first(encoded, section.held_out)
    else:
        training, held_out = hold_out(encoded, records, section.held_out, section.seed)
    blend, files = _blend(section.files, [len(rows) for rows in of_files], training)
    remarks += [_described(file) for file in files] if len(files) > 1 else []
    facts: dict[str, Any] = {"files": files, "held_out": None}
    if held_out:
        facts["held_out"] = {"drawn": "first", "rows": len(set(held_out.rows)), "examples": len(held_out)}
        if section.validation is not None:
            facts["held_out"]["drawn"] = [file.path for file in section.validation]
        elif not first:
            facts["held_out"]["drawn"] = "by prompt"
            remarks.append(
                f"held out: {len(set(held_out.rows))} rows, drawn by their prompts; {len(held_out)} examples"
            )
    return Examples(training=training, held_out=held_out, blend=blend, facts=facts, remarks=remarks)


def take_first(encoded: EncodedData, amount: float) -> tuple[EncodedData, EncodedData]:
    """Return the examples without the first ``amount`` (a number, or a share in (0, 1)), and these.

    Args:
        encoded: examples.
        amount: of them, to be held out.

    Returns:
        (training, held out).

    Raises:
        UserError: there are not so many.
    """
    number = int(amount) if amount >= 1 or not amount else max(1, round(amount * len(encoded)))
    if number >= len(encoded):
        raise UserError(
            f"data.held_out: expected fewer than the {len(encoded)} examples there are, found {amount}; "
            "what is held out is not trained on"
        )
    return encoded[number:], encoded[:number]


def task_records(section: DataSection, size: int | None) -> list[Record]:
    """Return ``size`` problems of a task (None: all) as rows to train on."""
    assert section.task is not None
    return [problem.record for problem in section.task.problems(section.split, size, section.seed)]


def file_records(section: DataSection, size: int | None) -> list[list[Record]]:
    """Return ``size`` rows of each file or hub data set (None: all), with the difficulty if a curriculum needs it."""
    return [_records(file, section, size) for file in section.files]


def validation_records(section: DataSection, size: int | None) -> list[Record]:
    """Return ``size`` rows of each file of ``data.validation`` (None: all), one file after the other."""
    return [r for file in section.validation_files for r in _records(file, section, size, difficulty=False)]


def _records(file: DataFile, section: DataSection, size: int | None, *, difficulty: bool = True) -> list[Record]:
    """Return at most ``size`` rows of a file."""
    by = section.curriculum.column if section.curriculum is not None and difficulty else None
    limit = min((n for n in (size, file.size) if n is not None), default=None)
    return read(
        file.path, split=file.split or "train", limit=limit, columns=file.columns, difficulty=by, roles=file.roles
    )


def _blend(
    files: Sequence[DataFile], rows: Sequence[int], training: EncodedData
) -> tuple[Blend | None, list[dict[str, Any]]]:
    """Return how often the examples of each file are drawn, and a mapping of facts for each file."""
    members: list[list[int]] = [[] for _ in files]
    ends = [sum(rows[: i + 1]) for i in range(len(rows))]
    number = 0
    for index, row in enumerate(training.rows):  # rows come in order
        while row >= ends[number]:
            number += 1
        members[number].append(index)
    weights = [file.weight for file in files]
    blend = None
    if weights and all(weight is not None for weight in weights):
        empty = [file.path for file, indices in zip(files, members, strict=True) if not indices]
        if empty:
            raise UserError(
                f"data.sources: expected examples to train on in every file that has a weight, found none in "
                f"{empty[0]}; leave it out"
            )
        blend = Blend(members=tuple(members), weights=tuple(weight for weight in weights if weight is not None))
    shares = blend.shares if blend else [len(indices) / max(len(training), 1) for indices in members]
    facts = [
        {"path": file.path, "rows": count, "examples": len(indices), "share": share}
        for file, count, indices, share in zip(files, rows, members, shares, strict=True)
    ]
    return blend, facts


def _described(file: dict[str, Any]) -> str:
    return (
        f"{file['path']}: {file['rows']} rows, {file['examples']} examples to train on, "
        f"{file['share']:.1%} of those that are drawn"
    )
