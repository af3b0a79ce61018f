"""Opens what a recipe names: its model, and its data as encoded examples."""

from unmask.core.attention import Grid
from unmask.data import EncodedData, Record, encode, read
from unmask.errors import UserError
from unmask.models import LoadedModel, add_lora, from_scratch, load
from unmask.models.checkpoints import pick_device
from unmask.recipes.sections import DataSection, ModelSection


def load_model(section: ModelSection) -> LoadedModel:
    """Return the model of a recipe, loaded or made with random weights, with adapters if ``lora`` is set."""
    if section.from_scratch is not None:
        device = pick_device(section.device)
        return from_scratch(section.from_scratch, section.tokenizer, shift=bool(section.shift), device=device)
    lm = load(
        str(section.path),
        device=section.device,
        dtype=section.dtype,
        mask_token=section.mask_token,
        shift=section.shift,
    )
    return add_lora(lm, section.lora) if section.lora else lm


def load_examples(
    section: DataSection, lm: LoadedModel, *, block_size: int, grid: Grid = "answer"
) -> tuple[EncodedData, EncodedData]:
    """Return the encoded examples of a recipe as (training, held out), each with the report on all rows."""
    if section.task is not None:
        records = task_records(section, section.size)
        chat = section.task.chat if section.chat is None else section.chat
    else:
        records = file_records(section, section.size)
        chat = section.chat
    encoded = encode(
        records, lm.tokenizer, end_ids=lm.eos_ids, mask_id=lm.mask_id, max_length=section.max_length,
        canvas=section.canvas, block_size=block_size, grid=grid, chat=chat, on_bad=section.on_bad,
        too_long=section.too_long,
    )  # fmt: skip
    if section.held_out >= len(encoded):
        raise UserError(
            f"data.held_out: expected fewer than the {len(encoded)} examples there are, found {section.held_out}; "
            "what is held out is not trained on"
        )
    return encoded[section.held_out :], encoded[: section.held_out]


def task_records(section: DataSection, size: int | None) -> list[Record]:
    """Return ``size`` problems of a task (None: all) as rows to train on."""
    assert section.task is not None
    return [problem.record for problem in section.task.problems(section.split, size, section.seed)]


def file_records(section: DataSection, size: int | None) -> list[Record]:
    """Return ``size`` rows of a file or hub data set (None: all), with the difficulty if a curriculum needs it."""
    difficulty = section.curriculum.column if section.curriculum is not None else None
    return read(
        str(section.path), split=section.split, limit=size, columns=section.columns, difficulty=difficulty,
        roles=section.roles,
    )  # fmt: skip
