"""Renders chat templates in a child process, under limits: a template is a program by the tokenizer's author.

A template may take 512 MiB of memory, write a million characters and eight for each that it is given, and use 2 s of
processor time, of which 50 ms for each rendering and 1 s for each million characters given are returned. The child is
started once and reused; it ends with this process.
"""

import atexit
import math
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from unmask.errors import UserError, shorten

MEBIBYTES = 512
SECONDS, REFILL = 2.0, 0.05
LONGEST_SOURCE, LONGEST_TEXT = 1_000_000, 1_000_000
WALL = 60.0  # seconds, for a child that gets no processor time
_RUN = "import runpy, sys; sys.path += sys.argv[3:]; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
_SLOW = f"it took more than {SECONDS:g} s of processor time"
_DONE, _REFUSED, _STOPPED = b"d", b"r", b"s"
_HEAD = struct.Struct("=Qdc")


class TemplateRefusedError(UserError):
    """The template raised an error, or cannot be compiled; ``reason`` is its own message, or jinja2's."""

    def __init__(self, reason: str, name: str) -> None:
        self.reason = shorten(reason)
        super().__init__(f"the chat template of {_named(name)} does not render these turns: {self.reason}")


class TemplateStoppedError(UserError):
    """The template exceeded a limit of time, memory or length."""

    def __init__(self, reason: str, name: str) -> None:
        super().__init__(f"the chat template of {_named(name)} was stopped: {reason}; use another template")


def _named(name: str) -> str:
    return f"'{shorten(name, 100)}'" if name else "the tokenizer"


class Worker:
    """The child process; started at the first rendering, and again after a template ended it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.sent: dict[str, int] = {}
        self.left: dict[str, float] = {}

    def render(self, source: str, values: Mapping[str, Any], name: str) -> str:
        """Return the text that a template renders.

        Args:
            source: of the template.
            values: its variables: plain values that can be pickled.
            name: of the tokenizer that it belongs to, for messages.

        Returns:
            The text.

        Raises:
            TemplateRefusedError: the template cannot be compiled, or raises an error.
            TemplateStoppedError: it exceeds a limit.
        """  # noqa: DOC503
        if len(source) > LONGEST_SOURCE:
            raise TemplateStoppedError(f"it has {len(source):,} characters, more than {LONGEST_SOURCE:,}", name)
        packed = pickle.dumps(dict(values), protocol=5)
        with self.lock:
            seconds = min(SECONDS, self.left.get(source, SECONDS) + REFILL + len(packed) / 1e6)
            if seconds <= 0:
                raise TemplateStoppedError(_SLOW, name)
            self.left[source] = seconds
            letter, used, text = self._ask(source, packed, seconds)
            self.left[source] -= used
        if letter == _DONE:
            return text
        raise (TemplateRefusedError if letter == _REFUSED else TemplateStoppedError)(text, name)

    def close(self) -> None:
        """End the child process; the next rendering starts another."""
        process, self.process, self.sent = self.process, None, {}
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what was not sent yet
                    pipe.close()  # type: ignore[union-attr]
            process.wait()

    def _ask(self, source: str, packed: bytes, seconds: float) -> tuple[bytes, float, str]:
        if self.process is None or self.process.poll() is not None:
            self.close()
            self.process = _start()
        is_new = source not in self.sent
        key = self.sent.setdefault(source, len(self.sent))
        longest = LONGEST_TEXT + 8 * len(packed)
        body = pickle.dumps((key, source if is_new else None, longest, packed), protocol=5)
        try:
            self.process.stdin.write(struct.pack("=Qd", len(body), seconds) + body)  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
            size, used, letter = _HEAD.unpack(self._read(_HEAD.size))
            text = self._read(size).decode("utf-8", "surrogatepass")
        except (OSError, EOFError):
            reason = self._ended()
            self.close()
            return _STOPPED, math.inf if reason == _SLOW else 0.0, reason
        except BaseException:  # an interrupt: no caller reads what the child still sends
            self.close()
            raise
        if letter != _DONE and is_new:
            del self.sent[source]  # it may not have been compiled
        return letter, used, text

    def _read(self, size: int) -> bytes:
        found, until = bytearray(), time.monotonic() + WALL
        file = self.process.stdout.fileno()  # type: ignore[union-attr]
        while len(found) < size:
            trained = _read_some(file, min(size - len(found), 1 << 20), until - time.monotonic())
            if not trained:
                raise EOFError
            found += trained
        return bytes(found)

    def _ended(self) -> str:
        """Return why there was no answer."""
        try:
            code = self.process.wait(5)  # type: ignore[union-attr]
        except subprocess.TimeoutExpired:
            return f"it gave no answer in {WALL:g} s"
        names = {int(number): number.name for number in signal.Signals}
        if names.get(-code) == "SIGPROF":  # Windows has no such signals
            return _SLOW
        if names.get(-code) in ("SIGKILL", "SIGABRT"):
            return f"it took more than {MEBIBYTES} MiB of memory"
        return f"its process ended with {code}"


def _read_some(file: int, most: int, seconds: float) -> bytes:
    """Return what a pipe has, at most ``most`` bytes; none at its end or if nothing comes in time."""
    if hasattr(select, "poll"):
        ready = select.poll()
        ready.register(file, select.POLLIN)
        return os.read(file, most) if ready.poll(1000 * max(0.0, seconds)) else b""
    found: list[bytes] = []  # Windows: a pipe cannot be waited for, so a thread reads it and may be left behind
    reader = threading.Thread(target=lambda: found.append(os.read(file, most)), daemon=True)
    reader.start()
    reader.join(max(0.0, seconds))
    return found[0] if found else b""


def _start() -> "subprocess.Popen[bytes]":
    import jinja2
    import markupsafe

    sources = sorted({str(Path(str(module.__file__)).parents[1]) for module in (jinja2, markupsafe)})
    script = Path(__file__).with_name("template_worker.py")
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-c", _RUN, str(script), str(MEBIBYTES), *sources],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"chat templates run in a process of their own, found that none starts: {error}") from error


_WORKER = Worker()
_PARENTS: list[Worker] = []


def render(source: str, values: Mapping[str, Any], *, name: str = "") -> str:
    """Return the text that a chat template renders, in the child process.

    Args:
        source: of the template.
        values: its variables: plain values that can be pickled.
        name: of the tokenizer that it belongs to, for messages.

    Returns:
        The text.

    Raises:
        TemplateRefusedError: the template cannot be compiled, or raises an error.
        TemplateStoppedError: it exceeds a limit.
    """  # noqa: DOC502
    return _WORKER.render(source, values, name)


def _forget() -> None:
    """Use a new child after a fork: two processes cannot share a pipe."""
    global _WORKER
    _PARENTS.append(_WORKER)
    _WORKER = Worker()


os.register_at_fork(after_in_child=_forget)
atexit.register(lambda: _WORKER.close())
