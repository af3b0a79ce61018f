"""Countdown: combine given numbers with ``+ - * /`` to reach a target."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Annotated, ClassVar

from pydantic import Field

from unmask.config.components import component
from unmask.errors import UserError
from unmask.tasks.base import TASKS, Chat, Problem, check_split, draw
from unmask.tasks.expressions import evaluate
from unmask.tasks.extract import fences, last_box, last_phrase, last_tag
from unmask.tasks.published import Row, problems_of, source_of, text_of


@dataclass(frozen=True, kw_only=True)
class Numbers(Problem):
    """A problem of Countdown: use each of ``numbers`` once to reach ``target``."""

    numbers: tuple[int, ...]
    target: int


@TASKS.register("countdown")
@component
class Countdown:
    r"""Reach a number with given ones and ``+ - * /``, each number exactly once.

    The expression is what stands in the last balanced ``\boxed{}``, else in the last ``<answer>`` tag, else in the
    last fenced block, else after the last "answer is", else the last line that is not empty. ``(8 - 2) * 3`` may be
    followed by ``= 18`` or follow ``18 =`` (then that must hold too), and may be written in LaTeX. It is evaluated
    exactly, by a parser that knows nothing else. ``valid`` counts expressions that use each number exactly once,
    whatever they come to.

    Args:
        path: a file with ``input`` ("3,7,12") and ``output`` (the target), or ``nums`` (``[3, 7, 12]``, as in
            ``Jiayi-Pan/Countdown-Tasks-3to4``) and ``target``, or a folder with ``test.jsonl`` (and
            ``train.jsonl``); a file itself is the test split. None: problems are drawn.
        numbers: how many, of drawn problems.
        largest: of drawn numbers and targets.
        words: ask in words and box the answer; else ``3,7,12=22:`` is answered by the bare expression.
    """

    path: str | None = None
    numbers: Annotated[int, Field(ge=3, le=5)] = 3
    largest: Annotated[int, Field(ge=20)] = 99
    words: bool = True
    chat: Chat = None
    default_problems: ClassVar[int | None] = 256

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return the first ``size`` problems of the file (None: all), or ``size`` drawn from ``seed`` (None: 1000)."""
        check_split(split, only_test="countdown with a file" if self.path and _is_file(self.path, split) else None)
        if self.path:
            return list(problems_of(source_of(self.path, split), self._read, size=size))
        rng = random.Random(f"{split}/{seed}")

        def make() -> tuple[str, Problem]:
            while True:
                numbers = [rng.randint(1, self.largest) for _ in range(self.numbers)]
                text, value = _combined(numbers, rng)
                if value.denominator == 1 and 1 <= value <= self.largest:
                    problem = self._problem(tuple(numbers), int(value), text, f"countdown:{numbers}")
                    return f"{sorted(numbers)} {value}", problem

        return draw(
            make, split=split, size=size or 1000, remedy="ask for fewer, or raise numbers or largest of the task"
        )

    def _read(self, source: str, row: Row) -> Problem:
        nums = row.get("nums")
        row = {**row, "nums": ",".join(map(str, nums))} if isinstance(nums, (list, tuple)) else row
        given, target = text_of(row, source, "input", "nums"), text_of(row, source, "output", "target")
        given = given.strip().removeprefix("[").removesuffix("]")
        if not re.fullmatch(r"\s*\d{1,6}(\s*,\s*\d{1,6}){1,5}\s*", given) or not re.fullmatch(r"\s*\d{1,9}\s*", target):
            found = f"'{given[:40]}' and '{target[:20]}'"
            raise UserError(f"{source}: expected two to six numbers and a target, found {found}; mend the row")
        numbers = tuple(int(n) for n in given.split(","))
        text = solve(numbers, int(target))
        if text is None:
            raise UserError(f"{source}: expected numbers that reach {target.strip()}, found {given}; leave the row out")
        return self._problem(numbers, int(target), text, source)

    def _problem(self, numbers: tuple[int, ...], target: int, text: str, source: str) -> Problem:
        short = f"{','.join(map(str, numbers))}={target}:"
        question = (
            f"Use the numbers {', '.join(map(str, numbers))} to make {target}. You may use +, -, *, / and parentheses, "
            f"and each number exactly once. Put the final expression within \\boxed{{}}."
        )
        return Numbers(
            prompt=question if self.words else short,
            solution=f"\\boxed{{{text}}}" if self.words else text,
            answer=text,
            source=source,
            numbers=numbers,
            target=target,
        )

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the expression uses each number exactly once and equals the target exactly."""
        value = _judged(text, problem)
        return value is not None and isinstance(problem, Numbers) and value == problem.target

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return ``valid``: 1.0 if each number is used exactly once, whatever the value, else 0.0."""
        return {"valid": float(_judged(text, problem) is not None)}


def _is_file(path: str, split: str) -> bool:
    return split == "train" and "." in path.rpartition("/")[2] and source_of(path, split) == path


def _judged(text: str, problem: Problem) -> Fraction | None:
    """Return the value of an answer that uses exactly the given numbers, else None."""
    if not isinstance(problem, Numbers):
        raise TypeError(f"expected a problem of Countdown, found {problem.source}")
    fenced = [content for _, content in fences(text)]
    answer = last_box(text) or last_tag(text) or (fenced and _last_line(fenced[-1])) or last_phrase(text)
    answer = answer or _last_line(text)
    sides = answer.strip(" \t\n*`").rstrip(" *`.").split("=")
    found = [evaluate(side) for side in sides]
    values = {side[0] for side in found if side}
    uses_all = any(side and sorted(side[1]) == sorted(problem.numbers) for side in found)
    return values.pop() if uses_all and None not in found and len(values) == 1 else None


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def solve(numbers: Sequence[int], target: int | Fraction) -> str | None:
    """Return an expression of all the numbers that equals the target, or None if there is none; every one is tried.

    >>> solve([3, 7, 12], 22), solve([1, 1], 7)
    ('3+7+12', None)
    """
    return _search([(str(n), Fraction(n), "") for n in numbers], target)


def _search(terms: list[tuple[str, Fraction, str]], target: int | Fraction) -> str | None:
    if len(terms) == 1:
        return terms[0][0] if terms[0][1] == target else None
    for i, j in combinations(range(len(terms)), 2):
        rest = [term for k, term in enumerate(terms) if k not in (i, j)]
        for sign, first, second in [*((s, i, j) for s in "+-*/"), ("-", j, i), ("/", j, i)]:
            made = _joined(terms[first], sign, terms[second])
            found = made and _search([made, *rest], target)
            if found:
                return found
    return None


def _joined(
    left: tuple[str, Fraction, str], sign: str, right: tuple[str, Fraction, str]
) -> tuple[str, Fraction, str] | None:
    """Return ``left sign right`` with the parentheses it needs, its value and sign; None for a division by 0."""
    if sign == "/" and right[1] == 0:
        return None
    value = {
        "+": left[1] + right[1], "-": left[1] - right[1], "*": left[1] * right[1],
        "/": left[1] / right[1] if right[1] else left[1],
    }[sign]  # fmt: skip
    loose = ("+", "-")
    first = f"({left[0]})" if sign in "*/" and left[2] in loose else left[0]
    tight = (sign in "*/" and right[2] in loose) or (sign == "-" and right[2] in loose) or (sign == "/" and right[2])
    second = f"({right[0]})" if tight else right[0]
    return f"{first}{sign}{second}", value, sign


def _combined(numbers: Sequence[int], rng: random.Random) -> tuple[str, Fraction]:
    """Return an expression that joins the numbers at random, and its value."""
    terms = [(str(n), Fraction(n), "") for n in numbers]
    while len(terms) > 1:
        rng.shuffle(terms)
        made = _joined(terms[0], rng.choice("+-*/"), terms[1])
        terms = [made, *terms[2:]] if made else terms
    return terms[0][0], terms[0][1]
