"""Reads files of others: their size is checked first, and errors of libraries become a ``UserError``."""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unmask.errors import UserError, shorten

MOST_TEXT = 512 * 2**20  # bytes of a text file that is read as a whole


@contextmanager
def foreign(what: str, remedy: str = "is it complete and undamaged?") -> Iterator[None]:
    """Turn any error inside the context into a ``UserError`` of one line; a ``UserError`` passes unchanged.

    Args:
        what: what could not be done, the start of the line.
        remedy: what to check, the end of the line.

    Yields:
        Nothing: the work is done inside the context.

    Raises:
        UserError: something inside raised an error.
    """  # noqa: DOC503
    try:
        yield
    except UserError:
        raise
    except RecursionError as error:
        raise UserError(f"{what}: it is nested too deeply; {remedy}") from error
    except Exception as error:
        raise UserError(f"{what}: {reason_of(error)}; {remedy}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of libraries in Rust; it is no Exception
            raise
        raise UserError(f"{what}: {reason_of(error)}; {remedy}") from error


def reason_of(error: BaseException) -> str:
    """Return the first line of an error's message, shortened, with the error's name if the line is below 3 words."""
    name = type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError":
        return "it needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return shorten(error.strerror)
    lines = [line.strip() for line in str(error)[:4000].splitlines() if line.strip()] or [""]
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return shorten(f"{name}: {said}" if len(said.split()) < 3 else said)


def check_file(file: Path, most: int | None = None) -> int:
    """Return the size of a file that can be read.

    Args:
        file: its path.
        most: largest size in bytes; None: any.

    Returns:
        Its size in bytes.

    Raises:
        UserError: it cannot be read: not there, a folder, a pipe, a device, not permitted, too large.
    """
    shown = shorten(file, 160)
    try:
        found = Path(file).stat()
        readable = os.access(file, os.R_OK)
    except OSError as error:
        raise UserError(f"'{shown}' cannot be read: {error.strerror}; check the path") from None
    except ValueError as error:
        raise UserError(f"{shown!r} is no path: {error}; check the path") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
        raise UserError(f"expected a file, found {kind} at '{shown}'")
    if not readable:
        raise UserError(f"'{shown}' cannot be read: Permission denied; check its permissions")
    if most is not None and found.st_size > most:
        raise UserError(f"expected at most {most:,} bytes in '{shown}', found {found.st_size:,}; is it the right file?")
    return found.st_size


def read_text(file: Path, most: int = MOST_TEXT) -> str:
    """Return the text of a file.

    Args:
        file: its path.
        most: largest size in bytes.

    Returns:
        The text, without a byte order mark.

    Raises:
        UserError: it cannot be read, is too large, or is no UTF-8.
    """
    check_file(file, most)
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x} at {error.start:,}"
        raise UserError(f"expected UTF-8 text in '{shorten(file, 160)}', found {found}") from None
    except OSError as error:
        raise UserError(f"'{shorten(file, 160)}' cannot be read: {error.strerror}") from None


def parse_json(text: str, place: object, what: str = "JSON") -> Any:
    """Return the value of JSON text.

    Args:
        text: JSON.
        place: file that holds it, for messages.
        what: what was expected, for messages.

    Returns:
        The value.

    Raises:
        UserError: it is no JSON, or nested too deeply.
    """
    shown = shorten(place, 160)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"expected {what} in '{shown}', found another thing: {error}; is it complete?") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise UserError(f"expected {what} in '{shown}', found another thing: {shorten(error, 80)}") from None
    except RecursionError:
        raise UserError(f"expected {what} in '{shown}', found one that is nested too deeply") from None


def read_object(file: Path, most: int = MOST_TEXT) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Args:
        file: its path.
        most: largest size in bytes.

    Returns:
        The object.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    value = parse_json(read_text(file, most), file, "a JSON object")
    if not isinstance(value, dict):
        kind = {"list": "a list", "str": "text", "NoneType": "null"}.get(type(value).__name__, "a number")
        raise UserError(f"expected a JSON object in '{shorten(file, 160)}', found {kind}")
    return value


def walk(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (keys, value) for all values inside nested JSON objects; lists are values, not looked into.

    ``path`` are the keys of ``value`` itself.
    """
    for key, entry in value.items() if isinstance(value, Mapping) else ():
        yield (*path, str(key)), entry
        yield from walk(entry, (*path, str(key)))
