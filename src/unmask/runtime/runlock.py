"""A lock on a run's folder that is held for the whole run, new or resumed.

The lock is the operating system's (``flock``), so that it is released when its process ends, in whatever way.
``.lock.json`` beside it names the owner. Both are deleted at the end of the run.
"""

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from unmask.errors import UserError

LOCK, OWNER = ".lock", ".lock.json"
FILES = (LOCK, OWNER, f"{OWNER}.new")
"""Files of the lock in a folder; a folder with no others counts as empty."""
PATIENCE = 0.2
"""Seconds to try for, as an owner may be about to release it."""

_held: ContextVar[frozenset[tuple[int, Path]]] = ContextVar("held", default=frozenset())


def is_empty(folder: Path) -> bool:
    """Return whether a folder is not there, or holds no file but those of its lock."""
    return not folder.exists() or (folder.is_dir() and all(path.name in FILES for path in folder.iterdir()))


def holds(folder: Path) -> bool:
    """Return whether this process is inside a context of ``owned`` for this folder."""
    return (os.getpid(), folder.absolute()) in _held.get()


@contextlib.contextmanager
def owned(folder: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Own a folder while the context lasts; its content should be read inside, where no other process can change it.

    A folder that is not there is made, and removed again if nothing but the lock is in it when the context ends by an
    exception. Of the processes of one ``torchrun`` only the first owns the folder. It may be owned again inside.

    Args:
        folder: of the run.
        what: the work, such as ``"unmask sft"``, for the message that other processes show.
        wait: wait for another owner on this machine instead of raising an error.

    Yields:
        Nothing: the work is done inside the context.

    Raises:
        UserError: another process owns it (or did, on another machine, and has not released it); it is no folder, or
            cannot be written.
    """  # noqa: DOC502
    mark = (os.getpid(), folder.absolute())
    if holds(folder) or not _is_first():
        yield
        return
    lock = FileLock(folder / LOCK, timeout=-1 if wait else PATIENCE, is_singleton=False)
    made = _make(folder)
    is_done = False
    try:
        _take(folder, lock, what)
        before = _held.set(_held.get() | {mark})
        try:
            yield
            is_done = True
        finally:
            _held.reset(before)
            if os.getpid() == mark[0]:  # a fork that leaves through here owns nothing
                _let_go(folder, lock)
    finally:
        if not is_done and os.getpid() == mark[0]:
            for each in made:
                with contextlib.suppress(OSError):  # something is in it
                    each.rmdir()


def _is_first() -> bool:
    return os.environ.get("WORLD_SIZE", "1") in ("", "1") or os.environ.get("RANK", "0") == "0"


def _make(folder: Path) -> list[Path]:
    """Make a folder; return it and those above it that were not there, innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{folder}: expected a folder, found a file; choose another --out") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from error
    return missing


def _take(folder: Path, lock: FileLock, what: str) -> None:
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder}: {_in_use(folder)}") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
    try:
        owner = _owner(folder)
        # On this machine it is gone, or the lock would not be free. Elsewhere the lock may not be seen from here.
        if owner and owner.get("host") != platform.node():
            raise UserError(f"{folder}: {_in_use(folder)}")
        _write_owner(folder, what)
    except BaseException:
        _release(folder, lock)
        raise


def _let_go(folder: Path, lock: FileLock) -> None:
    with contextlib.suppress(OSError):
        (folder / OWNER).unlink(missing_ok=True)
    _release(folder, lock)


def _release(folder: Path, lock: FileLock) -> None:
    with contextlib.suppress(OSError):
        # While it is held: who waits for it notices, and makes a new one. One that is not empty is no flock's: the
        # file itself is the lock there, and goes with the release.
        if (folder / LOCK).stat().st_size == 0:
            (folder / LOCK).unlink()
    lock.release()


def _write_owner(folder: Path, what: str) -> None:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    owner = {"pid": os.getpid(), "host": platform.node(), "since": since, "what": what}
    aside = folder / f"{OWNER}.new"
    aside.write_text(json.dumps(owner), "utf-8")
    aside.replace(folder / OWNER)


def _owner(folder: Path) -> dict[str, Any] | None:
    """Return the record of the owner; None if there is none that can be read."""
    try:
        found = json.loads((folder / OWNER).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _in_use(folder: Path) -> str:
    """Return the message that names the owner, and what to do if it is gone."""
    owner, then = _owner(folder), "wait for it, or choose another --out"
    is_here = owner is not None and owner.get("host") == platform.node()
    if owner is None or (is_here and _is_gone(owner.get("pid"))):
        return f"in use by another process; {then}"  # the record is of one before, or not written yet
    pid, host, since, what = (str(owner.get(name, "unknown"))[:80] for name in ("pid", "host", "since", "what"))
    elsewhere = f"; if it is no longer running there, delete {folder / OWNER} and {folder / LOCK}"
    return f"in use by process {pid} on {host} since {since} ({what}); {then}{'' if is_here else elsewhere}"


def _is_gone(pid: object) -> bool:
    return not isinstance(pid, int) or not 0 < pid < 2**31 or not psutil.pid_exists(pid)
