"""GSM8K: grade-school maths (arXiv 2110.14168)."""

import re
from pathlib import Path
from typing import ClassVar

from unmask.config import part
from unmask.data import Record, read
from unmask.errors import UserError
from unmask.tasks.base import TASKS, Problem

_MARKS = re.compile(r"<<[^<>]*>>")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@TASKS.register("gsm8k")
@part
class GSM8K:
    """Questions and worked answers that end in ``#### number``.

    The calculator marks ``<<3*4=12>>`` are taken out of the solutions. The last number of a text counts, as in the
    flexible extraction of lm-evaluation-harness; a number after ``####`` or in a box goes first.

    Args:
        path: folder with ``train.jsonl`` and ``test.jsonl`` as released; None: ``openai/gsm8k`` from the hub.
    """

    path: str | None = None
    chat: bool | None = None
    default_problems: ClassVar[int | None] = None

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Read the first ``size`` problems of a split; the seed is not used."""
        del seed
        source = str(Path(self.path).expanduser() / f"{split}.jsonl") if self.path else "openai/gsm8k"
        columns = {"prompt": "question", "completion": "answer"}
        return [_problem(record) for record in read(source, split=split, limit=size, columns=columns)]

    def is_right(self, text: str, problem: Problem) -> bool:
        """Compare numbers by value."""
        found = final_number(text)
        return found is not None and float(found) == float(problem.answer)


def _problem(record: Record) -> Problem:
    if record.fault is not None:
        raise UserError(f"{record.place}: {record.fault}")
    answer = final_number(record.completion)
    if answer is None:
        raise UserError(f"{record.place}: expected an answer that ends with '#### number', found no number")
    return Problem(prompt=record.prompt, solution=_MARKS.sub("", record.completion), answer=answer, place=record.place)


def final_number(text: str) -> str | None:
    r"""Find the number that a solution ends with.

    >>> final_number("so 3 * 4 = 12 #### 1,200")
    '1200'
    >>> final_number(r"it costs $\\boxed{18}$ for 2 days")
    '18'
    """
    marked = re.search(r"####\s*\$?(-?[\d,]*\.?\d+)", text) or re.search(r"\\boxed\{\$?(-?[\d,]*\.?\d+)", text)
    if marked:
        return marked[1].replace(",", "")
    numbers = _NUMBER.findall(text)
    return numbers[-1].replace(",", "") if numbers else None
