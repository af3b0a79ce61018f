"""MBPP: short Python functions from a sentence and three tests (arXiv 2108.07732)."""

import ast
from typing import ClassVar

from pydantic import Field

from unmask.config.components import component
from unmask.errors import UserError
from unmask.tasks.base import TASKS, Chat, Problem, check_split
from unmask.tasks.code import Code, Execute, check_execution, judge
from unmask.tasks.published import Row, problems_of, source_of, text_of, texts_of
from unmask.tasks.sandbox import Checks, Limits
from unmask.tasks.source import bound, read

# The numbers of the tasks in each split, from the paper; the others are for prompts and for validation.
SPLITS = {"test": range(11, 511), "train": range(601, 975)}


@TASKS.register("mbpp")
@component
class MBPP:
    """Python functions from a description and three tests, judged by running these.

    The code is the last fenced block that binds what is asked for; without a fence, the longest part of the text that
    does. It runs in a sandbox (``tasks/sandbox``), and only if ``execute`` says so. To train on it nothing is run.

    Args:
        path: the file as released (``mbpp.jsonl``, or the sanitised one with ``prompt`` and ``test_imports``), or a
            folder with it; None: the full set of ``google-research-datasets/mbpp`` from the hub.
        execute: whether generated code may be run: ``no``; ``sandbox``: where the kernel has Landlock and seccomp;
            ``limits``: anywhere on Linux, with what the kernel has, so put a container around it.
        limits: time, memory and files of one answer.
    """

    path: str | None = None
    execute: Execute = "no"
    limits: Limits = Field(default_factory=Limits)
    chat: Chat = None
    default_problems: ClassVar[int | None] = None

    @property
    def on_hub(self) -> bool:
        """Whether the problems are read from the hub, over the network."""
        return self.path is None

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return the first ``size`` problems of a split (None: all); ``seed`` is not used.

        A ``UserError`` is raised at once where the split is to be judged and ``execute`` is ``no``.
        """
        del seed
        check_split(split)
        if split == "test":
            check_execution(self.execute, "mbpp")
        source = source_of(self.path, "mbpp") if self.path else "google-research-datasets/mbpp:full"

        def make(source: str, row: Row) -> Problem | None:
            number = row.get("task_id")
            if not isinstance(number, int):
                raise UserError(f"{source}: expected a number under 'task_id', found {number!r:.40}; mend the row")
            return _problem(source, row) if number in SPLITS[split] else None

        return list(problems_of(source, make, split=split, size=size))

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the answer's code passes the tests.

        A ``UserError`` is raised where ``execute`` is ``no``, or this machine has no such sandbox.
        """
        return judge(text, problem, execute=self.execute, limits=self.limits).passed


def _problem(source: str, row: Row) -> Problem:
    question, code = text_of(row, source, "text", "prompt"), text_of(row, source, "code").replace("\r\n", "\n")
    setup, tests = str(row.get("test_setup_code") or "").replace("\r\n", "\n"), texts_of(row, source, "test_list")
    if not tests:
        raise UserError(f"{source}: expected tests under 'test_list', found none; leave the row out of the file")
    imports, listed = "\n".join(texts_of(row, source, "test_imports")), "\n".join(tests)
    try:
        more, names = _shared(code, f"{imports}\n{setup}\n{listed}")
    except SyntaxError as error:
        raise UserError(
            f"{source}: expected Python under 'code' and 'test_list', found: {error.msg}; mend it"
        ) from None
    shown = f"{imports}\n{listed}".lstrip("\n")
    return Code(
        prompt=f"{question}\nYour code should pass these tests:\n\n{shown}\n\nAnswer with one fenced Python block.",
        solution=f"```python\n{code.strip()}\n```",
        answer=shown,
        source=source,
        before="",
        checks=Checks(before=f"{more}\n{imports}", names=names, code=f"{setup}\n{listed}"),
    )


def _shared(code: str, tests: str) -> tuple[str, tuple[str, ...]]:
    """Return the reference's imports, which its tests may rely on, and which of its names the tests use unbound."""
    body, tested = ast.parse(code).body, ast.parse(tests)
    imports = [ast.unparse(node) for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return "\n".join(imports), tuple(sorted(bound(body) & read(tested) - bound(tested.body, imports=True)))
