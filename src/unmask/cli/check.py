"""The command ``unmask check``."""

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.options import Json, Set


def check(
    recipe: Annotated[Path, typer.Argument(help="YAML file; see recipes/.")],
    set_: Set = None,
    for_: Annotated[
        str | None,
        typer.Option("--for", help="Engine that is to serve the trained model: sglang, lmdeploy, dinfer, llama.cpp."),
    ] = None,
    json: Json = False,
) -> None:
    """Report every problem of a recipe, its model folder and its data at once, before any weight is loaded."""
    from unmask.cli.present import emit, say
    from unmask.config.components import InvalidConfigError
    from unmask.recipes.check import check as run
    from unmask.recipes.recipe import read_recipe

    found = run(read_recipe(recipe, tuple(set_ or ())), engine=for_)
    if json:
        emit({"recipe": str(recipe), "problems": found.problems, "notes": found.remarks})
    for note in found.remarks:
        say(f"note: {note}")
    if found.problems:
        raise InvalidConfigError(found.problems)
    if not json:
        typer.echo(f"{recipe}: no problems found")
