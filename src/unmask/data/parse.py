"""JSON text to values, as data sets write it: what is clear is read, what is not is said in one line."""

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
    """A whole number with more digits than Python reads: harmless where no one reads it, and no value elsewhere."""

    def __init__(self, digits: str) -> None:
        self.digits = digits

    def __repr__(self) -> str:
        return f"a number of {len(self.digits):,} digits"


class Parser:
    """Reads JSON values one after the other. A comma before a closing bracket is let pass, ``NaN`` is null."""

    def __init__(self) -> None:
        self._twice: list[str] = []
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_int=_whole, parse_constant=_constant, strict=False
        )

    def value(self, text: str, start: int = 0) -> tuple[Any, int]:
        """Read the value that starts at ``start``.

        Returns:
            The value, or a ``BadRow`` if it is JSON that has no one meaning, and where it ends.

        Raises:
            json.JSONDecodeError: there is none.
            BadRow: brackets are nested too deeply.
        """
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
    """Read text that is one JSON value, such as a column of a CSV file.

    >>> parse('[1, 2,]')
    [1, 2]

    Raises:
        BadRow: it is none, or has no one meaning.
    """
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
    """Put a space for every comma that stands before a closing bracket, outside of strings."""
    return _TRAILING.sub(lambda found: " " if found[0] == "," else found[0], text)


def nul(text: str, start: int = 0) -> BadRow:
    """Return where a NUL byte is."""
    at = text.find("\0", start)
    column = at - max(text.rfind("\n", 0, at), -1)
    return BadRow("NUL byte", f"expected text, found a NUL byte at column {column}; take it out")


def dump(value: Any) -> str:
    """Write JSON as templates do.

    Raises:
        BadRow: a number is too long, or nothing that JSON has.
    """
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise BadRow("wrong type", f"expected a value that JSON can write, found: {error}") from None
    except RecursionError:
        raise DEEP from None


def without_nulls(value: Any) -> Any:
    """Leave out the keys of objects that are null: columnar files give all objects of a column the same keys."""
    if isinstance(value, Mapping):
        return {key: without_nulls(entry) for key, entry in value.items() if entry is not None}
    return [without_nulls(entry) for entry in value] if isinstance(value, list) else value


def _whole(digits: str) -> int | LongNumber:
    return int(digits) if len(digits) <= DIGITS else LongNumber(digits.lstrip("-"))


def _constant(name: str) -> float | None:
    """Read what pandas writes for a missing value as null; infinities stay numbers."""
    return None if name == "NaN" else math.inf if name == "Infinity" else -math.inf
