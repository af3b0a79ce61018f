"""Writes files that are either whole or unchanged, whatever happens meanwhile; reports a full disk in one line."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from unmask.errors import UserError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, text: str) -> None:
    """Write a UTF-8 text file under another name, force it to disk, and rename it to ``path``."""
    aside = path.with_name(f".{path.name}.new")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Force a file or the entries of a folder to disk; on Windows, which opens no folder, files only."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def space_for(what: str, remedy: Callable[[], str]) -> Iterator[None]:
    """Turn any error about a full disk inside the context into a ``UserError``; other errors pass.

    Args:
        what: the file or folder that is written, for the message.
        remedy: returns what to do, for the message; called only if it is needed.

    Yields:
        Nothing: the work is done inside the context.

    Raises:
        UserError: the disk is full, or a quota or the largest file size is reached.
    """  # noqa: DOC503
    try:
        yield
    except Exception as error:  # safetensors and torch have errors of their own for what the system refused
        reason = _no_space(error)
        if reason is None:
            raise
        raise UserError(f"{what}: could not be written ({reason}); {remedy()}") from error


def _no_space(error: BaseException) -> str | None:
    """Return the system's message for a full disk if an error, or its cause, is about one; else None."""
    numbers = [getattr(link, "errno", None) for link in _chain(error)]
    for number in NO_ROOM:
        words = os.strerror(number)
        if number in numbers or any(words in str(link) or f"os error {number}" in str(link) for link in _chain(error)):
            return words
    # torch.save says where its writer stopped, and not why.
    is_cut = any(words in str(error) for words in ("PytorchStreamWriter", "inline_container.cc"))
    return "the file was cut short" if is_cut else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
