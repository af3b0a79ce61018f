"""Writes the index of components, and the stubs of the packages that import them when they are named.

A component is found because its file, anywhere in ``src/unmask``, registers it; no list is kept by hand. ``--check``
writes nothing, names the files that are not up to date, and exits with 1 if there are any.
"""

import ast
import importlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
REGISTERS = re.compile(r"^\s*@?[A-Z_]+\.(register|add)\(", re.MULTILINE)
LAZY = re.compile(r"^__getattr__, __dir__ = lazy\(__name__(.*)\)$", re.MULTILINE)


def index():
    """Return kind -> name -> entry, of everything that the package registers."""
    from unmask.config import registry

    registry.read_index = dict  # an index that is out of date would stand in the way
    for path in sorted((SOURCE / "unmask").rglob("*.py")):
        if REGISTERS.search(path.read_text(encoding="utf-8")):
            importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    found = {kind: names.entries() for kind, names in sorted(registry.REGISTRIES.items())}
    return {kind: entries for kind, entries in found.items() if entries}


def stub(path, entries):
    """Return what a type checker should see of a lazy package: what it imports itself, and its components."""
    text = path.read_text(encoding="utf-8")
    package = ".".join(path.parent.relative_to(SOURCE).parts)
    others = re.findall(r'"([\w.]+)"', LAZY.search(text)[1])
    inside = tuple(f"{each}." for each in (package, *others))
    names = {
        alias.name: node.module
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name != "lazy"
    }
    for entry in entries:
        name, module = entry["object"], entry["module"]
        if module.startswith(inside) and names.setdefault(name, module) != module:
            raise SystemExit(f"{package}.{name}: is in {names[name]} and in {module}; rename one")
    # As ruff sorts: constants, classes, functions.
    order = sorted(names, key=lambda name: (names[name], not name.isupper(), not name[0].isupper(), name))
    lines = [f"from {names[name]} import {name} as {name}" for name in order]
    return "\n".join(["# Written by make index.", "", *lines, ""])


def contents():
    """Return path -> text of all that this script writes."""
    found = index()
    kinds = [
        f" {json.dumps(kind)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        + "\n }"
        for kind, entries in found.items()
    ]
    entries = [entry for names in found.values() for entry in names.values()]
    texts = {SOURCE / "unmask/components.json": "{\n" + ",\n".join(kinds) + "\n}\n"}
    for path in sorted((SOURCE / "unmask").rglob("__init__.py")):
        if LAZY.search(path.read_text(encoding="utf-8")):
            texts[path.with_suffix(".pyi")] = stub(path, entries)
    return texts


if __name__ == "__main__":
    sys.path.insert(0, str(SOURCE))
    from generated import write

    write(contents())
