"""Reads JSON as data sets write it, with small faults that leave one meaning; anything else is a ``BadRow``."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from unmask.data.records import BadRow

_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_TRAILING = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)
DIGITS = 4300  # what Python turns into a number by default
DEEP = BadRow("nested too deeply", "expected at most some hundred brackets inside one another, found more; flatten it")


class LongNumber:
    """A whole number with more digits than Python converts: ignored in a column that is not read, else a fault."""

    def __init__(self, digits: str) -> None:
        self.digits = digits

    def __repr__(self) -> str:
        return f"a number of {len(self.digits):,} digits"


class Parser:
    """Reads JSON values one after the other; ``NaN`` is read as null."""

    def __init__(self) -> None:
        self._twice: list[str] = []
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_int=_whole, parse_constant=_constant, strict=False
        )

    def value(self, text: str, start: int = 0) -> tuple[Any, int]:
        """Return the value that starts at ``start``, and where it ends.

        Args:
            text: JSON, perhaps with more after it.
            start: first character of the value.

        Returns:
            The value, or a ``BadRow`` if it is JSON that has no one meaning; and the index after its last character.

        Raises:
            json.JSONDecodeError: no JSON value starts there.
            BadRow: brackets are nested too deeply.
        """  # noqa: DOC503
        self._twice.clear()
        try:
            value, end = self._decoder.raw_decode(text, start)
        except RecursionError:
            raise DEEP from None
        if self._twice:
            detail = f"expected every key once, found '{self._twice[0]}' twice with different values"
            return BadRow("key given twice", detail), end
        if "\0" in text[start:end]:
            return nul(text, start), end
        return value, end

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self._twice += [key for key, value in pairs if found[key] != value]
        return found


def parse(text: str) -> Any:
    """Return the value of text that is one JSON value, such as a column of a CSV file.

    >>> parse('[1, 2,]')
    [1, 2]

    Args:
        text: JSON; a comma before a closing bracket is allowed.

    Returns:
        The value.

    Raises:
        BadRow: it is no JSON, or has no one meaning.
    """  # noqa: DOC503
    text = text.strip()
    parser = Parser()
    try:
        try:
            value, end = parser.value(text)
        except json.JSONDecodeError:
            value, end = parser.value(without_trailing_commas(text))
        if end < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except json.JSONDecodeError as error:
        raise BadRow("not JSON", f"{error.msg} at column {error.colno}") from None
    if isinstance(value, BadRow):
        raise value
    return value


def without_trailing_commas(text: str) -> str:
    """Return JSON text with a space for every comma before a closing bracket, outside of strings."""
    return _TRAILING.sub(lambda found: " " if found[0] == "," else found[0], text)


def nul(text: str, start: int = 0) -> BadRow:
    """Return the fault of a text with a NUL byte at or after ``start``, which names its column."""
    at = text.find("\0", start)
    column = at - max(text.rfind("\n", 0, at), -1)
    return BadRow("NUL byte", f"expected text, found a NUL byte at column {column}; take it out")


def dump(value: object) -> str:
    """Return a value as JSON text, as templates write it.

    Args:
        value: of JSON types.

    Returns:
        The text, without escapes for letters outside ASCII.

    Raises:
        BadRow: it holds a number that is too long, or a type that JSON has not.
    """  # noqa: DOC503
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise BadRow("wrong type", f"expected a value that JSON can write, found: {error}") from None
    except RecursionError:
        raise DEEP from None


def without_nulls(value: object) -> Any:
    """Return a value without the null keys of objects, since columnar files give all objects of a column all keys."""
    if isinstance(value, Mapping):
        return {key: without_nulls(entry) for key, entry in value.items() if entry is not None}
    return [without_nulls(entry) for entry in value] if isinstance(value, list) else value


def _whole(digits: str) -> int | LongNumber:
    return int(digits) if len(digits) <= DIGITS else LongNumber(digits.lstrip("-"))


def _constant(name: str) -> float | None:
    """Return null for ``NaN``, which pandas writes for a missing value; infinities stay numbers."""
    return None if name == "NaN" else math.inf if name == "Infinity" else -math.inf
