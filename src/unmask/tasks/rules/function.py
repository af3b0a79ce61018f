"""The rule ``python``: a function of one's own judges the answer."""

from collections.abc import Callable
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from unmask.config.components import component
from unmask.config.plugins import imported, load_plugins
from unmask.errors import UserError, did_you_mean, shorten
from unmask.tasks.base import Problem
from unmask.tasks.rules.base import ANSWER_RULES, AnswerRule


@ANSWER_RULES.register("python")
@component
class FunctionRule(AnswerRule):
    """A function of one's own judges: it is called with the answer and the question's row, and returns a grade.

    ``True`` is right and ``False`` wrong. A number from 0 to 1 is a grade: 1 is right, less is wrong, and the mean of
    the grades is shown beside the accuracy. What the function raises ends the run with a line that names the question.
    **The file is imported, so it is run: name only what you trust.**

    Args:
        function: ``FILE.py:FUNCTION``, or ``MODULE:FUNCTION`` of a module that Python can import.

    Source: unpublished
    """

    function: str

    def __post_init__(self) -> None:
        module, _, name = self.function.rpartition(":")
        if not module or not name.isidentifier():
            raise UserError(
                f"function: expected FILE.py:FUNCTION or MODULE:FUNCTION, found '{shorten(self.function, 80)}'; "
                "write for example python:judge.py:is_right"
            )

    @property
    def needs_expected(self) -> bool:
        """Whether each question needs an expected answer: the function may do without."""
        return False

    @property
    def files(self) -> tuple[str, ...]:
        """The file of the function, if it is one."""
        module = self.function.rpartition(":")[0]
        return (str(Path(module).expanduser().resolve()),) if module.endswith(".py") else ()

    def prepare(self) -> None:
        """Import the module and look the function up; a ``UserError`` is raised where there is none."""
        self._judge  # noqa: B018  # it is made when it is first read

    def grade(self, text: str, problem: Problem) -> float:
        """Return what the function returns, as a number from 0 to 1."""
        key = (text, problem.source)
        if self._last.get("key") != key:  # ``is_right`` and ``grades`` need it both
            self._last.update(key=key, grade=self._called(text, problem))
        return float(self._last["grade"])

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return ``grade``: what the function returned."""
        return {"grade": self.grade(text, problem)}

    @cached_property
    def _last(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _judge(self) -> Callable[..., Any]:
        module, _, name = self.function.rpartition(":")
        names = list(self.files) or [module]
        load_plugins(names)
        found = imported(names[0])
        judge = getattr(found, name, None)
        if not callable(judge):
            functions = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
            raise UserError(f"{module}: expected a function '{name}', found none; {did_you_mean(name, functions)}")
        return judge  # type: ignore[no-any-return]

    def _called(self, text: str, problem: Problem) -> float:
        try:
            value = self._judge(text, dict(problem.row))
        except UserError:
            raise
        except Exception as error:
            said = shorten(f"{type(error).__name__}: {error}", 200)
            raise UserError(
                f"{problem.source}: {self.function} failed on the answer '{shorten(text, 60)}': {said}; mend the "
                "function, or catch the error in it"
            ) from error
        if isinstance(value, bool):
            return float(value)
        number = value.item() if hasattr(value, "item") else value  # of numpy and torch
        if not isinstance(number, (int, float)) or not isfinite(number) or not 0 <= number <= 1:
            raise UserError(
                f"{problem.source}: expected True, False or a number from 0 to 1 of {self.function}, found "
                f"{shorten(repr(value), 60)}; return one of these"
            )
        return float(number)
