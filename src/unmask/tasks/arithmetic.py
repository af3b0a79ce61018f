"""Sums of several numbers, with the running total written out."""

import random
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from unmask.config.components import component
from unmask.tasks.base import TASKS, Chat, Problem, draw


@TASKS.register("arithmetic")
@component
class Arithmetic:
    """Numbers to add up from left to right.

    ``17+5+40=`` is answered by ``17+5=22;22+40=62``; only the last number counts.

    Args:
        terms: count of numbers to add.
        largest: largest value of each number.
    """

    terms: Annotated[int, Field(ge=2)] = 3
    largest: Annotated[int, Field(ge=9)] = 99
    chat: Chat = False
    default_problems: ClassVar[int | None] = 400

    @model_validator(mode="after")
    def _enough(self) -> "Arithmetic":
        count = (self.largest + 1) ** self.terms
        if count < 10_000:
            raise ValueError(f"expected terms and largest that give 10,000 different problems, found {count}")
        return self

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return ``size`` different problems of a split (None: 1000), drawn from ``seed``."""
        rng = random.Random(f"{split}/{seed}")

        def make() -> tuple[str, Problem]:
            problem = make_problem([rng.randint(0, self.largest) for _ in range(self.terms)])
            return problem.prompt, problem

        remedy = "ask for fewer, or raise terms or largest of the task"
        return draw(make, split=split, size=size or 1000, remedy=remedy)

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the text after the last equals sign is the sum."""
        return text.strip().rpartition("=")[2] == problem.answer


def make_problem(numbers: list[int]) -> Problem:
    """Return the problem of adding these numbers, its solution written out.

    >>> make_problem([17, 5, 40]).solution
    '17+5=22;22+40=62'
    """
    lines, total = [], numbers[0]
    for number in numbers[1:]:
        lines.append(f"{total}+{number}={total + number}")
        total += number
    prompt = "+".join(map(str, numbers)) + "="
    return Problem(prompt=prompt, solution=";".join(lines), answer=str(total), source=f"arithmetic:{prompt}")
