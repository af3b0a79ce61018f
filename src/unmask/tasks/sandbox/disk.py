"""How much of the disk an answer takes: the files of its folder, and those that have no name any more.

A deleted file stays as long as somebody holds it. The fence leaves two ways to hold one, and both can be seen from
outside: an open file, and a mapping into memory (the filter of system calls closes files without a name from the start,
tables of open files of a thread's own, Landlock rules, watches, and calls that wait with a file in hand).
"""

import os
import stat
from collections.abc import Iterable

# Of what is mapped, some 10,000 lines. More would make the count slow, so a process with more is over its limit.
_MOST_READ = 1 << 20


def taken(folder: str, children: Iterable[int], largest: int) -> tuple[int, int]:
    """Count the files and bytes that processes take.

    Args:
        folder: where they may write; Landlock keeps it flat.
        children: the processes.
        largest: size that a file can have at most; taken for a mapped file that has no name and is not open.

    Returns:
        How many files there are, and their bytes.
    """
    sizes: dict[tuple[int, int], int] = {}
    for entry in os.scandir(folder):
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:  # it has just been deleted
            continue
        sizes[found.st_dev, found.st_ino] = _size(found)
    lost = 0
    for child in children:
        lost += _held(child, folder, sizes)
    return len(sizes) + lost, sum(sizes.values()) + lost * largest


def _size(found: os.stat_result) -> int:
    return max(found.st_size, found.st_blocks * 512)


def _held(child: int, folder: str, sizes: dict[tuple[int, int], int]) -> int:
    """Add to ``sizes`` the deleted files that a process has open; return how many others it has mapped."""
    opened = set()
    thread = ""
    for thread in _names(f"/proc/{child}/task"):
        names = _names(f"/proc/{child}/task/{thread}/fd")
        if names:  # the table of all its threads; of those that have ended it is empty
            break
    else:
        return 0
    for name in names:
        try:
            found = os.stat(f"/proc/{child}/task/{thread}/fd/{name}")  # noqa: PTH116
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode) and not found.st_nlink:
            sizes[found.st_dev, found.st_ino] = _size(found)
            opened.add(found.st_ino)
    return _mapped(f"/proc/{child}/task/{thread}/maps", folder, opened)


def _mapped(maps: str, folder: str, opened: set[int]) -> int:
    """Return how many deleted files of a folder are mapped and not open."""
    start = (folder + "/").replace("\n", "\\012").encode()
    try:
        with open(maps, "rb") as file:  # noqa: PTH123  # no pathlib: the child starts fast
            text = file.read(_MOST_READ)
    except OSError:
        return 0
    if len(text) == _MOST_READ:
        return _MOST_READ
    fields = (line.split(None, 5) for line in text.split(b"\n") if line.endswith(b" (deleted)"))
    return len({int(parts[4]) for parts in fields if parts[5].startswith(start)} - opened)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []
