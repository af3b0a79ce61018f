"""AIME: the American Invitational Mathematics Examinations of 2024 and 2025."""

from fractions import Fraction
from typing import ClassVar

from unmask.config.components import component
from unmask.errors import UserError
from unmask.tasks.base import TASKS, Chat, Problem, check_split
from unmask.tasks.extract import boxed
from unmask.tasks.math500 import BOXED, final_answer, instructed
from unmask.tasks.numbers import number_of, without_unit
from unmask.tasks.published import Row, problems_of, source_of, text_of

_LONGEST = 200


class _AIME:
    """The behaviour that both years share; subclasses set the data set and the fields."""

    name: ClassVar[str]
    hub: ClassVar[tuple[str, str]]
    default_problems: ClassVar[int | None] = None
    path: str | None
    instruction: str

    @property
    def on_hub(self) -> bool:
        """Whether the problems are read from the hub, over the network."""
        return self.path is None

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return the first ``size`` problems of the test split, the only one; None: all. ``seed`` is not used."""
        del seed
        check_split(split, only_test=self.name)
        data, hub_split = self.hub
        source = source_of(self.path, self.name) if self.path else data
        return problems_of(source, self._problem, split=hub_split, size=size)

    def _problem(self, source: str, row: Row) -> Problem:
        answer = text_of(row, source, "answer")
        number = number_of(answer)
        if number is None or number.denominator != 1:
            raise UserError(f"{source}: expected a whole number under 'answer', found '{answer[:40]}'; mend the row")
        return Problem(
            prompt=instructed(text_of(row, source, "question", "problem"), self.instruction),
            solution=f"\\boxed{{{number}}}",
            answer=str(number),
            source=source,
        )

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the final answer is a number equal to the expected one."""
        return _value(final_answer(text)) == Fraction(problem.answer)

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return ``boxed``: 1.0 if a box holds the right number, else 0.0."""
        return {"boxed": float(_value(boxed(text)) == Fraction(problem.answer))}


@TASKS.register("aime24")
@component
class AIME24(_AIME):
    r"""AIME 2024: 30 problems, answers from 0 to 999.

    The answer is found as in ``math500`` and compared by value: ``033`` is 33. ``boxed`` counts numbers in a box only.

    Args:
        path: a file with ``question`` (or ``problem``) and ``answer``, or a folder with ``aime24.jsonl``; None:
            ``HuggingFaceH4/aime_2024`` from the hub.
        instruction: written under each problem; empty: none.
    """

    hub: ClassVar[tuple[str, str]] = ("HuggingFaceH4/aime_2024", "train")
    path: str | None = None
    instruction: str = BOXED
    chat: Chat = None


@TASKS.register("aime25")
@component
class AIME25(_AIME):
    r"""AIME 2025: 30 problems, answers from 0 to 999; judged as ``aime24``.

    Args:
        path: a file with ``question`` (or ``problem``) and ``answer``, or a folder with ``aime25.jsonl``; None:
            ``math-ai/aime25`` from the hub.
        instruction: written under each problem; empty: none.
    """

    hub: ClassVar[tuple[str, str]] = ("math-ai/aime25", "test")
    path: str | None = None
    instruction: str = BOXED
    chat: Chat = None


def _value(answer: str | None) -> Fraction | None:
    r"""Return the number of an answer: of ``m + n = 33`` the right side, of ``33 \text{ ways}`` 33; else None."""
    if answer is None:
        return None
    answer = without_unit(answer[-_LONGEST:])
    number = number_of(answer)
    return number_of(answer.rpartition("=")[2]) if number is None else number
