"""Sort digits by merging, written out: every line merges runs twice as long."""

import random
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from unmask.config.components import component
from unmask.tasks.base import TASKS, Chat, Problem, draw


@TASKS.register("sorting")
@component
class Sorting:
    """Digits to sort, and every pass of a bottom-up merge sort.

    ``73915284=`` is answered by ``37192548|13792458|12345789``: runs of two, runs of four, all. Only the last pass
    counts.

    Args:
        shortest: digits of the smallest problems.
        longest: digits of the largest.
    """

    shortest: Annotated[int, Field(ge=2)] = 8
    longest: Annotated[int, Field(ge=2)] = 8
    chat: Chat = False
    default_problems: ClassVar[int | None] = 400

    @model_validator(mode="after")
    def _ordered(self) -> "Sorting":
        if self.shortest > self.longest:
            raise ValueError(f"expected shortest up to longest={self.longest}, found {self.shortest}")
        return self

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return ``size`` different problems of a split (None: 1000), drawn from ``seed``; lengths are uniform."""
        rng = random.Random(f"{split}/{seed}")

        def make() -> tuple[str, Problem]:
            length = rng.randint(self.shortest, self.longest)
            digits = "".join(rng.choice("0123456789") for _ in range(length))
            return digits, make_problem(digits)

        return draw(make, split=split, size=size or 1000, remedy="ask for fewer, or raise longest of the task")

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the text after the last bar is the sorted digits."""
        return text.strip().rpartition("|")[2] == problem.answer


def passes(digits: str) -> list[str]:
    """Return the digits after each pass of a bottom-up merge sort.

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
    """Return the problem of sorting these digits, its solution written out."""
    lines = passes(digits)
    return Problem(prompt=f"{digits}=", solution="|".join(lines), answer=lines[-1], source=f"sorting:{digits}")
