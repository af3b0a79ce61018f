"""Checks the lines of a trace, so that code that draws a trace can rely on them."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unmask.errors import UserError, shorten
from unmask.runtime.sealed import check_format

Fits = Callable[[Any], bool]
WIDEST = 2**20  # columns of a canvas


def check_lines(path: Path, header: Any, lines: Sequence[Any]) -> None:
    """Check that the lines of a file are those of a trace.

    Args:
        path: of the file, for messages.
        header: its first line.
        lines: all others.

    Raises:
        UserError: a line is not; names the line and what it must hold.
    """  # noqa: DOC503
    if not isinstance(header, dict) or "unmask_trace" not in header:
        raise UserError(f"{path}:1: expected the header of a trace; write one with --save-trace")
    check_format(header["unmask_trace"], f"{path}:1")
    _check(path, 1, header, _HEADER)
    for row in header["rows"]:
        _check(path, 1, row, _ROW)
        for given in row["given"]:
            _check(path, 1, given, _GIVEN | {"offset": _at_path(row["canvas"])})
    for number, line in enumerate(lines, 2):
        _check(path, number, line, _LINE | dict.fromkeys(("row", "continues"), _at_path(len(header["rows"]))))
        inside = _at_path(header["rows"][line["row"]]["canvas"])
        begin, end = line["block"]
        told = [line[name] for name in ("offsets", "ids", "texts", "probabilities")]
        if len({len(values) for values in told}) > 1:
            raise _wrong(path, number, "offsets", [len(values) for values in told])
        for name in ("offsets", "taken_back"):
            if not all(map(inside, line[name])):
                raise _wrong(path, number, name, line[name])
        if not 0 <= begin <= end <= header["rows"][line["row"]]["canvas"]:
            raise _wrong(path, number, "block", line["block"])


def _check(path: Path, number: int, line: object, needed: Mapping[str, Fits]) -> None:
    if not isinstance(line, dict) or not needed.keys() <= line.keys():
        raise UserError(f"{path}:{number}: expected a forward with {', '.join(sorted(needed))}" if number > 1 else
                        f"{path}:1: expected a header with {', '.join(sorted(needed))}")  # fmt: skip
    for name, fits in needed.items():
        if not fits(line[name]):
            raise _wrong(path, number, name, line[name])
    decoder = line.get("decoder", {}) if number == 1 else {}
    if not isinstance(decoder, dict) or not isinstance(decoder.get("selection", {}), dict):
        raise _wrong(path, number, "decoder", decoder)


def _wrong(path: Path, number: int, name: str, found: object) -> UserError:
    return UserError(f"{path}:{number}: expected another value for {name}, found {shorten(repr(found), 60)}")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**40


def _is_chance(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _at_path(end: int) -> Fits:
    return lambda value: type(value) is int and 0 <= value < end


def _all(fits: Fits) -> Fits:
    return lambda value: isinstance(value, list) and all(map(fits, value))


_HEADER: dict[str, Fits] = {
    "rows": _all(lambda row: isinstance(row, dict)),
    "eos_ids": _all(_is_count),
    "block_size": _is_count,
}
_ROW: dict[str, Fits] = {
    "canvas": lambda value: _is_count(value) and value <= WIDEST,
    "prompt": _is_text,
    "given": _all(lambda given: isinstance(given, dict)),
}
_GIVEN: dict[str, Fits] = {"id": _is_count, "text": _is_text}
_LINE: dict[str, Fits] = {
    "index": _is_count,
    "block": lambda value: _all(_is_count)(value) and len(value) == 2,
    "offsets": _all(_is_count),
    "ids": _all(_is_count),
    "texts": _all(_is_text),
    "probabilities": _all(_is_chance),
    "taken_back": _all(_is_count),
}
