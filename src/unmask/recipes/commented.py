"""Writes a recipe as YAML with a comment for each key: its meaning, from the JSON schema, and why it has its value."""

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from unmask.recipes.reference import Schema, as_yaml, in_schema

WIDTH = 120
QUESTIONS = """\
# To judge the model on questions of your own, write a file of them, a line each: {"question": "…", "answer": "…"}.
# Take "# " away from the next three lines. Then: unmask eval runs/first/model --recipe RECIPE
# evaluate:
#   questions: questions.jsonl
#   answer: exact  # or number, math, contains, regex
"""


def as_commented(values: Mapping[str, Any], why: Mapping[str, str], schema: Schema, head: list[str]) -> str:
    """Return a recipe as text.

    Args:
        values: sections in the order in which they are written.
        why: path of a key -> why it has this value, in a few words.
        schema: of recipes, with the meanings.
        head: lines for the top.

    Returns:
        YAML that is read as ``values``.
    """
    chunks = ["".join(f"# {line}\n" for line in head)]
    for section, inner in values.items():
        comment = _comment(section, None, why, schema)
        if not isinstance(inner, Mapping):
            chunks.append(f"{section}: {as_yaml(inner)}  # {comment}\n")
            continue
        lines = "".join(f"{line}\n" for line in _aligned(list(_lines(inner, section, why, schema))))
        chunks.append(f"{section}:  # {comment}\n{lines}")
    return "\n".join([*chunks, QUESTIONS])


def _lines(
    values: Mapping[str, Any], section: str, why: Mapping[str, str], schema: Schema
) -> Iterator[tuple[str, str]]:
    """Yield pairs of a line of YAML and its comment, which may be empty."""
    for name, value in values.items():
        path = f"{section}.{name}"
        if name == "name":  # of a component
            yield f"  name: {as_yaml(value)}", _comment(section, values, why, schema)
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            yield f"  {as_yaml(name)}:", _comment(path, None, why, schema)
            yield from ((f"    - {as_yaml(each)}", _comment(path, each, {}, schema)) for each in value)
        else:
            yield f"  {as_yaml(name)}: {as_yaml(value)}", _comment(path, None, why, schema)


def _comment(path: str, component: object, why: Mapping[str, str], schema: Schema) -> str:
    """Return the first clause of what a key means, or a component does, and why the key has its value."""
    said = [_clause(in_schema(schema, path, component)), "" if component is not None else why.get(path, "")]
    return "; ".join(each for each in said if each)


def _aligned(lines: list[tuple[str, str]]) -> Iterator[str]:
    """Yield lines with their comments in one column; a comment that is too long stands above its line."""
    width = max((len(line) for line, comment in lines if len(line) + len(comment) + 4 <= WIDTH), default=0)
    for line, comment in lines:
        whole = f"{line:<{width}}  # {comment}" if comment else line
        if len(whole) <= WIDTH:
            yield whole
        else:
            indent = " " * (len(line) - len(line.lstrip()))
            yield from (f"{indent}# {chunk}" for chunk in textwrap.wrap(comment, WIDTH - len(indent) - 2))
            yield line


def _clause(meaning: str) -> str:
    """Return the first clause of a meaning, without its source, marks of code and full stop.

    >>> _clause("columns of the canvas; null: each is fitted to its answer.")
    'columns of the canvas'
    >>> _clause("Hide all tokens alike (LLaDA, arXiv 2502.09992).")
    'Hide all tokens alike'
    """
    text = re.sub(r" \([^()]*arXiv[^()]*\)|`|\.$", "", meaning)
    text = re.sub(r"[;.]? ?\bnull\b.*", "", text)  # what holds where the key is not written
    return re.split(r"(?<=\w{3}[)\w])(?:; |: |\. )", text, maxsplit=1)[0].rstrip(".")
