"""Reads text and numbers from the columns of a row, or raises a ``BadRow`` with what was expected and found."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from types import NoneType
from typing import Any

from unmask.data.parse import LongNumber
from unmask.data.records import BadRow, Difficulty, Message

Row = Mapping[str, Any]

_WRITER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)

SYSTEM_COLUMNS = ("system", "system_prompt")


def text(row: Row, column: str, role: str) -> str:
    """Return the text of a column.

    Args:
        row: of the data set.
        column: its name.
        role: what the text is for, such as ``prompt``, for the message if it is missing.

    Returns:
        The text.

    Raises:
        BadRow: the column is missing, null, or no text.
    """
    value = row.get(column)
    if value is None:
        raise BadRow(f"no {role}", f"expected text under '{column}', found {_found(row, column)}")
    if not isinstance(value, str):
        raise BadRow("wrong type", f"expected text under '{column}', found {kind(value)}")
    return value


def difficulty_of(row: Row, column: str) -> Difficulty:
    """Return the difficulty that a column states.

    Args:
        row: of the data set.
        column: its name.

    Returns:
        A finite number or a label.

    Raises:
        BadRow: the column holds neither.
    """
    value = row.get(column)
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, (int, float)) and abs(value) <= sys.float_info.max:
        return value
    found = _found(row, column) if value is None else kind(value)
    raise BadRow("no difficulty", f"expected a number or a label under '{column}', found {found}")


def system_of(row: Row) -> tuple[Message, ...]:
    """Return the system turn of a row that has a system column, as a tuple of one; else an empty tuple."""
    column = next((c for c in SYSTEM_COLUMNS if row.get(c) not in (None, "")), None)
    return ({"role": "system", "content": text(row, column, "system prompt")},) if column else ()


def kind(value: object) -> str:
    """Return the name of a value's JSON type, with the value itself where it is short.

    >>> kind(72), kind([1, 2]), kind(None)
    ('a number (72)', 'a list of 2', 'null')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return f"a number ({glimpse(str(value))})"
    if isinstance(value, LongNumber):
        return repr(value)
    if isinstance(value, str):
        return f"text ('{glimpse(value[:20])}')"
    if isinstance(value, Mapping):
        return f"an object with {names(value) or 'no keys'}"
    return f"a list of {len(value)}" if isinstance(value, Sequence) else type(value).__name__


def glimpse(text: str) -> str:
    r"""Return the first 30 characters of a text on one line, with escapes for what cannot be printed.

    >>> glimpse("a\tb")
    'a\\tb'
    """
    text = text if len(text) <= 30 else f"{text[:27]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def names(columns: Iterable[str]) -> str:
    """Return the first twelve names, separated by commas, and how many more there are."""
    found = [glimpse(str(column)) for column in columns]
    return ", ".join(found[:12]) + (f" and {len(found) - 12} more" if len(found) > 12 else "")


def leaves(value: object) -> Iterator[Any]:
    """Yield all values inside a JSON value, at any depth, that are no object or list; and the keys of objects."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [*value, *value.values()]
        elif isinstance(value, (list, tuple)):
            waiting += value
        else:
            yield value


def strings(value: object) -> Iterator[str]:
    """Yield all text inside a JSON value, keys of objects included."""
    return (leaf for leaf in leaves(value) if isinstance(leaf, str))


def broken(text: str) -> str | None:
    """Return what is wrong with a text that cannot be written as UTF-8, and at which character; None if it can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(text[error.start]):04x}"
        return f"expected text, found half a surrogate pair ({code}) at character {error.start + 1}; write it anew"
    return None


def check_leaves(value: object) -> None:
    """Check that a value can be written as JSON in UTF-8.

    Args:
        value: of a row.

    Raises:
        BadRow: it holds broken text, or something that JSON cannot write.
    """
    try:
        _WRITER.encode(value).encode()  # ten times as fast as looking at every leaf
        return
    except (ValueError, TypeError, RecursionError):
        pass
    for found in leaves(value):
        if isinstance(found, str) and (detail := broken(found)):
            raise BadRow("broken text", detail)
        if not isinstance(found, (str, int, float, NoneType)) or (isinstance(found, float) and not isfinite(found)):
            raise BadRow("wrong type", f"expected text and numbers that JSON can write, found {kind(found)}")


def _found(row: Row, column: str) -> str:
    return "null" if column in row else f"only {names(row) or 'an empty row'}"
