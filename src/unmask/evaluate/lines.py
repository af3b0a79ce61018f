"""Answers as lines of JSON, each with the fingerprint of the settings that it was made with."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from unmask.errors import UserError
from unmask.evaluate.answers import Answer

COUNTS = ("problem", "sample", "tokens", "forwards")
TEXTS = ("source", "prompt", "text", "expected")
SOURCE = "place"  # what files call ``Answer.source``


def write_lines(answers: Sequence[Answer], mark: str) -> str:
    """Return answers as lines of JSON with the fingerprint ``mark``; half of a surrogate pair is escaped."""
    return "".join(to_json({"run": mark, **as_row(answer)}) + "\n" for answer in answers)


def as_row(answer: Answer) -> dict[str, Any]:
    """Return the fields of an answer by the names that files have for them."""
    return {SOURCE if name == "source" else name: value for name, value in asdict(answer).items()}


def to_json(value: object, indent: int | None = None) -> str:
    """Return JSON that can be written as UTF-8: a text with half of a surrogate pair is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def read_lines(path: Path, mark: str | None = None) -> Iterator[Answer]:
    """Yield the answers of a file; a last line that was cut off by a kill is left out.

    Args:
        path: the file.
        mark: fingerprint that each line must have; None: any.

    Yields:
        The answers, in the order of the file.

    Raises:
        UserError: a line was made with settings other than ``mark``, or is no answer.
    """
    # Bytes, since an answer may hold other ends of lines, and the file may be cut inside a letter.
    *lines, _cut_off = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            made, answer = _answer(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UserError(f"{path}:{number}: expected an answer of an evaluation; mend or delete the line") from None
        if mark is not None and made != mark:
            raise UserError(f"{path}:{number}: expected answers of run {mark}, found one of {made}; delete the line")
        yield answer


def _answer(values: dict[str, Any]) -> tuple[str, Answer]:
    made = str(values.pop("run"))[:80]
    answer = Answer(source=values.pop(SOURCE), **values)
    whole = all(type(getattr(answer, name)) is int and getattr(answer, name) >= 0 for name in COUNTS)
    spelt = all(isinstance(getattr(answer, name), str) for name in TEXTS)
    numbers = [answer.seconds, *answer.grades.values()]
    if not (whole and spelt and type(answer.is_right) is bool and all(type(n) in (int, float) for n in numbers)):
        raise TypeError(f"expected fields of the types of {[field.name for field in fields(Answer)]}")
    return made, answer
