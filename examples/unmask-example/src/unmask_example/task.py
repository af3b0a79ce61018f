"""A task: problems, and when an answer is right."""

import random
from typing import Annotated, ClassVar

from pydantic import Field

from unmask.config import component
from unmask.tasks import TASKS, Problem
from unmask.tasks.base import draw


@TASKS.register("backwards")
@component
class Backwards:
    """Digits to write backwards: ``4718=`` is answered by ``8174``.

    Args:
        length: digits of a problem.

    Source: unpublished
    """

    length: Annotated[int, Field(ge=2)] = 6
    chat: bool | None = False  # the prompt is put to the model as it is, without a chat template
    default_problems: ClassVar[int | None] = 400

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return different problems; ``draw`` sees to it that no problem is in both splits."""
        rng = random.Random(f"{split}/{seed}")

        def make() -> tuple[str, Problem]:
            digits = "".join(rng.choice("0123456789") for _ in range(self.length))
            answer = digits[::-1]
            return digits, Problem(prompt=f"{digits}=", solution=answer, answer=answer, source=f"backwards:{digits}")

        return draw(make, split=split, size=size or 1000, remedy="ask for fewer, or raise length of the task")

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the text is the answer, but for spaces around it."""
        return text.strip() == problem.answer
