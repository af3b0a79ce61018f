"""Code in answers, for the tasks that judge it: finding it, and whether it may be run."""

import ast
import builtins
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unmask.errors import UserError
from unmask.tasks.base import Problem
from unmask.tasks.fences import PYTHON, fences
from unmask.tasks.sandbox import Checks, Limits, Verdict, check, run
from unmask.tasks.source import (
    as_body,
    binds,
    body,
    bound,
    dedented,
    longest,
    parsed,
    read,
    unprompted,
    without_examples,
)
from unmask.tasks.thinking import without_thinking

Execute = Literal["no", "sandbox", "limits"]
_GLUED_BEHIND = re.compile(r"(?<=\S)[ \t]*(`{3,}|~{3,})[ \t]*$", re.MULTILINE)
_GLUED_BEFORE = re.compile(
    r"^([ \t]*(?:`{3,}|~{3,})[ \t]*(?:python3?|py)?)[ \t]*(?=(?:def|from|import|class|@) ?)", re.MULTILINE
)
_SPAN = re.compile(r"(?<!`)(`{1,3})(?!`)([^`]+)\1(?!`)")
_FUTURE = re.compile(r"^from __future__ import [\w, ]+$", re.MULTILINE)
_LANGUAGE = re.compile(r"^\s*(?:python3?|py)\s+", re.IGNORECASE)
_END = re.compile(r"(?:<\|(?:endoftext|im_end|eot_id|end_of_text|end|return)\|>|</s>)\s*\Z")
_LONGEST, _MOST_PARTS = 20_000, 20


@dataclass(frozen=True, kw_only=True)
class Code(Problem):
    """A function to write.

    Args:
        before: code that the answer continues or replaces; empty where it stands on its own.
        checks: the tests that it has to pass.
    """

    before: str
    checks: Checks


def check_execution(execute: Execute, task: str) -> None:
    """Refuse to judge code unless the user has allowed that generated code is run.

    Args:
        execute: what the user wrote.
        task: name of the task, for the message.

    Raises:
        UserError: ``execute`` is ``no``, or this machine has no such sandbox.
    """
    if execute == "no":
        raise UserError(
            f"{task}: judging runs code that a model wrote, expected leave to, found execute: no; "
            f"write {{name: {task}, execute: sandbox}}"
        )
    check(strict=execute == "sandbox")


def judge(text: str, problem: Problem, *, execute: Execute, limits: Limits) -> Verdict:
    """Run the code of an answer against its tests, in the sandbox.

    A ``UserError`` is raised where ``execute`` is ``no``, or this machine has no such sandbox.

    Args:
        text: the answer.
        problem: a ``Code`` problem.
        execute: whether and how generated code may be run.
        limits: time, memory and files.

    Returns:
        Whether the tests passed, and if not, why; an answer without code does not pass.

    Raises:
        TypeError: the problem is not about code.
    """
    if not isinstance(problem, Code):
        raise TypeError(f"expected a problem about code, found {problem.source}")
    check_execution(execute, problem.source.partition(":")[0])
    source = source_of_answer(text, problem)
    if not source.strip():
        return Verdict(passed=False, why="no code")
    return run(source, problem.checks, limits, strict=execute == "sandbox")


def source_of_answer(text: str, problem: Code) -> str:
    """Assemble the module to run from an answer.

    Args:
        text: the answer.
        problem: what goes before the answer, and the names that it has to bind.

    Returns:
        What goes before the answer, then its code, as a whole function or as its body; empty without code.
    """
    names = problem.checks.names
    code = code_of(text, names, is_begun=bool(problem.before))
    if not code.strip() or not problem.before:
        return code
    if binds(code, names, imports=True):
        return _futures_first(f"{problem.before}\n{code}")
    start, code = problem.before.rstrip(), as_body(code)
    if parsed(whole := f"{start}\n{code}"):
        return whole
    indent = re.match(r"[ \t]*", start.rpartition("\n")[2])[0] or "    "  # type: ignore[index]
    return f"{start}\n{textwrap.indent(textwrap.dedent(code), indent)}"


def _futures_first(source: str) -> str:
    """Return a source with its imports from ``__future__`` at the top, where Python requires them."""
    return "\n".join([*(found[0] for found in _FUTURE.finditer(source)), _FUTURE.sub("", source)])


def code_of(text: str, wanted: Sequence[str] = (), *, is_begun: bool = False) -> str:
    """Find the code in an answer, outside its thinking.

    Of several fenced blocks it is the last that binds a wanted name (a definition or an assignment, also under
    ``if``), with what it needs of the blocks before it; where none does, the longest part of the text that parses and
    binds it; else, if the prompt has begun a function, its body. Calls and assertions behind it are left out.

    Args:
        text: the answer.
        wanted: names of the functions and classes to find; none: any.
        is_begun: whether the prompt has begun them, so that a text which defines none is the body of one.

    Returns:
        Python source; empty if there is no code.
    """
    text = _END.sub("", without_thinking(text).replace("\r\n", "\n"))
    found = [(language, unprompted(content)) for language, content in fences(text)]
    contents = [content for _, content in found]
    is_body = is_begun and text.strip("\n")[:1].isspace() and not text.lstrip().startswith(("```", "~~~"))
    if is_body and (code := max(body(text), body(_unglued(text)), key=lambda code: len(code.strip()))):
        whole = longest(textwrap.dedent(code), wanted)
        return whole or code
    for imports in (False, True):
        for number in reversed(range(len(contents))):
            if binds(contents[number], wanted, imports=imports):
                others = [content for content in contents[number + 1 :] if not binds(content, wanted, imports=True)]
                return without_examples(_with_needs(contents[number], contents[:number], others, wanted), wanted)
    if part := _excerpt(text, contents, wanted):
        return without_examples(part, wanted)
    if not is_begun:
        return ""
    python = [content for language, content in found if language in PYTHON]
    bodies = [code for content in python or contents or [text] if (code := body(content))]
    return next((code for code in reversed(bodies) if "return" in code), bodies[0] if bodies else "")


def _excerpt(text: str, contents: Sequence[str], wanted: Sequence[str]) -> str:
    """Return the longest excerpt that parses and binds a wanted name: of blocks, of the text, of lines of code."""
    for content in contents[:-_MOST_PARTS:-1]:
        if part := max(longest(content, wanted), longest(_unglued(content), wanted), key=len):
            return part
    within = (_LANGUAGE.sub("", span[2]).strip() for span in _SPAN.finditer(text[:_LONGEST]))
    candidates = [text, _unglued(text), unprompted(text), *dedented(text), *within]
    return max((longest(candidate, wanted) for candidate in candidates[:_MOST_PARTS]), key=len)


def _unglued(text: str) -> str:
    """Return a text whose fences stand on lines of their own, not behind the last line of code or before the first."""
    return _GLUED_BEHIND.sub(r"\n\1", _GLUED_BEFORE.sub(r"\1\n", text))


def _with_needs(code: str, before: Sequence[str], behind: Sequence[str], wanted: Sequence[str]) -> str:
    """Return a block after what it needs of others, nearer ones first: imports, and what binds names that it reads."""
    tree = parsed(code)
    assert tree is not None
    needs = (read(tree) | set(wanted)) - bound(tree.body, imports=True)
    lines: list[str] = []
    needs -= set(dir(builtins))
    for content in [*reversed(before), *behind]:
        earlier = parsed(content)
        for node in reversed(earlier.body if earlier else ()):
            names = bound([node], imports=True)
            if names & needs or names == {"*"}:
                needs = (needs - names) | read(node)
                lines.insert(0, ast.get_source_segment(content, node, padded=True) or "")
    return "\n".join([*lines, code])
