"""Meanings of fields, from the docstrings of their classes: the one place where they are written."""

import inspect
import re

_FIELD = re.compile(r"^    (\w+): (.*)$")


def summary(cls: type) -> str:
    """Return the first paragraph of a class's docstring as one line; empty text where there is none."""
    return " ".join(inspect.cleandoc(cls.__dict__.get("__doc__") or "").partition("\n\n")[0].split())


def meanings(cls: type) -> dict[str, str]:
    """Return field -> meaning, from the sections ``Args:`` of a class and of the classes that it inherits from.

    >>> class Size:
    ...     '''A size.
    ...
    ...     Args:
    ...         width: in columns;
    ...             at least 1.
    ...     '''
    >>> meanings(Size)
    {'width': 'in columns; at least 1.'}

    Args:
        cls: whose docstrings are in Google's style.

    Returns:
        Each meaning on one line; those of the class itself come first, and outrank those of its bases.
    """
    found: dict[str, str] = {}
    for base in cls.__mro__:
        found = {**found, **{name: said for name, said in _arguments(base).items() if name not in found}}
    return found


def _arguments(cls: type) -> dict[str, str]:
    doc = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    found: dict[str, str] = {}
    name, inside = "", False
    for line in doc.splitlines():
        if not line.startswith(" "):
            inside = line == "Args:" or (inside and not line)
        elif inside and (start := _FIELD.match(line)):
            name = start[1]
            found[name] = start[2].strip()
        elif inside and name:
            found[name] += f" {line.strip()}"
    return found
