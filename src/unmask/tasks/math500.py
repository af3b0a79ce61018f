r"""MATH500: competition mathematics (arXiv 2103.03874; the 500 problems of arXiv 2305.20050)."""

from typing import ClassVar

from unmask.config.components import component
from unmask.tasks.base import TASKS, Chat, Problem, check_split
from unmask.tasks.equal import is_equal
from unmask.tasks.extract import boxed, last_phrase, last_tag
from unmask.tasks.published import Row, problems_of, source_of, text_of
from unmask.tasks.thinking import without_thinking

BOXED = "Reason step by step, and put your final answer within \\boxed{}."


@TASKS.register("math500")
@component
class Math500:
    r"""Competition mathematics: 500 problems of MATH, answers as LaTeX.

    The answer is what stands in the last balanced ``\boxed{}``, or in several with nothing but commas and "and"
    between them; without a box, in the last ``<answer>`` tag, or else what follows the last "answer is" or "Final
    Answer". It is compared as mathematics (``tasks/equal.py``). ``boxed`` counts answers in a box only.

    Args:
        path: a file with ``problem``, ``solution`` and ``answer``, or a folder with ``test.jsonl``; None:
            ``HuggingFaceH4/MATH-500`` from the hub.
        instruction: written under each problem; empty: none.
    """

    path: str | None = None
    instruction: str = BOXED
    chat: Chat = None
    default_problems: ClassVar[int | None] = None

    @property
    def on_hub(self) -> bool:
        """Whether the problems are read from the hub, over the network."""
        return self.path is None

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return the first ``size`` problems of the test split, the only one; None: all. ``seed`` is not used."""
        del seed
        check_split(split, only_test="math500")
        source = source_of(self.path, split) if self.path else "HuggingFaceH4/MATH-500"
        return problems_of(source, self._problem, size=size)

    def _problem(self, source: str, row: Row) -> Problem:
        return Problem(
            prompt=instructed(text_of(row, source, "problem", "question"), self.instruction),
            solution=text_of(row, source, "solution"),
            answer=text_of(row, source, "answer"),
            source=source,
        )

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the final answer is mathematically equal to the expected one."""
        found = final_answer(text)
        return found is not None and is_equal(problem.answer, found)

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return ``boxed``: 1.0 if a box holds the right answer, else 0.0."""
        found = boxed(text)
        return {"boxed": float(found is not None and is_equal(problem.answer, found))}


def instructed(question: str, instruction: str) -> str:
    """Return a question with an instruction under it; the question alone if the instruction is empty."""
    return f"{question}\n\n{instruction}" if instruction else question


def final_answer(text: str) -> str | None:
    r"""Return the final answer of a text, outside its thinking: boxed, tagged, or after "the answer is"; else None.

    >>> final_answer(r"First \boxed{3}. No, the answer is \boxed{x^{2}}.")
    'x^{2}'
    >>> final_answer("The answer is 42.")
    '42'
    """
    text = without_thinking(text)
    tagged = last_tag(text)
    return boxed(text) or (tagged and last_phrase(tagged)) or tagged or last_phrase(text)
