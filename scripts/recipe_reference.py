"""Writes what is known of recipes' keys: the JSON schema that ships with unmask, and docs/recipe.md.

All of it comes from the dataclasses that read recipes. ``--check`` writes nothing, names the files that are not up to
date, and exits with 1 if there are any.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# Every key of a recipe

A recipe is a YAML file with the sections below. `unmask init MODEL DATA` writes one to begin with, and `unmask check`
reports what is wrong with it. This page is also in the terminal: `unmask docs recipe`, `unmask docs recipe run`,
`unmask docs recipe run.lr`.

```sh
unmask docs recipe run.lr
unmask docs objective blockwise
```

`null` as a default means that nothing is set: leave the key out. A *component* is written as its name alone, or as a
mapping with its name and fields: `objective: vanilla`, or `objective: {name: blockwise, block_size: 32}`.

## In an editor

Editors that have a YAML language server (VS Code with Red Hat's YAML extension, Neovim, Helix and others) check a
recipe while you write it, complete its keys, and show the meaning of a key under the pointer. They do so for a file
that begins with

```text
# yaml-language-server: $schema=recipe.schema.json
```

`unmask init` writes this line, and the schema beside the recipe, so that both can be moved together and no network is
asked. For a recipe that you have already, write the line and make the file: `unmask docs recipe --schema >
recipe.schema.json`. A schema that is made so knows the components of your plugins as well (`unmask --plugin mine.py
docs recipe --schema`).
"""


def cell(text):
    """Return a text as a cell of a Markdown table; what stands in code marks stays as it is."""
    chunks = text.replace("|", "\\|").split("`")
    chunks[::2] = [re.sub(r"([<*_\[\]])", r"\\\1", chunk) for chunk in chunks[::2]]
    return "`".join(chunks)


def code(text):
    """Return a text as code in a cell of a Markdown table."""
    return f"`{text}`".replace("|", "\\|")


def table(keys, without=""):
    """Return a Markdown table of keys; the start of their paths that all share is left out."""
    rows = ["| key | what to write | default | meaning | example |", "|---|---|---|---|---|"]
    for key in keys:
        name, default = code(key.path.removeprefix(without)), code(key.default)
        rows.append(f"| {name} | {cell(key.type)} | {default} | {cell(key.meaning)} | {code(key.example)} |")
    return "\n".join(rows)


def page(schema):
    """Return docs/recipe.md."""
    from unmask.recipes.reference import component_keys, components_of, find_keys, kinds_of

    chunks = [HEAD]
    for section, made in schema["properties"].items():
        said = made["description"]
        chunks.append(f"## `{section}`\n\n{cell(said[0].upper() + said[1:])}\n")
        chunks.append(f"{table(find_keys(schema, section), f'{section}.')}\n")
    chunks.append("## Components\n\nBy kind. A field that is not written has its default.\n")
    for kind in kinds_of(schema):
        chunks.append(f"### {kind}\n")
        for name, said in components_of(schema, kind).items():
            keys = component_keys(schema, kind, name)
            chunks.append(f"**`{name}`**: {cell(said)}\n")
            if keys:
                chunks.append(f"{table(keys, f'{kind}.{name}.')}\n")
    return "\n".join(chunks)


def contents():
    """Return path -> text of all that this script writes."""
    from unmask.recipes.reference import SCHEMA_FILE
    from unmask.recipes.schema import recipe_schema

    schema = recipe_schema(shipped=True)
    return {
        SCHEMA_FILE: json.dumps(schema, indent=1, ensure_ascii=False) + "\n",
        ROOT / "docs/recipe.md": page(schema),
    }


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))
    from generated import write

    write(contents())
