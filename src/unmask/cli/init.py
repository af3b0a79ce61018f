"""The command ``unmask init``."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unmask.cli.options import Json, Model, Set

if TYPE_CHECKING:
    from unmask.recipes.draft import Draft as Draft
else:  # it loads torch: at run time the name means any object
    Draft = object

SCHEMA = "recipe.schema.json"


def init(
    model: Model,
    data: Annotated[str, typer.Argument(help="JSON Lines, CSV or Parquet file, or the name of a hub data set.")],
    out: Annotated[Path, typer.Option(help="File to write; must be new.")] = Path("recipe.yaml"),
    objective: Annotated[
        str | None, typer.Option(help="How it is trained: a name or YAML (default: by the model); see unmask methods.")
    ] = None,
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    json: Json = False,
) -> None:
    """Look at a model and a data file, and write a commented recipe with sizes that fit both."""
    from unmask.cli.present import check_new_file, emit, say
    from unmask.config.components import InvalidConfigError
    from unmask.config.yaml import assign, read_value
    from unmask.errors import UserError
    from unmask.recipes.check import check
    from unmask.recipes.draft import draft

    if not force:
        check_new_file(out, "--out")
    given: dict[str, Any] = {}
    for assignment in set_ or ():
        assign(given, assignment)
    wanted = read_value(objective, "--objective") if objective is not None else None
    try:
        made = draft(model, data, objective=wanted, given=given)
    except InvalidConfigError:
        raise
    except UserError as error:
        hint = "; with init: --set 'data.columns={prompt: …, completion: …}'"
        raise UserError(f"{error}{hint if 'data.columns=' in str(error) else ''}") from None
    found = check(made.values)
    remarks = [*made.remarks, *(f"unmask check: {problem}" for problem in found.problems)]
    options = [*(["--objective", objective] if objective else []), *(word for s in set_ or () for word in ("--set", s))]
    schema_file = _write(out, made, shlex.join(["unmask", "init", model, data, *options]))
    for remark in remarks:
        say(f"note: {remark}")
    if json:
        emit({"recipe": str(out), "schema": str(schema_file), "values": made.values, "notes": remarks})
        return
    typer.echo(f"{out}: written, with {schema_file.name} beside it, by which editors check it")
    for line in made.about:
        typer.echo(f"  {line}")
    for command, what in _next(out):
        typer.echo(f"next: {command:<44}  {what}")


def _write(out: Path, made: Draft, command: str) -> Path:
    """Write the recipe and the schema beside it; return where the schema is."""
    from json import dumps

    from unmask.cli.docs import schema_of_recipes
    from unmask.errors import UserError
    from unmask.recipes.commented import as_commented

    schema = schema_of_recipes()
    head = [
        f"yaml-language-server: $schema={SCHEMA}",
        f"Written by: {command}",
        *made.about,
        "Every key and its default: unmask docs recipe. What is not written here has its default.",
    ]
    file = out.parent / SCHEMA
    if file.exists() and '"unmask recipe"' not in file.read_text(encoding="utf-8", errors="replace")[:400]:
        raise UserError(f"{file}: expected a schema that unmask wrote, found another file; move it, or choose --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(as_commented(made.values, made.why, schema, head), encoding="utf-8")
    file.write_text(dumps(schema, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def _next(out: Path) -> list[tuple[str, str]]:
    recipe = shlex.quote(str(out))
    return [
        (f"unmask check {recipe}", "every problem, before weights are loaded"),
        (f"unmask preview {recipe}", "what will be trained, in colours"),
        (f"unmask sft {recipe} --out runs/first", "trains"),
    ]
