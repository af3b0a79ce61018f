"""Files that are whole or the ones before, whatever happens while they are written."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from unmask.errors import UserError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, text: str) -> None:
    """Write a text file aside, force it to disk, and put it in place in one rename."""
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
    """Force a file or the entries of a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def space_for(what: str, remedy: Callable[[], str]) -> Iterator[None]:
    """Turn a library's complaint about a full disk into one line; other errors pass.

    Args:
        what: is written.
        remedy: asked for what to do, where it is needed.

    Raises:
        UserError: the disk, a quota or the largest file size is reached.
    """
    try:
        yield
    except Exception as error:  # safetensors and torch have errors of their own for what the system refused
        reason = _no_space(error)
        if reason is None:
            raise
        raise UserError(f"{what}: could not be written ({reason}); {remedy()}") from error


def _no_space(error: BaseException) -> str | None:
    """Return the system's words for a full disk if an error, or what caused it, is about one."""
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
