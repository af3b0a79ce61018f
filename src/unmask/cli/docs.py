"""The command ``unmask docs``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.cli.options import Json

if TYPE_CHECKING:
    from unmask.recipes.reference import Key as Key
else:  # it loads torch: at run time the name means any object
    Key = object


def docs(
    topic: Annotated[str | None, typer.Argument(help="recipe, or a kind of component: objective, task …")] = None,
    name: Annotated[
        str | None, typer.Argument(help="Of a recipe, a section or a key (run, run.lr); of a kind, a component.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of recipes, for editors.")] = False,
    json: Json = False,
) -> None:
    """Explain every key of a recipe, and every field of a component: type, default, meaning, example."""
    from json import dumps

    from unmask.cli.present import emit
    from unmask.errors import UserError, printable
    from unmask.recipes.reference import component_keys, components_of, find_keys, recipe_keys

    if schema and (topic != "recipe" or name is not None):
        raise UserError("--schema: expected 'unmask docs recipe --schema', found another topic; write recipe alone")
    made = schema_of_recipes()
    if schema:
        typer.echo(printable(dumps(made, indent=1, ensure_ascii=False)))
    elif topic is None:
        emit(_topics(made)) if json else _show_names(_topics(made), "unmask docs TOPIC")
    elif topic == "recipe":
        _show_keys(recipe_keys(made) if name is None else find_keys(made, name), json)
    else:
        _check(topic, _topics(made), "topic")
        names = components_of(made, topic)
        if name is None:
            emit(names) if json else _show_names(names, f"unmask docs {_quoted(topic)} NAME")
        else:
            _check(name, names, topic)
            if not json:
                typer.echo(names[name])
            _show_keys(component_keys(made, topic, name), json)


def schema_of_recipes() -> dict[str, Any]:
    """Return the schema of recipes: the one that ships, or one with the components of plugins."""
    from unmask.config.registry import has_plugins
    from unmask.recipes.reference import read_schema

    if not has_plugins():
        return read_schema()
    from unmask.recipes.schema import recipe_schema

    return recipe_schema()


def _topics(schema: dict[str, Any]) -> dict[str, str]:
    """Return what can be explained, with a line on each."""
    from unmask.recipes.reference import components_of, kinds_of

    names = {kind: ", ".join(components_of(schema, kind)) for kind in kinds_of(schema)}
    return {"recipe": "every key of a recipe, by section", **names}


def _check(name: str, known: dict[str, str], what: str) -> None:
    """Refuse a name that is not known."""
    from unmask.errors import UserError, did_you_mean

    if name not in known:
        raise UserError(f"unknown {what} '{name}'; {did_you_mean(name, known)}")


def _quoted(topic: str) -> str:
    return f"'{topic}'" if " " in topic else topic


def _show_names(names: dict[str, str], more: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, summary in names.items():
        grid.add_row(Text(name, "cyan"), Text(summary))
    Console().print(grid)
    typer.echo(f"more: {more}")


def _show_keys(keys: list[Key], json: bool) -> None:
    """Print keys one after another: path and type, then meaning, default and example."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from unmask.cli.present import emit

    if json:
        emit({key.path: _as_dict(key) for key in keys})
        return
    console = Console()
    for key in keys:
        console.print(Text.assemble((key.path, "bold cyan"), "  ", (key.type, "dim")))
        console.print(Padding(Text(key.meaning or "(no meaning is written)"), (0, 0, 0, 4)))
        said = Text.assemble(("default ", "dim"), key.default, ("   example ", "dim"), key.line)
        console.print(Padding(said, (0, 0, 0, 4)))


def _as_dict(key: Key) -> dict[str, Any]:
    from dataclasses import asdict

    return {name: value for name, value in asdict(key).items() if name not in ("path", "component")}
