"""HumanEval: functions to complete, with tests (arXiv 2107.03374)."""

from typing import ClassVar

from pydantic import Field

from unmask.config.components import component
from unmask.tasks.base import TASKS, Chat, Problem, check_split
from unmask.tasks.code import Code, Execute, check_execution, judge
from unmask.tasks.published import Row, problems_of, source_of, text_of
from unmask.tasks.sandbox import Checks, Limits


@TASKS.register("humaneval")
@component
class HumanEval:
    """Python functions to complete, judged by running their tests.

    The code is the last fenced block that binds the function; without a fence, the longest part of the text that does,
    or what parses as the body of the function. It runs behind the prompt, in a sandbox (``tasks/sandbox``), and only if
    ``execute`` says so.

    Args:
        path: the file as released (``HumanEval.jsonl.gz``), or a folder with it; None: ``openai/openai_humaneval``
            from the hub.
        execute: whether generated code may be run: ``no``; ``sandbox``: where the kernel has Landlock and seccomp;
            ``limits``: anywhere on Linux, with what the kernel has, so put a container around it.
        words: ask in words for a fenced block; else the prompt is the start of the function, for base models.
        limits: time, memory and files of one answer.
    """

    path: str | None = None
    execute: Execute = "no"
    words: bool = True
    limits: Limits = Field(default_factory=Limits)
    chat: Chat = None
    default_problems: ClassVar[int | None] = None

    @property
    def on_hub(self) -> bool:
        """Whether the problems are read from the hub, over the network."""
        return self.path is None

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return the first ``size`` problems of the test split, the only one; None: all. ``seed`` is not used.

        A ``UserError`` is raised at once where ``execute`` is ``no``, not after hours of decoding.
        """
        del seed
        check_split(split, only_test="humaneval")
        check_execution(self.execute, "humaneval")
        source = source_of(self.path, "HumanEval") if self.path else "openai/openai_humaneval"
        return list(problems_of(source, self._problem, size=size))

    def _problem(self, source: str, row: Row) -> Problem:
        start, rest = text_of(row, source, "prompt"), text_of(row, source, "canonical_solution")
        name, test = text_of(row, source, "entry_point"), text_of(row, source, "test")
        question = (
            f"Complete this Python function. Answer with the whole function, imports included, in one fenced Python "
            f"block.\n\n```python\n{start.rstrip()}\n```"
        )
        return Code(
            prompt=question if self.words else start,
            solution=f"```python\n{start}{rest}\n```" if self.words else rest,
            answer=test,
            source=source,
            before=start,
            checks=Checks(before=start, names=(name,), code=f"{test}\ncheck({name})"),
        )

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the answer's code passes the tests.

        A ``UserError`` is raised where ``execute`` is ``no``, or this machine has no such sandbox.
        """
        return judge(text, problem, execute=self.execute, limits=self.limits).passed
