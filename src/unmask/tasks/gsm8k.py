"""GSM8K: grade-school maths (arXiv 2110.14168)."""

import re
from pathlib import Path
from typing import ClassVar

from unmask.config import part
from unmask.data import Record, read
from unmask.errors import UserError
from unmask.tasks.base import TASKS, Problem, check_split
from unmask.tasks.extract import last_box, last_tag

_MARKS = re.compile(r"<<[^<>]*>>")
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(rf"(?:(?<![\w)])-\$?)?(?:{_DIGITS})")  # the minus of "3-5" is none
# What may stand between the mark and the number: a name or a sum and its "=", and what makes letters bold.
_SIGNS = r"[-+*/×÷x]|\\(?:times|cdot|div)"
_SUM = rf"(?:[\d\s.,$()]{{1,20}}(?:{_SIGNS})(?:[\d\s.,$()]|{_SIGNS}){{0,60}}=\s*)*"
_FINAL = rf"\s*(?:[A-Za-z ]{{1,20}}=\s*)?{_SUM}(?:\\(?:text|math)\w*\{{\s*|\*\*)?(-?(?:\\?\$)?-?(?:{_DIGITS}))"
_MARKED, _BOXED = re.compile("####" + _FINAL), re.compile(_FINAL)
_THIN_SPACE = re.compile(r"\\!|(?<=\d)\\[,:;](?=\d{3}(?!\d))")


@TASKS.register("gsm8k")
@part
class GSM8K:
    """Questions and worked answers that end in ``#### number``.

    The calculator marks ``<<3*4=12>>`` are taken out of the solutions. The last number of a text counts, as in the
    flexible extraction of lm-evaluation-harness; the number after the first ``####`` goes first (of a sum, what it
    comes to), then that in the last box, then the last in an ``<answer>`` tag. Beside it, ``strict`` counts only a
    number after ``####``.

    Args:
        path: folder with ``train.jsonl`` and ``test.jsonl`` as released; None: ``openai/gsm8k`` from the hub.
    """

    path: str | None = None
    chat: bool | None = None
    default_problems: ClassVar[int | None] = None

    @property
    def on_hub(self) -> bool:
        """Whether reading it asks the network."""
        return self.path is None

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Read the first ``size`` problems of a split; the seed is not used."""
        del seed
        check_split(split)
        source = str(Path(self.path).expanduser() / f"{split}.jsonl") if self.path else "openai/gsm8k:main"
        columns = {"prompt": "question", "completion": "answer"}
        found = [_problem(record) for record in read(source, split=split, limit=size, columns=columns)]
        if size and len(found) < size:
            raise UserError(f"{source}: expected {size} problems, found {len(found)}; ask for at most {len(found)}")
        return found

    def is_right(self, text: str, problem: Problem) -> bool:
        """Compare numbers by value."""
        found = final_number(text)
        return found is not None and float(found) == float(problem.answer)

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return ``strict``: whether the number after the first ``####`` is right, as in the harness."""
        _, mark, after = text.partition("####")
        number = re.match(rf"\s*(-?(?:\\?\$)?-?(?:{_DIGITS}))", after) if mark else None
        return {"strict": float(number is not None and self.is_right(f"#### {number[1]}", problem))}


def _problem(record: Record) -> Problem:
    if record.fault is not None:
        raise UserError(f"{record.place}: {record.fault.detail}; mend it, or leave the row out of the file")
    answer = final_number(record.completion)
    if answer is None:
        raise UserError(
            f"{record.place}: expected an answer that ends with '#### number', found no number; mend the row"
        )
    return Problem(prompt=record.prompt, solution=_MARKS.sub("", record.completion), answer=answer, place=record.place)


def final_number(text: str) -> str | None:
    r"""Find the number that a solution ends with.

    >>> final_number("so 3 * 4 = 12 #### 1,200")
    '1200'
    >>> final_number(r"it costs $\boxed{18}$ for 2 days")
    '18'
    >>> final_number(r"\boxed{3 \times 6 = 18}, <answer>17</answer>")
    '18'
    >>> final_number("from 3-5 days")
    '5'
    """
    text = text.replace("\N{MINUS SIGN}", "-").replace("{,}", ",")
    text = _THIN_SPACE.sub("", text)
    marked = _MARKED.search(text) or _BOXED.match(last_box(text) or "")
    numbers = [marked[1]] if marked else _NUMBER.findall(last_tag(text) or "") or _NUMBER.findall(text)
    return re.sub(r"[^\d.-]", "", numbers[-1]) if numbers else None
