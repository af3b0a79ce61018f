"""Whether two mathematical answers are the same: both are read whole, in a process that can safely be killed."""

import atexit
import json
import re
import select
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from unmask.tasks.algebra.notation import spelled, squeezed

_LONGEST, _LONGEST_TEXT = 400, 10_000
_NO_REST = r"[-+*/^=\s,;}]|(?:\\text ?\{ ?)?(?:or|and|but|not|nor|if|is)\b"  # of a choice, no value of its own
_CHOICE = re.compile(rf"(?:\\text ?\{{ ?)?\(?([A-J])\) ?\}}? *(?!{_NO_REST})(.+)", re.DOTALL)
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[ -][^\W\d_]+)*")
_DECIMAL = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)", re.ASCII)
_WAIT = {"start": 120.0, "compare": 30.0}  # seconds of wall time; the process itself is held to seconds of work


def is_equal(expected: str, found: str) -> bool:
    r"""Compare a mathematical answer with the expected one, both as LaTeX or plain text.

    Both are brought to one spelling and read whole; what is not understood to its end is equal only to the same text.
    The expected answer decides what is wanted: its order, its unit, its base. Numbers are compared exactly; a decimal
    may be rounded to a millionth where no decimal is exact. What takes longer than three seconds or more than two
    gigabytes is not equal. ``docs/evaluation.md`` has the rules.

    >>> is_equal("1,000", r"\$1000.00"), is_equal("42", "42.5"), is_equal("5", "5 or more")
    (True, False, False)

    Args:
        expected: the right answer.
        found: the answer to judge.

    Returns:
        Whether they are equal.
    """
    if len(found) > _LONGEST_TEXT or len(expected) > _LONGEST_TEXT:
        return found.strip() == expected.strip() != ""
    found, expected = spelled(found), spelled(expected)
    if not found or not expected:
        return False
    texts = squeezed(expected), squeezed(found)
    if texts[0] == texts[1]:
        return True
    if _WORDS.fullmatch(texts[0]) and texts[0].casefold() == texts[1].casefold():  # two letters may be a product
        return True
    if len(found) > _LONGEST or len(expected) > _LONGEST:
        return False
    choices = _CHOICE.fullmatch(expected), _CHOICE.fullmatch(found)
    if choices[0] and not choices[1]:
        return any(is_equal(part, found) for part in choices[0].groups())
    if choices[1] and not choices[0]:
        return any(is_equal(expected, part) for part in choices[1].groups())
    if _DECIMAL.fullmatch(expected) and _DECIMAL.fullmatch(found):
        return Fraction(expected) == Fraction(found)
    return _VERIFIER.compare(expected, found)


class _Verifier:
    """A process that compares answers; started when first needed, and again after an answer has brought it down."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        atexit.register(self.stop)

    def compare(self, expected: str, found: str) -> bool:
        """Return whether two answers are the same; False where the process ended or ran out of time first."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            line = self._ask(json.dumps([expected, found]))
            if line is None:
                self.stop()
            return line == b"1\n"

    def stop(self) -> None:
        """End the process, if one is running."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                pipe.close()  # type: ignore[union-attr]

    def _start(self) -> None:
        self.stop()
        script = Path(__file__).with_name("verifier.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if self._line(_WAIT["start"]) is None:
            self.stop()
            raise RuntimeError("the process that compares could not be started; is sympy installed?")

    def _ask(self, question: str) -> bytes | None:
        try:
            self._process.stdin.write(question.encode() + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            return None
        return self._line(_WAIT["compare"])

    def _line(self, seconds: float) -> bytes | None:
        out: Any = self._process.stdout  # type: ignore[union-attr]
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([out], [], [], left)[0]:
                return out.readline() or None
        return None


_VERIFIER = _Verifier()
