"""The rule ``regex``: a pattern is found in the answer."""

import functools
import logging
from typing import Annotated, Any, ClassVar

import regex
from pydantic import Field

from unmask.config.components import component
from unmask.errors import UserError, shorten
from unmask.tasks.base import Problem
from unmask.tasks.rules.base import ANSWER_RULES, AnswerRule

LOG = logging.getLogger(__name__)


@ANSWER_RULES.register("regex")
@component
class RegexRule(AnswerRule):
    """A pattern is found in the answer: that of the question, in the place of its expected answer, or one for all.

    The pattern may be found anywhere; write ``^`` and ``$`` around it to match the whole answer, from which white space
    at both ends is taken off. Patterns are those of the package ``regex``, which knows all that Python's ``re`` does.
    A pattern that takes longer than ``seconds`` on an answer does not match it, and a warning names the question.

    Args:
        pattern: one pattern for all questions, which then need no expected answers; None: each question has its own.
        ignore_case: whether upper and lower case are the same.
        seconds: longest time for one answer and pattern.

    Source: unpublished
    """

    judges_itself: ClassVar[bool] = False
    pattern: str | None = None
    ignore_case: bool = False
    seconds: Annotated[float, Field(gt=0)] = 2.0

    def __post_init__(self) -> None:
        if self.pattern is not None and (fault := self.fault(self.pattern)):
            raise UserError(f"pattern: {fault}, found '{shorten(self.pattern, 80)}'; write another")

    @property
    def needs_expected(self) -> bool:
        """Whether each question needs a pattern of its own."""
        return self.pattern is None

    def fault(self, expected: str) -> str | None:
        """Return what is wrong with a pattern that cannot be read."""
        try:
            _compiled(expected, ignore_case=self.ignore_case)
        except (regex.error, RecursionError, OverflowError) as error:
            return f"expected a regular expression ({error})"
        return None

    def grade(self, text: str, problem: Problem) -> float:
        """Return 1.0 if one of the patterns is found in the answer, else 0.0."""
        patterns = problem.accepted if self.pattern is None else (self.pattern,)
        return float(any(self._finds(pattern, text.strip(), problem.source) for pattern in patterns))

    def _finds(self, pattern: str, text: str, source: str) -> bool:
        try:
            found = _compiled(pattern, ignore_case=self.ignore_case).search(text, timeout=self.seconds)
        except TimeoutError:
            LOG.warning(
                "%s: the pattern '%s' took longer than %g s on an answer, which counts as wrong; write it without "
                "repeats inside repeats", source, shorten(pattern, 80), self.seconds,
            )  # fmt: skip
            return False
        return found is not None


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str, *, ignore_case: bool) -> Any:
    return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)
