"""What the code tasks share: finding the code in an answer, and whether it may be run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unmask.errors import UserError
from unmask.tasks.base import Problem
from unmask.tasks.extract import fences
from unmask.tasks.sandbox import Checks, Limits, Verdict, check, run

Execute = Literal["no", "sandbox", "limits"]
_STARTS = re.compile(r"^(?:(?:from|import|def|class|async def) |@)", re.MULTILINE)
# The last kind is a sentence: "This function …", "Note that …".
_STOPS = re.compile(r"\n(?=```|print\(|assert\b|if __name__|#|>>>|\[DONE\]|</?answer|[A-Z][a-z']*,? [a-z]+ )")
_BODY_STOPS = re.compile(r"\n(?=\S)")


@dataclass(frozen=True, kw_only=True)
class Code(Problem):
    """A function to write.

    Args:
        before: code that the answer continues or replaces; empty where it stands on its own.
        checks: what it has to pass.
    """

    before: str
    checks: Checks


def check_execution(execute: Execute, task: str) -> None:
    """Refuse to judge before anybody has said that generated code may be run.

    Raises:
        UserError: nobody has, or this machine has no sandbox.
    """
    if execute == "no":
        raise UserError(
            f"{task}: judging runs code that a model wrote, expected leave to, found execute: no; "
            f"write {{name: {task}, execute: sandbox}}"
        )
    check(strict=execute == "sandbox")


def judge(text: str, problem: Problem, *, execute: Execute, limits: Limits) -> Verdict:
    """Run the code of an answer against its tests."""
    if not isinstance(problem, Code):
        raise TypeError(f"expected a problem about code, found {problem.place}")
    check_execution(execute, problem.place.partition(":")[0])
    source = source_of_answer(text, problem)
    if not source.strip():
        return Verdict(passed=False, why="no code")
    return run(source, problem.checks, limits, strict=execute == "sandbox")


def source_of_answer(text: str, problem: Code) -> str:
    """Put an answer's code together: what goes before it, then the code, as a whole function or as its body."""
    code = code_of(text, problem.checks.names, is_begun=bool(problem.before))
    if not code.strip() or not problem.before:
        return code
    if _defines(code, problem.checks.names):
        return f"{problem.before}\n{code}"
    return f"{problem.before.rstrip()}\n{_as_body(code)}"


def _defines(code: str, names: Sequence[str]) -> bool:
    return any(re.search(rf"^(?:async def|def|class) {re.escape(name)}\b", code, re.MULTILINE) for name in names)


def code_of(text: str, wanted: Sequence[str] = (), *, is_begun: bool = False) -> str:
    """Find the code in an answer: a fenced Python block, or else the text up to a stop word.

    Of several blocks it is the first that defines what is asked for, with the definitions and imports that stand in
    blocks before it; where none does, the first.

    Args:
        text: the answer.
        wanted: functions and classes that are asked for.
        is_begun: whether the prompt has begun them, so that a text which defines none is the body of one.
    """
    blocks = fences(text)
    python = [content for language, content in blocks if language in ("python", "py", "python3")]
    if blocks:
        return _joined(python or [content for _, content in blocks], wanted)
    if is_begun and not _defines(text, wanted):
        body = text.strip("\n")
        return _BODY_STOPS.split(body)[0] if body[:1].isspace() else _STOPS.split(body)[0]
    start = _STARTS.search(text)
    return _STOPS.split(text[start.start() :])[0] if start else ""


def _joined(blocks: Sequence[str], wanted: Sequence[str]) -> str:
    for number, block in enumerate(blocks):
        if _defines(block, wanted):
            before = [other for other in blocks[:number] if _STARTS.match(other)]
            return "\n".join([*before, block])
    return blocks[0]


def _as_body(code: str) -> str:
    """Indent the body of a function whose first line, or whose every line, has lost its indentation."""
    code = code.strip("\n").expandtabs(4)
    first, _, rest = code.partition("\n")
    if first[:1].isspace():
        return code
    lines = [line for line in rest.split("\n") if line.strip()]
    opens = first.rstrip().endswith(":")
    depth = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    if lines and depth >= (8 if opens and len(lines) == 1 else 4):
        return f"    {code}"
    return "\n".join(f"    {line}" for line in code.split("\n"))
