"""Sums of several numbers, with the running total written out."""

import hashlib
import random
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from unmask.config import part
from unmask.tasks.base import TASKS, Problem


@TASKS.register("arithmetic")
@part
class Arithmetic:
    """Numbers to add up from left to right.

    ``17+5+40=`` is answered by ``17+5=22;22+40=62``; only the last number counts. A problem belongs to the test split
    if its hash says so, whatever the seed: splits never overlap.

    Args:
        terms: how many numbers.
        largest: of each number.
    """

    terms: Annotated[int, Field(ge=2)] = 3
    largest: Annotated[int, Field(ge=9)] = 99
    chat: bool | None = False
    default_problems: ClassVar[int | None] = 400

    @model_validator(mode="after")
    def _enough(self) -> "Arithmetic":
        if (self.largest + 1) ** self.terms < 10_000:
            raise ValueError(f"expected at least 10,000 different problems, found {(self.largest + 1) ** self.terms}")
        return self

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Draw different problems."""
        rng = random.Random(f"{split}/{seed}")
        found: dict[str, Problem] = {}
        while len(found) < (size or 1000):
            problem = make_problem([rng.randint(0, self.largest) for _ in range(self.terms)])
            if is_test(problem.prompt) == (split == "test"):
                found.setdefault(problem.prompt, problem)
        return list(found.values())

    def is_right(self, text: str, problem: Problem) -> bool:
        """Compare the number after the last equals sign."""
        return text.strip().rpartition("=")[2] == problem.answer


def make_problem(numbers: list[int]) -> Problem:
    """Write the problem and its solution.

    >>> make_problem([17, 5, 40]).solution
    '17+5=22;22+40=62'
    """
    lines, total = [], numbers[0]
    for number in numbers[1:]:
        lines.append(f"{total}+{number}={total + number}")
        total += number
    prompt = "+".join(map(str, numbers)) + "="
    return Problem(prompt=prompt, solution=";".join(lines), answer=str(total), place=f"arithmetic:{prompt}")


def is_test(prompt: str) -> bool:
    """Give one problem in ten to the test split, by hash."""
    return int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 10 == 0
