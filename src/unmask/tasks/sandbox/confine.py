"""Restricts a process before it runs code that nobody has read: privileges, files, the network, other processes.

Runs in a bare interpreter, without the rest of the package. Three features of the kernel, none of which needs
privileges: resource limits, Landlock (which files; Linux 5.13) and a seccomp filter (which system calls).
"""

import ctypes
import os
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

with suppress(ImportError):  # Windows has none; what_is_missing refuses every system but Linux
    import resource

from .syscalls import filter_program  # relative: the child knows this folder, not the package above it

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_READ_FILE, _READ_DIR, _WRITE_FILE, _REMOVE_FILE, _MAKE_FILE, _TRUNCATE = (
    1 << 2,
    1 << 3,
    1 << 1,
    1 << 5,
    1 << 8,
    1 << 14,
)
# How many of the access rights each version of Landlock knows; a right that is not handled is not refused.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}

_libc: Any = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Unconfined(Exception):
    """Raised when the kernel refused to restrict the process; nothing may be run then."""


class Fence(NamedTuple):  # no dataclass: the child starts fast
    """The resources and files that a process may still use.

    Args:
        cpu_seconds: processor time.
        memory_mib: address space.
        file_mib: size of a file.
        open_files: how many files may be open at once.
        tasks: processes and threads of the user beyond those that run already; of root those of
            the answer are counted every 20 ms.
        readable: folders and files that it may read.
        folder: the only one that it may write to: plain files, no folders.
        strict: whether Landlock and seccomp are a must.
    """

    cpu_seconds: int
    memory_mib: int
    file_mib: int
    open_files: int
    tasks: int
    readable: tuple[str, ...]
    folder: str
    strict: bool


def what_is_missing() -> str | None:
    """Return what this kernel lacks for a strict fence; None if nothing."""
    if sys.platform != "linux":
        return f"Linux (this is {sys.platform})"
    if _landlock_version() < 1:
        return "Landlock (Linux 5.13 or later, switched on)"
    number = _SECCOMP.get(os.uname().machine)
    action = ctypes.c_uint32(0x00050000)
    if number is None or _libc.syscall(number, 2, 0, ctypes.byref(action)) != 0:
        return "seccomp filters on x86_64 or aarch64"
    return None


def confine(fence: Fence, keep: Sequence[int], parent: int) -> None:
    """Restrict this process to what ``fence`` allows; it cannot be undone.

    Args:
        fence: what the process may still use.
        keep: numbers of open files that stay open.
        parent: id of the process whose death ends this one.

    Raises:
        Unconfined: the fence is strict and the kernel refused a part of it, or the parent is gone.
    """
    _close_others(keep)
    _oom_first()
    _call("die with the parent", _libc.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0))
    if os.getppid() != parent:
        raise Unconfined("the parent is gone")
    _limit(fence)
    _call("give up new privileges", _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if os.geteuid() == 0:
        # User 0 without capabilities can still read its own interpreter, wherever that lies.
        header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
        _call("drop capabilities", _libc.capset(header, none))
    for step in (_landlock, _seccomp):
        try:
            step(fence)
        except Unconfined:
            if fence.strict:
                raise


def _close_others(keep: Sequence[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        if standard not in keep:
            os.dup2(null, standard)
    start = 3
    for fd in sorted(fd for fd in keep if fd > 2):
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, 65536)


def _oom_first() -> None:
    """Make this process the first that the kernel ends when memory runs out."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123  # no pathlib: the child starts fast
            file.write("1000")
    except OSError:
        pass


def _limit(fence: Fence) -> None:
    mib = 2**20
    limits = {
        resource.RLIMIT_CPU: fence.cpu_seconds,
        resource.RLIMIT_AS: fence.memory_mib * mib,
        resource.RLIMIT_FSIZE: fence.file_mib * mib,
        resource.RLIMIT_NOFILE: fence.open_files,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_SIGPENDING: 64,  # timers, too: one account for all of the user's
        resource.RLIMIT_NPROC: _tasks_of_user() + fence.tasks,
    }
    for which, most in limits.items():
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def _tasks_of_user() -> int:
    """Return how many tasks the user has: the kernel's limit is for all of them together, and not for root."""
    count, user = 0, os.getuid()
    if user == 0:
        return 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == user:
                count += len(os.listdir(f"/proc/{entry.name}/task"))  # noqa: PTH208
        except OSError:  # it ended
            continue
    return count


def _landlock_version() -> int:
    return int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1))


def _landlock(fence: Fence) -> None:
    version = _landlock_version()
    if version < 1:
        raise Unconfined("the kernel has no Landlock")
    every = (1 << _RIGHTS.get(version, 16)) - 1
    # TCP (version 4); signals and abstract sockets of processes outside (version 6).
    fields = [every, *([3] if version >= 4 else []), *([3] if version >= 6 else [])]
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    ruleset = _libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    _call("make a Landlock ruleset", 0 if ruleset >= 0 else -1)
    own = _READ_FILE | _READ_DIR | _WRITE_FILE | _REMOVE_FILE | _MAKE_FILE | _TRUNCATE
    allowed = [(path, _READ_FILE | _READ_DIR) for path in fence.readable]
    for path, rights in [*allowed, (os.devnull, _READ_FILE | _WRITE_FILE), (fence.folder, own)]:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # not there, so nothing to read
            continue
        if not os.path.isdir(path):  # noqa: PTH112
            rights &= _READ_FILE | _WRITE_FILE
        rule = struct.pack("=Qi", rights & every, place)
        _call(f"allow {path}", _libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0))
        os.close(place)
    _call("enter Landlock", _libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def _seccomp(_fence: Fence) -> None:
    code = filter_program(os.uname().machine)
    if code is None:
        raise Unconfined(f"no seccomp filter for {os.uname().machine}")
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    _call("install the seccomp filter", _libc.prctl(PR_SET_SECCOMP, 2, program, 0, 0))


def _call(what: str, result: int) -> None:
    if result != 0:
        raise Unconfined(f"could not {what}: {os.strerror(ctypes.get_errno())}")
