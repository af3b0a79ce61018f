"""Whether two mathematical answers are the same: by math-verify, in a process that a bomb may take down."""

import atexit
import json
import math
import re
import select
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

from unmask.tasks.numbers import SPACE, number_of, undressed, without_unit

_LONGEST = 400
_CHOICE = re.compile(
    r"(?:\\(?:text|textbf|mathrm|mathbf)\s*\{)?\(([A-F])\)\}?(?:\\[,;: ]|~|\s)*(?![-+*/^=\s])(.+)", re.DOTALL
)
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar)\s*(?:\{(\d{1,12})\}|(\d))", re.ASCII)
_TOWER = re.compile(r"\d+(?:\s*(?:\^|\*\*)[\s{(]*\d+)+", re.ASCII)
_WORDS = re.compile(r"[^\W\d_]{3,}(?:[ -][^\W\d_]+)*")
_MIXED = re.compile(rf"(?<![\d./^_])(\d{{1,9}})(?:{SPACE})+(\d{{1,9}})/(\d{{1,9}})(?!\d)", re.ASCII)
_SPELLINGS = {r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\varnothing": r"\emptyset"}
_WAIT = {"start": 120.0, "compare": 30.0}  # seconds of wall time; the process itself is held to seconds of work


def is_equal(expected: str, found: str) -> bool:
    r"""Say whether an answer is the expected one, both as LaTeX or plain text.

    The same text is equal, words in any case; of ``(C) 42`` the letter or what follows counts; two decimal numbers are
    compared exactly; an ordered pair is no set; the rest is math-verify's: fractions, roots, tuples, sets, matrices,
    intervals and the inequalities that describe them, expressions (numbers to six digits after the point); units and
    the left side of ``x = 5`` are left aside. What does not parse, takes longer than three seconds or more than two
    gigabytes is not equal.

    >>> is_equal("1,000", r"\$1000.00"), is_equal("42", "42.5")
    (True, False)
    """
    found, expected = undressed(found), undressed(expected)
    if not found or not expected:
        return False
    if _squeezed(found) == _squeezed(expected):
        return True
    if _WORDS.fullmatch(expected) and found.casefold() == expected.casefold():  # two letters may be a product
        return True
    if len(found) > _LONGEST or len(expected) > _LONGEST:
        return False
    if (choice := _CHOICE.fullmatch(found)) and not _CHOICE.fullmatch(expected):
        letter, rest = choice.groups()
        return is_equal(expected, letter) or is_equal(expected, rest)
    found, expected = (_MIXED.sub(_improper, _REPEATING.sub(_fraction, text)) for text in (found, expected))
    numbers = number_of(expected), number_of(without_unit(found))
    if None not in numbers:
        return numbers[0] == numbers[1]
    if is_bomb(expected) or is_bomb(found):
        return False
    if {_opening(expected), _opening(found)} == {"(", "{"}:
        return False
    return _VERIFIER.compare(expected, found)


def is_bomb(text: str) -> bool:
    """Say whether a text plainly names a number too large to write; the process that compares would die of it too.

    >>> is_bomb("9^{9^{9}}"), is_bomb("100000!"), is_bomb("2^{3^{2}}")
    (True, True, False)
    """
    if re.search(r"!\s*[)}]*\s*!", text) or any(len(digits) > 3 for digits in re.findall(r"(\d+)\s*!", text)):
        return True
    for tower in _TOWER.findall(text):
        exponent = 1.0
        for digits in reversed(re.findall(r"\d+", tower)[1:]):
            if len(digits) > 4 or exponent * math.log10(int(digits) + 1) > 4:
                return True
            exponent = float(int(digits) ** int(exponent))
    return False


def _squeezed(text: str) -> str:
    for other, name in _SPELLINGS.items():
        text = text.replace(other, name)
    return re.sub(r"\\[,;:!]|(?<!\d)(?:\\ |\s)|(?:\\ |\s)(?!\d)", "", text)  # 1 4 is not 14


def _fraction(decimal: re.Match[str]) -> str:
    r"""Write ``0.1\overline{6}`` as the fraction that it is."""
    whole, fixed, repeated = decimal[1] or "0", decimal[2], decimal[3] or decimal[4]
    scale = 10 ** len(fixed)
    value = Fraction(int(whole + fixed), scale) + Fraction(int(repeated), scale * (10 ** len(repeated) - 1))
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def _improper(mixed: re.Match[str]) -> str:
    """Write ``1 1/2`` as the fraction that it is."""
    whole, above, below = map(int, mixed.groups())
    return f"\\frac{{{whole * below + above}}}{{{below}}}"


def _opening(text: str) -> str:
    r"""Return ``(`` for what is in parentheses and has a comma, ``{`` for a set."""
    if text.startswith("("):
        return "(" if "," in text else ""
    return "{" if text.startswith("\\{") else ""


class _Verifier:
    """A process that compares, started when first needed and again whenever an answer took it down."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        atexit.register(self.stop)

    def compare(self, expected: str, found: str) -> bool:
        """Compare two answers; False where the process did not live to say."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            line = self._ask(json.dumps([expected, found]))
            if line is None:
                self.stop()
            return line == b"1\n"

    def stop(self) -> None:
        """End the process."""
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
            raise RuntimeError("math-verify could not be started; is it installed?")

    def _ask(self, question: str) -> bytes | None:
        try:
            self._process.stdin.write(question.encode() + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            return None
        return self._line(_WAIT["compare"])

    def _line(self, seconds: float) -> bytes | None:
        out = self._process.stdout  # type: ignore[union-attr]
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([out], [], [], left)[0]:
                return out.readline() or None  # type: ignore[union-attr]
        return None


_VERIFIER = _Verifier()
