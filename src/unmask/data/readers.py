"""Reads files and hub data sets as rows; what is wrong with a file as a whole is a ``UserError`` with the line."""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from itertools import chain
from pathlib import Path
from typing import Any

from unmask.data.fields import Row, glimpse, kind
from unmask.data.parse import Parser, nul, without_nulls, without_trailing_commas
from unmask.data.records import BadRow
from unmask.errors import UserError, not_utf8, shorten
from unmask.runtime.foreign import check_file

Rows = Iterator[tuple[str, Row | BadRow]]
"""Pairs of a source (``chats.jsonl:7``) and a row, or the ``BadRow`` with the reason why it cannot be read."""

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?")


def rows_of(path_or_name: str | Path, split: str) -> Rows:
    """Return the rows of a file, or of a hub data set.

    Args:
        path_or_name: a file of a known extension, or ``owner/name`` or ``owner/name:config`` on the hub.
        split: of a hub data set.

    Returns:
        An iterator of sources and rows.

    Raises:
        UserError: there is no such file or data set, or it cannot be read as a whole.
    """
    path, name = Path(path_or_name).expanduser(), str(path_or_name)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise UserError(f"{shorten(name, 160)}: expected a data file, found: {error.strerror}") from error
    if is_folder:
        inside = sorted(p.name for p in path.iterdir() if _reader(p.name))
        files = f"write one of its files: {', '.join(inside[:5])}" if inside else "it holds no file of a known kind"
        raise UserError(f"{name}: expected a data file, found a folder; {files}")
    if exists:
        return _file(path, name)
    if _reader(name) or not HUB_NAME.fullmatch(name) or isinstance(path_or_name, Path):
        raise UserError(f"{shorten(name, 160)}: expected a data file, found none; check the path{_nearby(path)}")
    return _hub(name, split)


def _file(path: Path, name: str) -> Rows:
    read = _reader(name)
    if read is None:
        raise UserError(f"{name}: expected a file that ends with {', '.join(READERS)}; convert it to one of these")
    try:
        if check_file(path) == 0:
            raise UserError(f"{name}: expected rows, found an empty file")
        rows = read(path, name)
        first = next(rows, None)
        if first is None:
            raise UserError(f"{name}: expected rows, found none")
        yield from chain([first], rows)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{name}: expected a readable file, found: {reason}") from error


def _json_file(path: Path, name: str) -> Rows:
    return json_rows(_lines(path, name), name)


def _csv_rows(path: Path, name: str) -> Rows:
    """Yield the rows under a header; a source names the line where a row starts, since quoted text may span lines."""
    limit = csv.field_size_limit(2**31 - 1)  # a global of the module: the default refuses texts over 128 kB
    try:
        reader = csv.reader(_lines(path, name), delimiter="\t" if ".tsv" in path.suffixes else ",", strict=True)
        header = _header(next(reader, []))
        if not all(header) or len(set(header)) < len(header):
            found = ", ".join(repr(h) for h in header[:6])
            raise UserError(f"{name}:1: expected a header of distinct column names, found {found}; write one")
        start = reader.line_num + 1
        for values in reader:
            if values:
                yield f"{name}:{start}", _csv_row(header, values)
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{name}:{reader.line_num}: expected CSV, found: {error}; quote the text it breaks on"
        ) from error
    finally:
        csv.field_size_limit(limit)


def _header(names: list[str]) -> list[str]:
    """Return the column names without an empty last one; empty ones in front (pandas' index) get pandas' names."""
    names = names[:-1] if len(names) > 1 and not names[-1] else names
    levels = next((i for i, name in enumerate(names) if name), 0)
    return [f"Unnamed: {level}" for level in range(levels)] + names[levels:]


def _csv_row(header: list[str], values: list[str]) -> Row | BadRow:
    if len(values) == len(header) + 1 and not values[-1]:
        values = values[:-1]
    if len(values) != len(header):
        return BadRow("wrong columns", f"expected {len(header)} values, found {len(values)}")
    column = next((column for column, value in zip(header, values, strict=True) if "\0" in value), None)
    if column is not None:
        return BadRow("NUL byte", f"expected text, found a NUL byte under '{column}'; take it out")
    return dict(zip(header, values, strict=True))


def _parquet_rows(path: Path, name: str) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names, number = file.schema_arrow.names, 0
            if len(set(names)) < len(names):
                raise UserError(f"{name}: expected distinct column names, found {', '.join(names[:12])}; rename them")
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{name} row {number}", _columnar(row)
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: expected UTF-8 text, found {not_utf8(error)}; write the file anew") from error
    except pa.ArrowException as error:
        raise UserError(f"{name}: expected a Parquet file, found: {_first_line(error)}") from error


def _hub(name: str, split: str) -> Rows:
    """Yield the rows of a hub data set. From datasets 4 on, no code of a data set is run."""
    import datasets

    repository, _, config = name.partition(":")
    try:
        table = datasets.load_dataset(repository, config or None, split=split)
    except Exception as error:  # the hub client raises many kinds: not found, gated, offline, no such split
        raise UserError(
            f"{name}: expected a file or a hub data set (owner/name or owner/name:config) with a split '{split}', "
            f"found neither: {_first_line(error)}{_nearby(Path(name))}"
        ) from error
    for number, row in enumerate(table, 1):
        yield f"{name} {split} row {number}", _columnar(row)


def _columnar(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without the null keys of objects inside its columns; a column itself may be null."""
    return {column: without_nulls(value) for column, value in row.items()}


READERS: dict[str, Callable[[Path, str], Rows]] = {
    ".jsonl": _json_file,
    ".json": _json_file,
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".parquet": _parquet_rows,
}
"""Readers by extension; text files may be compressed (``.gz``)."""


def _reader(name: str) -> Callable[[Path, str], Rows] | None:
    return READERS.get(Path(name.lower().removesuffix(".gz")).suffix)


def _open(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _lines(path: Path, name: str) -> Iterator[str]:
    """Yield the lines of a text file, decoded one by one, so that bytes that are no text are reported with the line."""
    with _open(path) as file:
        head = file.read(8192)
        if head.startswith(b"\x1f\x8b"):
            raise UserError(f"{name}: expected UTF-8 text, found a gzip file; call it {name}.gz")
        if what := _no_text(head):
            raise UserError(f"{name}: expected UTF-8 text, found {what}; save it as UTF-8")
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{name}:{number}: expected UTF-8 text, found {not_utf8(error)}; save the file as UTF-8"
                ) from error


def _no_text(head: bytes) -> str | None:
    """Return what the first bytes of a file are if they are no text, else None; a stray NUL is reported later."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    zeros = head.count(0)
    if not zeros:
        return None
    fewer, more = sorted((head[::2].count(0), head[1::2].count(0)))
    if 3 * more > len(head) and 9 * fewer < len(head):
        return "UTF-16"
    controls = set(head) & {*range(1, 8), *range(14, 32), 127}
    return "a binary file" if controls or 10 * zeros > len(head) else None


def _nearby(path: Path) -> str:
    """Return a suggestion of a file with a similar name beside a path that does not exist, or empty text."""
    import difflib

    there = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, there, n=1)
    return f" (did you mean '{path.parent / near[0]}'?)" if near else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


_BETWEEN = re.compile(r"[\s,\ufeff]*")
_BREAK = re.compile(r"[\r\n]")
_NEXT = re.compile(r"[\r\n]+(?=[{\[])")


def json_rows(lines: Iterator[str], name: str) -> Rows:
    """Yield each row of JSON Lines or of a JSON list with its source.

    Only a list, or rows that span several lines, are held in memory as a whole.

    Args:
        lines: of the file.
        name: of the file, for sources and messages.

    Yields:
        A source and a row, or the ``BadRow`` with the reason why it cannot be read.
    """
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


def _whole_line(parser: Parser, text: str) -> Row | BadRow | None:
    """Return the row of a line that is one JSON value, or None."""
    try:
        value, end = parser.value(text)
    except json.JSONDecodeError:
        return None
    except BadRow as fault:
        return fault
    return _object(value) if not text[end:].strip(" \t,") else None


def _is_cut(parser: Parser, text: str) -> bool:
    """Return whether a JSON value may continue in the next line."""
    try:
        parser.value(without_trailing_commas(text))
    except json.JSONDecodeError as error:
        return error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
    return False


def _values(parser: Parser, text: str, number: int, name: str) -> Rows:
    """Yield objects that may span lines; after one that cannot be read, continue at the next line that starts one."""
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


def _list(parser: Parser, text: str, number: int, name: str) -> Rows:
    """Yield the rows of a JSON list of objects; if more follows the list, of JSON Lines."""
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


def _object(row: object) -> Row | BadRow:
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
    """Return the index of the next value: spaces and commas are skipped."""
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _next(text: str, at: int) -> int:
    found = _NEXT.search(text, at)
    return found.end() if found else len(text)
