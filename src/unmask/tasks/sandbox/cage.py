"""The sandbox's own process: it starts the answer and the tests in two fenced children, and ends whatever is left.

Runs in a bare interpreter. Its standard input carries two messages, the answer and then the tests, and stays open as a
lifeline: when it closes, because time is up or because the parent is gone, all is ended. The verdict of the tests is
the one line on standard output; only the process of the tests holds it.
"""

import ctypes
import json
import os
import select
import signal
import struct
import time
from collections.abc import Callable
from typing import Any

from .confine import Fence, Unconfined, confine, what_is_missing
from .disk import taken
from .guests import MODULE, Guest, serve_guest
from .wire import Hangup, Wire, do, serve

_PR_SET_CHILD_SUBREAPER = 36
_MOST_FILES = 256


def main() -> None:
    """Run one answer and its tests, as read from standard input, and end."""
    parent = os.getpid()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what is orphaned comes back here
    answer = _message()
    fence = Fence(**{**answer["fence"], "readable": tuple(answer["fence"]["readable"])})
    missing = what_is_missing() if fence.strict else None
    if missing:
        _verdict(1, broken=f"expected {missing}")
        return
    ask_read, ask_write = os.pipe()
    reply_read, reply_write = os.pipe()
    # The answer's process is split off before the tests are read, so they were never in its memory.
    first = _child(lambda: _run_answer(ask_read, reply_write, fence, answer, parent=parent))
    tests = _message()
    second = _child(lambda: _run_tests(reply_read, ask_write, fence, tests, parent=parent))
    for fd in (ask_read, ask_write, reply_read, reply_write, 1):
        os.close(fd)
    try:
        _watch(second, first, fence)
    finally:
        _end({first, second})


def _message() -> Any:
    header = _exactly(4)
    return json.loads(_exactly(struct.unpack("I", header)[0]))


def _exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part:
            raise SystemExit
        data += part
    return data


def _child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    finally:
        os._exit(0)


def _run_answer(read: int, write: int, fence: Fence, request: Any, *, parent: int) -> None:
    names: dict[str, Any] = {"__name__": "answer"}
    wire = Wire(read, write, respond=lambda question: do(question, names), remote=Guest)
    try:
        confine(fence, (read, write), parent)
    except Unconfined as error:
        wire.send(("raised", "Unconfined", str(error), []))
        return
    os.chdir(fence.folder)
    wire.send(("value", "confined", []))
    serve(wire, names, request["source"])


def _run_tests(read: int, write: int, fence: Fence, request: Any, *, parent: int) -> None:
    wire, out = Wire(read, write, respond=serve_guest), 1
    try:
        confine(fence, (read, write, out), parent)
        wire.answer()
    except (Unconfined, RuntimeError) as error:
        _verdict(out, broken=str(error).removeprefix("Unconfined: "))
        return
    except Hangup:
        _verdict(out, why="ended before it was asked")
        return
    os.chdir(fence.folder)
    out = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # what tests print is no verdict
    try:
        names: dict[str, Any] = {"__name__": MODULE}
        exec(compile(request["before"], "before.py", "exec"), names)
        wire.answer()  # the answer has been run
        for name in request["names"]:
            names[name] = wire.ask("name", name)
        exec(compile(request["tests"], "tests.py", "exec"), names)
    except Hangup:
        _verdict(out, why="the process of the answer ended")
    except BaseException as error:
        _verdict(out, why=f"{type(error).__name__}: {error}"[:500])
    else:  # tests that expect an error may have taken the end of the answer for one
        _verdict(out, passed=not wire.has_ended, why="the process of the answer ended" if wire.has_ended else "")


def _verdict(fd: int, *, passed: bool = False, why: str = "", broken: str = "") -> None:
    os.write(fd, json.dumps({"passed": passed, "why": why, "broken": broken}).encode() + b"\n")


def _watch(tests: int, answer: int, fence: Fence) -> None:
    """Wait until the tests have ended, the lifeline is cut, or a limit is passed that the kernel does not enforce."""
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    while True:
        if poll.poll(20):  # nothing more is ever sent, so it has been closed
            return
        if _has_ended(tests) or _is_over(fence, (answer, tests)) or _has_too_many_threads(answer, fence):
            return


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _has_too_many_threads(child: int, fence: Fence) -> bool:
    """Return whether a child has more threads than allowed; the resource limit does not bind root."""
    try:
        return len(os.listdir(f"/proc/{child}/task")) > fence.tasks + 1  # noqa: PTH208
    except OSError:  # it has ended
        return False


def _is_over(fence: Fence, children: tuple[int, int]) -> bool:
    """Return whether the files are too many or too large together, with those that are deleted and still open."""
    largest = fence.file_mib * 2**20
    files, size = taken(fence.folder, children, largest)
    return files > _MOST_FILES or size > 4 * largest


def _end(children: set[int]) -> None:
    """End all descendants; orphans among them have become children."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        children = _children()
        time.sleep(0.001)


def _children() -> set[int]:
    found = set()
    for name in os.listdir("/proc"):  # noqa: PTH208  # no pathlib: the child starts fast
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                parent = file.read().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue
        if parent == str(os.getpid()):
            found.add(int(name))
    return found
