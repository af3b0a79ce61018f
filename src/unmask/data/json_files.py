"""The rows of a JSON file: an object a line, objects over several lines, or one list of objects."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from unmask.data.fields import glimpse, kind
from unmask.data.parse import Parser, nul, without_trailing_commas
from unmask.data.rows import BadRow
from unmask.errors import UserError

_BETWEEN = re.compile(r"[\s,\ufeff]*")
_BREAK = re.compile(r"[\r\n]")
_NEXT = re.compile(r"[\r\n]+(?=[{\[])")


def json_rows(lines: Iterator[str], name: str) -> Iterator[tuple[str, Any]]:
    """Yield each row with its place. Only a file that is no plain JSON Lines is held in memory as a whole."""
    parser, numbered, is_first = Parser(), enumerate(lines, 1), True
    for number, line in numbered:
        text = line.strip(" \t\r\n\ufeff")
        if not text:
            continue
        if is_first and text.startswith("["):
            whole = "".join(chain([line], (more for _, more in numbered)))
            yield from _list(parser, whole, number, name)
            return
        is_first = False
        row = _whole_line(parser, text)
        if row is not None:
            yield f"{name}:{number}", row
        elif _is_cut(parser, text):
            whole = "".join(chain([line], (more for _, more in numbered)))
            yield from _values(parser, whole, number, name)
            return
        else:
            yield from _values(parser, line, number, name)


def _whole_line(parser: Parser, text: str) -> Any:
    """Return the row of a line that is one JSON value, or None."""
    try:
        value, end = parser.value(text)
    except json.JSONDecodeError:
        return None
    except BadRow as fault:
        return fault
    return _object(value) if not text[end:].strip(" \t,") else None


def _is_cut(parser: Parser, text: str) -> bool:
    """Return whether a value could go on in the next line."""
    try:
        parser.value(without_trailing_commas(text))
    except json.JSONDecodeError as error:
        return error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
    return False


def _values(parser: Parser, text: str, number: int, name: str) -> Iterator[tuple[str, Any]]:
    """Read objects wherever they end; after one that cannot be read, go on at the next line that starts one."""
    text, at, counted = without_trailing_commas(text), 0, 0
    while (at := _between(text, at)) < len(text):
        number += text.count("\n", counted, at)
        counted = at
        try:
            value, end = parser.value(text, at)
            row = _object(value)
            after = _between(text, end)
            if after < len(text) and text[after] not in "{[" and not _BREAK.search(text, end, after):
                row, end = _fault(text, at, json.JSONDecodeError("Extra data", text, after)), _next(text, after)
        except json.JSONDecodeError as error:
            row, end = _fault(text, at, error), _next(text, at)
        except BadRow as fault:
            row, end = fault, _next(text, at)
        yield f"{name}:{number}", row
        at = end


def _list(parser: Parser, text: str, number: int, name: str) -> Iterator[tuple[str, Any]]:
    """Read one list of objects. Where more follows it, the file is lines after all."""
    clean, rows = without_trailing_commas(text), []
    at = _between(clean, clean.index("[") + 1)
    try:
        while clean[at : at + 1] != "]":
            value, at = parser.value(clean, at)
            rows.append(_object(value))
            at = _between(clean, at)
    except json.JSONDecodeError as error:
        line, rest = number + text.count("\n", 0, error.pos), text[at : at + 99].strip()
        found = f"'{glimpse(rest)}'" if rest else "its end"
        raise UserError(
            f"{name}:{line}: expected a list of JSON objects, found {found} ({error.msg} at column "
            f"{error.colno}); mend it there, or write one object a line"
        ) from None
    except BadRow as fault:
        raise UserError(f"{name} row {len(rows) + 1}: {fault.detail}") from None
    if _between(clean, at + 1) < len(clean):
        yield from _values(parser, text, number, name)
        return
    for index, row in enumerate(rows, 1):
        yield f"{name} row {index}", row


def _object(row: Any) -> Any:
    if isinstance(row, (dict, BadRow)):
        return row
    return BadRow("not an object", f"expected a JSON object, found {kind(row)}")


def _fault(text: str, start: int, error: json.JSONDecodeError) -> BadRow:
    line_end = found.start() if (found := _BREAK.search(text, start)) else len(text)
    if "\0" in text[start:line_end]:
        return nul(text, start)
    lines = text.count("\n", start, error.pos)
    where = f"column {error.colno}" if not lines else f"column {error.colno}, {lines} lines on"
    return BadRow(
        "not JSON",
        f"expected one JSON object, found '{glimpse(text[start:line_end].strip())}' ({error.msg} at {where})",
    )


def _between(text: str, at: int) -> int:
    """Skip what may stand between two values."""
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _next(text: str, at: int) -> int:
    found = _NEXT.search(text, at)
    return found.end() if found else len(text)
