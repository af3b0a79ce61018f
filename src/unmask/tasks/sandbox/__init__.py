"""A sandbox for code that a model wrote: does it pass its tests?

The answer and its tests run in two separate processes, which share two pipes and nothing else (``wire.py``). Only
the process of the tests can report "passed", and does so after the last test: an answer that exits early, prints what a
checker might print, patches builtins or overrides ``__eq__`` gains nothing. What comes through the pipe is data
(``values.py``): nothing in it is run, named or set, whoever wrote it.

Both processes are fenced in (``confine.py``):

=========  ==================================================================================================
what       how
=========  ==================================================================================================
time       wall time here; processor time as a resource limit
memory     address space as a resource limit, core dumps and locked memory none; first choice of the OOM killer
files      Landlock: read the interpreter and the system's libraries, write plain files in one empty folder
           (working directory, HOME, TMPDIR), which is deleted; size of a file, number of open ones
disk       size and number of all files together, deleted ones that are open or mapped too (``disk.py``); seccomp:
           no file without a name, no space beyond a file's end, nothing else that holds a deleted file
network    seccomp: no sockets, no io_uring; Landlock: no TCP
processes  seccomp: no fork, no exec, no signals, no tracing; threads end with the process
the rest   seccomp: a list of what is refused (``syscalls.py``): watches and leases on files, the kernel's log,
           devices' own calls, clocks, mounts, modules; what all of a user's processes share
secrets    an environment of five variables; no open file but two pipes; /proc is not readable
privilege  no new privileges; root loses its capabilities
=========  ==================================================================================================

It ends everything: the sandbox's own process adopts orphans and ends them, and it ends itself when this process dies.

What ``strict`` does not promise: it is a fence of the same kernel, not another machine, so a hole in the kernel is a
hole in it; code can find out whether any path exists; site-packages can be read; the disk is checked every 20 ms,
and what is written meanwhile comes on top (``SECURITY.md`` has the figures). Without ``strict``, a kernel that lacks
Landlock or seccomp runs the code with what it has, in the worst case with resource limits alone: then code can read and
write the user's files, use the network and start processes as the user. Do that inside a container of your own.
"""

import contextlib
import json
import os
import select
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unmask.config.components import component
from unmask.errors import UserError
from unmask.tasks.sandbox import cage as _cage  # noqa: F401  # keeps its bytecode: the child writes none
from unmask.tasks.sandbox.confine import Fence, what_is_missing

# The child gets this folder as a package of its own, so that it starts without the one above (and torch).
_BOOT = (
    "import sys, types; cage = types.ModuleType('cage'); cage.__path__ = [sys.argv[1]]; sys.modules['cage'] = cage; "
    "from cage.cage import main; main()"
)
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache",
              "/etc/localtime", "/dev/urandom", "/dev/zero")  # fmt: skip


@component
class Limits:
    """Resources that an answer and its tests may use, each.

    Args:
        seconds: wall time of both together.
        cpu_seconds: processor time.
        memory_mib: address space.
        file_mib: size of one file; all together four times as much.
        open_files: how many files may be open at once.
        tasks: threads beyond those that the user has already.
    """

    seconds: float = 10.0
    cpu_seconds: int = 10
    memory_mib: int = 1024
    file_mib: int = 16
    open_files: int = 64
    tasks: int = 32


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the tests passed, and if not, why (``why``; empty if they did)."""

    passed: bool
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Checks:
    """The tests of an answer, and what they need.

    Args:
        before: the tests' own code, run first: imports, helpers.
        names: the names that the tests take from the answer.
        code: the tests; they pass if it ends without an exception.
    """

    before: str = ""
    names: Sequence[str] = ()
    code: str


def run(source: str, tests: Checks, limits: Limits | None = None, *, strict: bool = True) -> Verdict:
    """Run an answer's source and test it.

    Args:
        source: Python that nobody has read.
        tests: what it has to pass.
        limits: time, memory and files; None: the defaults.
        strict: refuse a kernel without Landlock and seccomp.

    Returns:
        Whether the tests passed, and if not, why.

    Raises:
        UserError: this machine has no sandbox, or not a strict one.
    """
    check(strict=strict)
    limits = limits or Limits()
    folder = tempfile.mkdtemp(prefix="unmask-")
    try:
        fence = Fence(
            readable=_readable(), folder=os.path.realpath(folder), strict=strict,
            **{name: value for name, value in asdict(limits).items() if name != "seconds"},
        )  # fmt: skip
        first = {"fence": fence._asdict(), "source": source}
        second = {"before": tests.before, "names": list(tests.names), "tests": tests.code}
        line = _exchange([first, second], folder, limits.seconds)
    finally:
        _remove(folder)
    if not line.endswith(b"\n"):
        return Verdict(passed=False, why="ended or out of time before the tests had passed")
    found = json.loads(line)
    if found["broken"]:
        raise UserError(f"sandbox: {found['broken']}; write 'execute: limits' to run without it, in a container")
    return Verdict(passed=found["passed"], why=found["why"])


def check(*, strict: bool) -> None:
    """Refuse a machine on which generated code can't be run.

    Args:
        strict: whether Landlock and seccomp are required.

    Raises:
        UserError: it is not Linux, or lacks Landlock or seccomp and ``strict`` requires them.
    """
    if sys.platform != "linux":
        raise UserError(
            f"execute: expected Linux, whose kernel confines generated code (Landlock, seccomp), found {sys.platform}; "
            "judge the answers on Linux, a container or WSL 2 will do, or choose a task that runs no code"
        )
    missing = what_is_missing()
    if strict and missing:
        raise UserError(
            f"sandbox: generated code needs {missing}, found none; or write 'execute: limits', in a container"
        )


def _exchange(messages: list[Any], folder: str, seconds: float) -> bytes:
    """Return the one line that the sandbox's process answers the messages with; empty if none came in time."""
    until = time.monotonic() + seconds
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-s", "-P", "-B", "-c", _BOOT, str(Path(__file__).parent)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, env=environment,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            for message in messages:
                data = json.dumps(message).encode()
                process.stdin.write(struct.pack("I", len(data)) + data)
            process.stdin.flush()
        return _line(process.stdout.fileno(), until)
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # the lifeline
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _line(fd: int, until: float) -> bytes:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    line = b""
    while not line.endswith(b"\n"):
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            return b""
        part = os.read(fd, 65536)
        if not part:
            break
        line += part
    return line


def _readable() -> tuple[str, ...]:
    """Return the paths that the interpreter needs to import the standard library and what is installed."""
    paths = sysconfig.get_paths()
    own = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    bases = [str(Path(base) / "lib") for base in (sys.prefix, sys.base_prefix)]
    return tuple(dict.fromkeys([*own, *bases, *_LIBRARIES]))


def _remove(folder: str) -> None:
    def forced(function: Any, path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            Path(path).chmod(0o700)
            function(path)

    shutil.rmtree(folder, onerror=forced)


__all__ = ["Checks", "Limits", "Verdict", "check", "run"]
