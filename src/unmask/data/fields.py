"""Columns of a row to text and turns, or to a fault that says what was expected and what was found."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from unmask.data.rows import BadRow, Difficulty, Message

Row = Mapping[str, Any]

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", "bot"), "assistant"),
    **{role: role for role in ("system", "developer", "tool")},
}
"""Names of speakers in the wild -> the roles of chat templates."""

SYSTEM_COLUMNS = ("system", "system_prompt")


def text(row: Row, column: str, role: str) -> str:
    """Return a column that must be text; ``role`` names what is missing where it is not there."""
    value = row.get(column)
    if value is None:
        raise BadRow(f"no {role}", f"expected text under '{column}', found {_found(row, column)}")
    if not isinstance(value, str):
        raise BadRow("wrong type", f"expected text under '{column}', found {kind(value)}")
    return value


def difficulty_of(row: Row, column: str) -> Difficulty:
    """Return how hard a row says it is: a finite number or a label."""
    value = row.get(column)
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, (int, float)) and abs(value) <= sys.float_info.max:
        return value
    found = _found(row, column) if value is None else kind(value)
    raise BadRow("no difficulty", f"expected a number or a label under '{column}', found {found}")


def system_of(row: Row) -> tuple[Message, ...]:
    """Return the system turn of a row that has one in a column of its own."""
    column = next((c for c in SYSTEM_COLUMNS if row.get(c) not in (None, "")), None)
    return ({"role": "system", "content": text(row, column, "system prompt")},) if column else ()


def turns(value: Any, column: str, role: str = "response") -> tuple[Message, ...]:
    """Read a list of turns, written with role and content or with from and value."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise BadRow("wrong type", f"expected a list of turns under '{column}', found text: {error.msg}") from error
    if value is None:
        raise BadRow(f"no {role}", f"expected a list of turns under '{column}', found null")
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise BadRow("wrong type", f"expected a list of turns under '{column}', found {kind(value)}")
    return tuple(_turn(turn, f"{column}[{index}]") for index, turn in enumerate(value))


def _turn(value: Any, where: str) -> Message:
    if not isinstance(value, Mapping):
        raise BadRow("wrong type", f"expected an object with role and content at {where}, found {kind(value)}")
    speaker = value.get("role", value.get("from"))
    if not isinstance(speaker, str) or speaker.lower() not in ROLES:
        found = "none" if speaker is None else f"'{speaker}'"
        raise BadRow("unknown role", f"expected a role at {where} (one of {', '.join(ROLES)}), found {found}")
    content = value.get("content", value.get("value"))
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise BadRow("wrong type", f"expected text as the content of {where}, found {kind(content)}")
    # Columnar files fill the keys that other turns have with nulls; templates would take those for given.
    extra = {k: v for k, v in value.items() if k not in ("role", "from", "content", "value") and v is not None}
    return {"role": ROLES[speaker.lower()], "content": content, **extra}


def kind(value: Any) -> str:
    """Name the JSON type of a value, with a glimpse of small ones.

    >>> kind(72), kind([1, 2]), kind(None)
    ('a number (72)', 'a list of 2', 'null')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return f"a number ({value})"
    if isinstance(value, str):
        return f"text ('{value[:20]}')"
    if isinstance(value, Mapping):
        return f"an object with {', '.join(map(str, value)) or 'no keys'}"
    return f"a list of {len(value)}" if isinstance(value, Sequence) else type(value).__name__


def _found(row: Row, column: str) -> str:
    return "null" if column in row else f"only {', '.join(map(str, row)) or 'an empty row'}"
