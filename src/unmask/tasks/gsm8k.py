"""GSM8K: grade-school maths (arXiv 2110.14168)."""

import re
import unicodedata
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from unmask.config.components import component
from unmask.data import Record, read
from unmask.errors import UserError
from unmask.tasks.base import TASKS, Chat, Problem, check_split
from unmask.tasks.extract import last_box, last_phrase, last_tag
from unmask.tasks.thinking import without_thinking

_MARKS = re.compile(r"<<[^<>]*>>")
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])\.\d+"
_PART = r" ?/ ?\d+(?:\.\d+)?(?!\d|/\d)"  # of a fraction; a date is none
_VALUE = rf"(?:\d+\s+(?:and\s+)?(?=\d+ ?/ ?\d))?(?:{_DIGITS})(?:[eE][-+]?\d{{1,2}}(?!\w)|{_PART})?"
_CURRENCY = r"(?:(?:[A-Z]{1,3})?\\?[$€£¥₹₩₽₫]|\b[A-Z]{3}\b|\b(?:Rs|Rp|kr|Fr|RM)(?![a-z])\.?)\s*"
# The minus of "3-5" is none; a space follows it only where no number can stand before it.
_NUMBER = re.compile(rf"(?:(?:(?<=[=:])[ \t]*-\s+|(?<![\w)])-)(?:{_CURRENCY})?)?(?:{_VALUE})")
# What may stand between the mark and the number: a name or a sum and its "=", and what makes letters bold.
_SIGNS = r"[-+*/×÷x]|\\(?:times|cdot|div)"
_SUM = rf"(?:[\d\s.,$()]{{1,20}}(?:{_SIGNS})(?:[\d\s.,$()]|{_SIGNS}){{0,60}}=\s*)*"
_NAME = r"(?:[A-Za-z ]{1,20}=\s*|(?:the )?(?:final )?answer(?: is|:)\s*)?"
_DRESS = r"(?:\\(?:text|math|boxed)\w*\{\s*|\*\*|[`_]+)?"
_FINAL = rf"\s*{_NAME}{_SUM}{_DRESS}((?:-\s*)?(?:{_CURRENCY})?(?:-\s*)?(?:{_VALUE}))"
_MARKED, _BOXED = re.compile(f"####{_FINAL}", re.IGNORECASE), re.compile(_FINAL, re.IGNORECASE)
_READ = re.compile(
    rf"(?:(?P<whole>\d+)\s+(?:and\s+)?)?(?P<above>(?:{_DIGITS})(?:[eE][-+]?\d{{1,2}})?)"
    r"(?: ?/ ?(?P<below>\d+(?:\.\d+)?))?$"
)
_LONGEST = 100  # of a fraction
_FRACTION = re.compile(r"(?:(\d)\s*)?\\[dt]?frac\s*(?:\{\s*(-?[\d,.]+)\s*\}\s*\{\s*([\d,.]+)\s*\}|(\d)\s*(\d))")
_VULGAR = re.compile(r"(\d)? ?([\u00bc-\u00be\u2150-\u215e])")
_DASH = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
# Right behind the mark: a minus in words, and thousands or a decimal comma as other languages write them.
_AFTER_MARK = re.compile(
    rf"(####\s*(?:{_CURRENCY})?|\\boxed\{{\s*)(minus |negative )?"
    r"(\d{1,3}(?: \d{3})+(?![\d/ ])|\d{1,3}(?:\.\d{3})+,\d{1,2}(?![\d,])|\d+,\d{1,2}(?![\d,])|(?=\d))",
    re.IGNORECASE,
)
_THIN_SPACE = re.compile(
    r"(?<=\d)['_\N{RIGHT SINGLE QUOTATION MARK}](?=\d{3}(?!\d))|\\!|"
    r"(?<=\d)(?:\\[,:;]|[\u00a0\u2009\u202f])(?=\d{3}(?!\d))"
)


@TASKS.register("gsm8k")
@component
class GSM8K:
    """Questions and worked answers that end in ``#### number``.

    The calculator marks ``<<3*4=12>>`` are taken out of the solutions. The last number of a text counts, as in the
    flexible extraction of lm-evaluation-harness; the number after the first ``####`` goes first (of a sum, what it
    comes to), then that in the last box, then the last in an ``<answer>`` tag, then one that alone follows "the answer
    is". Currencies are left aside; ``18/5``, ``3 3/5`` and their LaTeX are 3.6. Beside it, ``strict`` counts only a
    number after ``####``.

    Args:
        path: folder with ``train.jsonl`` and ``test.jsonl`` as released; None: ``openai/gsm8k`` from the hub.
    """

    path: str | None = None
    chat: Chat = None
    default_problems: ClassVar[int | None] = None

    @property
    def on_hub(self) -> bool:
        """Whether the problems are read from the hub, over the network."""
        return self.path is None

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return the first ``size`` problems of a split (None: all); ``seed`` is not used."""
        del seed
        check_split(split)
        source = str(Path(self.path).expanduser() / f"{split}.jsonl") if self.path else "openai/gsm8k:main"
        columns = {"prompt": "question", "completion": "answer"}
        found = [_problem(record) for record in read(source, split=split, limit=size, columns=columns)]
        if size and len(found) < size:
            raise UserError(f"{source}: expected {size} problems, found {len(found)}; ask for at most {len(found)}")
        return found

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the final number equals the expected one, as floats."""
        found = final_number(text)
        return found is not None and float(found) == float(problem.answer)

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return ``strict``: 1.0 if the number after the first ``####`` is right, as lm-evaluation-harness has it."""
        _, mark, after = text.partition("####")
        is_strict = mark and re.match(rf"\s*-?(?:\\?\$)?-?(?:{_DIGITS})", after) is not None
        return {"strict": float(bool(is_strict) and self.is_right(f"####{after}", problem))}


def _problem(record: Record) -> Problem:
    if record.fault is not None:
        raise UserError(f"{record.source}: {record.fault.detail}; mend it, or leave the row out of the file")
    answer = final_number(record.completion)
    if answer is None:
        raise UserError(
            f"{record.source}: expected an answer that ends with '#### number', found no number; mend the row"
        )
    return Problem(
        prompt=record.prompt, solution=_MARKS.sub("", record.completion), answer=answer, source=record.source
    )


def final_number(text: str) -> str | None:
    r"""Return the number that a solution ends with, as decimal text; None if it has no number.

    >>> final_number("so 3 * 4 = 12 #### 1,200")
    '1200'
    >>> final_number(r"it costs $\boxed{18}$ for 2 days")
    '18'
    >>> final_number(r"\boxed{3 \times 6 = 18}, <answer>17</answer>")
    '18'
    >>> final_number("from 3-5 days"), final_number("#### Rs. 2 1/2")
    ('5', '2.5')
    """
    text = _simplified(without_thinking(text))
    marked = _MARKED.search(text) or _BOXED.match(last_box(text) or "")
    if marked and (value := _decimal(marked[1])) is not None:
        return value
    said = last_phrase(text) or ""
    sole = _NUMBER.findall(said) if _BOXED.match(said) else []
    numbers = _NUMBER.findall(f"={last_tag(text) or ''}") or (sole if len(sole) == 1 else _NUMBER.findall(text))
    return next((value for number in reversed(numbers) if (value := _decimal(number)) is not None), None)


def _simplified(text: str) -> str:
    """Return a text whose minus signs, thousands and fractions are written as ``-1200`` and ``1 1/2``."""
    text = _DASH.sub("-", text).replace("{,}", ",").replace("\N{DIVISION SIGN}", "/")
    text = _THIN_SPACE.sub("", text)
    text = _AFTER_MARK.sub(lambda m: f"{m[1]}{'-' * bool(m[2])}{_grouped(m[3])}", text)
    text = _FRACTION.sub(lambda m: f"{m[1]} " * bool(m[1]) + f"{m[2] or m[4]}/{m[3] or m[5]}", text)
    vulgar = _VULGAR.sub(lambda m: f"{m[1]} " * bool(m[1]) + unicodedata.normalize("NFKC", m[2]), text)
    return vulgar.replace("\N{FRACTION SLASH}", "/")


def _grouped(number: str) -> str:
    """Return 1 800, 1.234,50 and 1,8 as 1800, 1234.50 and 1.8."""
    return number.replace(" ", "").replace(".", "").replace(",", ".") if re.search("[ ,]", number) else number


def _decimal(number: str) -> str | None:
    """Return a number, a fraction or both as a decimal number; None where that has no value, as 1/0."""
    read = _READ.search(number)
    if read is None:
        return None
    sign, above = "-" * ("-" in number[: read.start()]), read["above"].replace(",", "")
    if not read["below"]:
        return sign + (above if above.isascii() and "e" not in above.lower() else _plainly(float(above)))
    if not float(read["below"]) or len(number) > _LONGEST:
        return None
    value = Fraction(above) / Fraction(read["below"])
    if read["whole"] and value < 1:
        value += int(read["whole"])
    return sign + _plainly(value)


def _plainly(value: Fraction | float) -> str:
    return str(int(value) if value == int(value) else float(value))
