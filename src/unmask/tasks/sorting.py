"""Sort digits by merging, written out: every line merges runs twice as long."""

import hashlib
import random
from typing import Annotated, ClassVar

from pydantic import Field

from unmask.config import part
from unmask.tasks.base import TASKS, Problem


@TASKS.register("sorting")
@part
class Sorting:
    """Digits to sort, and every pass of a bottom-up merge sort.

    ``73915284=`` is answered by ``37192548|13792458|12345789``: runs of two, runs of four, all. Only the last pass
    counts. A problem belongs to the test split if its hash says so, whatever the seed: splits never overlap.

    Args:
        shortest: digits of the smallest problems.
        longest: digits of the largest.
    """

    shortest: Annotated[int, Field(ge=2)] = 8
    longest: Annotated[int, Field(ge=2)] = 8
    chat: bool | None = False
    default_problems: ClassVar[int | None] = 400

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Draw different problems; lengths are uniform."""
        rng = random.Random(f"{split}/{seed}")
        found: dict[str, Problem] = {}
        while len(found) < (size or 1000):
            digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(self.shortest, self.longest)))
            if is_test(digits) == (split == "test"):
                found.setdefault(digits, make_problem(digits))
        return list(found.values())

    def is_right(self, text: str, problem: Problem) -> bool:
        """Compare the last pass."""
        return text.strip().rpartition("|")[2] == problem.answer


def passes(digits: str) -> list[str]:
    """Write the passes of a bottom-up merge sort.

    >>> passes("73915")
    ['37195', '13795', '13579']
    """
    lines, width = [], 1
    while width < len(digits):
        width *= 2
        digits = "".join("".join(sorted(digits[i : i + width])) for i in range(0, len(digits), width))
        lines.append(digits)
    return lines


def make_problem(digits: str) -> Problem:
    """Write the problem and its solution."""
    lines = passes(digits)
    return Problem(prompt=f"{digits}=", solution="|".join(lines), answer=lines[-1], place=f"sorting:{digits}")


def is_test(digits: str) -> bool:
    """Give one problem in ten to the test split, by hash."""
    return int(hashlib.sha256(digits.encode()).hexdigest(), 16) % 10 == 0
