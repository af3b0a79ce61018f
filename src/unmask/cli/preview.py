"""The command ``unmask preview``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from unmask.cli.opening import DataSection, Recipe, Record
from unmask.cli.options import Json


def preview(
    data: Annotated[str, typer.Argument(help="JSON Lines, CSV or Parquet file, hub data set, or a recipe (.yaml).")],
    model: Annotated[
        str | None,
        typer.Option(help="Whose tokenizer and chat template (default: the recipe's, or a small chat model's)."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 3,
    block_size: Annotated[
        int | None, typer.Option(min=1, help="Block size (default: as unmask sft takes it, from recipe or model).")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=2, help="Longest prompt plus answer, tokens (default: the recipe's, or 1024).")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of a hub data set (default: the recipe's, or train).")] = None,
    json: Json = False,
) -> None:
    """Show examples as the model will see them: prompt, blocks of the answer, end of turn, filler."""
    from rich.console import Console

    from unmask.cli.opening import open_tokenizer
    from unmask.cli.present import emit, say
    from unmask.data import encode
    from unmask.data import preview as show
    from unmask.data.tails import tail_cycle
    from unmask.recipes.chat_templates import set_template

    section, recipe = _section(data, max_length=max_length, split=split)
    records, chat = _rows(section, count)
    name = model or getattr(recipe.model, "path", None) or "asset:quickstart/model"
    tokenizer, ends, mask_id, trained, counted = open_tokenizer(name)
    set_template(tokenizer, getattr(recipe.model, "chat_template", None))
    size, grid = block_size or recipe.block_size(trained), recipe.grid(counted)
    layout = replace(section.layout(size, grid), tail_blocks=0)
    encoded = encode(
        records, tokenizer, max_length=layout.max_length, canvas=layout.canvas, block_size=size, grid=grid,
        end_ids=ends.eos_ids, mask_id=mask_id, chat=chat, on_bad="skip",
        too_long=section.too_long if section.too_long == "truncate" else None,
    )  # fmt: skip
    for note in encoded.report.remarks(unread=True):
        say(f"note: {note}")
    cycle = tail_cycle(layout, tokenizer, taken={mask_id, ends.filler_id, *ends.eos_ids})
    shown = show(encoded, tokenizer, layout=layout, filler_id=ends.filler_id, count=count, cycle=cycle)
    emit({**shown.as_dict(), "report": encoded.report.as_dict()}) if json else Console().print(shown)


def _section(data: str, **given: Any) -> tuple[DataSection, Recipe]:
    """Return the ``data`` section to read (of a recipe, its own), and the recipe as far as it can be built."""
    from unmask.config.components import fill
    from unmask.recipes.recipe import build_sections, read_recipe
    from unmask.recipes.sections import DataSection

    given = {name: value for name, value in given.items() if value is not None}
    if Path(data).suffix.lower() not in (".yaml", ".yml"):
        return DataSection(path=data, **given), build_sections({})[0]
    values = read_recipe(data)
    recipe = build_sections(values)[0]
    section = values.get("data") or {}
    section = {**section, **given} if isinstance(section, dict) else section
    return fill(DataSection, section, "data"), recipe


def _rows(section: DataSection, count: int) -> tuple[list[Record], bool | None]:
    """Return the first rows, and whether to put them into the chat template."""
    from unmask.errors import UserError
    from unmask.recipes.inputs import file_records, task_records

    if (not section.files) == (section.task is None):
        raise UserError("data: expected either a path or a task, found both or none")
    if section.task is None:
        rows = file_records(section, -(-count // len(section.files)))
        return [record for of_file in rows for record in of_file][:count], section.uses_chat
    return task_records(section, count), section.uses_chat
