"""``unmask check``."""

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.options import Json, Set


def check(recipe: Annotated[Path, typer.Argument(help="YAML file.")], set_: Set = None, json: Json = False) -> None:
    """Report every problem of a recipe at once, before any weight is loaded."""
    from unmask.cli.present import emit
    from unmask.config import InvalidConfigError
    from unmask.recipe import build, read_recipe

    values = read_recipe(recipe, tuple(set_ or ()))
    try:
        build(values)
    except InvalidConfigError as error:
        if json:
            emit({"recipe": str(recipe), "problems": error.problems})
            raise typer.Exit(2) from None
        raise
    emit({"recipe": str(recipe), "problems": []}) if json else typer.echo(f"{recipe}: no problems found")
