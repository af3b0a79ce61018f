"""Writes a recipe as YAML with a comment for each key: its meaning, from the JSON schema, and why it has its value."""

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from unmask.recipes.reference import Schema, as_yaml, in_schema

WIDTH = 120
QUESTIONS = """\
# To judge what was trained on questions of your own, write a file with a line for each, {"question": "…", "answer": "42"},
# and take the "# " away from the next three lines. Then: unmask eval MODEL --recipe THIS-FILE
# evaluate:
#   questions: questions.jsonl
#   answer: number                # or exact, regex, math, contains
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
        lines = list(_lines({section: inner}, "", 0, why, schema))
        chunks.append("".join(f"{line}\n" for line in _aligned(lines)))
    return "\n".join([*chunks, QUESTIONS])


def _lines(
    values: Mapping[str, Any], path: str, depth: int, why: Mapping[str, str], schema: Schema
) -> Iterator[tuple[str, str]]:
    """Yield pairs of a line of YAML and its comment, which may be empty."""
    for name, value in values.items():
        inside = f"{path}.{name}" if path else name
        comment = "; ".join(said for said in (_clause(in_schema(schema, inside, value)), why.get(inside, "")) if said)
        start = f"{'  ' * depth}{as_yaml(name)}:"
        if isinstance(value, Mapping) and depth == 0:
            yield start, comment
            yield from _lines(value, inside, depth + 1, why, schema)
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            yield start, comment
            for each in value:
                yield f"{'  ' * (depth + 1)}- {as_yaml(each)}", _clause(in_schema(schema, inside, each))
        else:
            yield f"{start} {as_yaml(value)}", comment


def _aligned(lines: list[tuple[str, str]]) -> Iterator[str]:
    """Yield lines with their comments in one column; a comment that is too long stands above its line."""
    column = max((len(line) for line, _ in lines if len(line) <= 44), default=0) + 2
    for line, comment in lines:
        if not comment:
            yield line
        elif len(whole := f"{line:<{column - 2}}  # {comment}") <= WIDTH:
            yield whole
        else:
            indent = " " * (len(line) - len(line.lstrip()))
            yield from (f"{indent}# {chunk}" for chunk in textwrap.wrap(comment, WIDTH - len(indent) - 2))
            yield line


def _clause(meaning: str) -> str:
    """Return the first clause of a meaning, without its source and full stop.

    >>> _clause("columns of the canvas; null: each is fitted to its answer.")
    'columns of the canvas'
    >>> _clause("Hide all tokens alike (LLaDA, arXiv 2502.09992).")
    'Hide all tokens alike'
    """
    text = re.sub(r" \([^()]*arXiv[^()]*\)", "", meaning)
    return re.split(r"(?<=\w{3}[)\w`])(?:; |: |\. |\.$)", text, maxsplit=1)[0]
