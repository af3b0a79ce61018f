"""``unmask sft``."""

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.options import Device, Json, Out, Set


def sft(
    recipe: Annotated[Path, typer.Argument(help="YAML file; see recipes/.")],
    out: Out,
    set_: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    device: Device = None,
    json: Json = False,
) -> None:
    """Fine-tune a model with any objective, as a recipe says."""
    from unmask.cli.present import emit, table
    from unmask.quiet import quiet
    from unmask.recipe import build, read_recipe
    from unmask.sft import run_recipe

    assignments = (*(set_ or ()), *((f"model.device={device}",) if device else ()))
    checked = build(read_recipe(recipe, assignments))
    quiet()
    result = run_recipe(checked, out, resume=resume)
    values = {"folder": str(result.folder), "model": str(result.model), **result.totals}
    emit(values) if json else table(values)
