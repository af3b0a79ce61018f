"""Files and hub data sets to rows: whatever is wrong with the file as a whole is an error with its place."""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any

from unmask.data.fields import kind
from unmask.data.rows import BadRow
from unmask.errors import UserError

Rows = Iterator[tuple[str, Any]]
"""(place, the row or the ``BadRow`` it turned out to be)."""

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?")


def rows_of(path_or_name: str | Path, split: str) -> Rows:
    """Open a file by its extension, or a hub data set by its name (``owner/name`` or ``owner/name:config``)."""
    path, name = Path(path_or_name).expanduser(), str(path_or_name)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise UserError(f"{name}: expected a data file, found: {error.strerror}") from error
    if is_folder:
        inside = sorted(p.name for p in path.iterdir() if _reader(p.name))
        files = f"write one of its files: {', '.join(inside[:5])}" if inside else "it holds no file of a known kind"
        raise UserError(f"{name}: expected a data file, found a folder; {files}")
    if exists:
        return _file(path, name)
    if _reader(name) or not HUB_NAME.fullmatch(name) or isinstance(path_or_name, Path):
        raise UserError(f"{name}: expected a data file, found none; check the path{_nearby(path)}")
    return _hub(name, split)


def _file(path: Path, name: str) -> Rows:
    read = _reader(name)
    if read is None:
        raise UserError(f"{name}: expected a file that ends with {', '.join(READERS)}; convert it to one of these")
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{name}: expected rows, found an empty file")
        rows = read(path, name)
        first = next(rows, None)
        if first is None:
            raise UserError(f"{name}: expected rows, found none")
        yield from chain([first], rows)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{name}: expected a readable file, found: {reason}") from error


def _json_rows(path: Path, name: str) -> Rows:
    """Read one object a line; a ``.json`` file may also be one list of objects."""
    if ".json" in path.suffixes and (rows := _json_list(path)) is not None:
        for number, row in enumerate(rows, 1):
            yield f"{name} row {number}", _object(row)
        return
    for number, line in enumerate(_lines(path, name), 1):
        if line.strip():
            yield f"{name}:{number}", _parsed(line)


def _json_list(path: Path) -> list[Any] | None:
    with _open(path) as file:
        if not file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
            return None
        file.seek(0)
        try:
            value = json.loads(file.read())
        except ValueError:  # not JSON or not UTF-8: reading it by lines will say where
            return None
    return value if isinstance(value, list) else None


def _parsed(line: str) -> Any:
    try:
        return _object(json.loads(line))
    except json.JSONDecodeError as error:
        detail = f"expected one JSON object, found '{_glimpse(line)}' ({error.msg} at column {error.colno})"
        return BadRow("not JSON", detail)


def _object(row: Any) -> Any:
    return row if isinstance(row, dict) else BadRow("not an object", f"expected a JSON object, found {kind(row)}")


def _csv_rows(path: Path, name: str) -> Rows:
    """Read rows under a header; the place is the line where a row starts, since quoted text may span lines."""
    limit = csv.field_size_limit(2**31 - 1)  # a global of the module: the default refuses texts over 128 kB
    try:
        reader = csv.reader(_lines(path, name), delimiter="\t" if ".tsv" in path.suffixes else ",", strict=True)
        header = next(reader, [])
        if not all(header) or len(set(header)) < len(header):
            found = ", ".join(repr(h) for h in header[:6])
            raise UserError(f"{name}:1: expected a header of distinct column names, found {found}; write one")
        start = reader.line_num + 1
        for values in reader:
            if values:
                wrong = BadRow("wrong columns", f"expected {len(header)} values, found {len(values)}")
                fits = len(values) == len(header)
                yield f"{name}:{start}", dict(zip(header, values, strict=True)) if fits else wrong
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{name}:{reader.line_num}: expected CSV, found: {error}; quote the text it breaks on"
        ) from error
    finally:
        csv.field_size_limit(limit)


def _parquet_rows(path: Path, name: str) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{name} row {number}", row
    except pa.ArrowException as error:
        raise UserError(f"{name}: expected a Parquet file, found: {_first_line(error)}") from error


def _hub(name: str, split: str) -> Rows:
    """Read a hub data set. Since datasets 4 no code of a data set is ever run, so there is nothing to switch off."""
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
        yield f"{name} {split} row {number}", row


READERS: dict[str, Callable[[Path, str], Rows]] = {
    ".jsonl": _json_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".parquet": _parquet_rows,
}
"""By extension; text files may be compressed (``.gz``)."""


def _reader(name: str) -> Callable[[Path, str], Rows] | None:
    return READERS.get(Path(name.lower().removesuffix(".gz")).suffix)


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(path: Path, name: str) -> Iterator[str]:
    """Decode line by line, so that bytes which are not text are reported with their line."""
    with _open(path) as file:
        if b"\0" in (head := file.read(8192)):
            what = "UTF-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "a binary file"
            raise UserError(f"{name}: expected UTF-8 text, found {what}; save it as UTF-8")
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                raise UserError(
                    f"{name}:{number}: expected UTF-8 text, found byte 0x{byte:02x}; save the file as UTF-8"
                ) from error


def _nearby(path: Path) -> str:
    """Suggest a file beside a path that does not exist."""
    import difflib

    there = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, there, n=1)
    return f" (did you mean '{path.parent / near[0]}'?)" if near else ""


def _glimpse(line: str) -> str:
    line = line.strip()
    return line if len(line) <= 30 else f"{line[:27]}..."


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
