"""What an answer rule promises, and how the rule that a recipe or the command line names is found."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from unmask.config.components import InvalidConfigError, choose, chooses
from unmask.config.registry import Registry
from unmask.errors import did_you_mean
from unmask.tasks.base import Problem

FUNCTION = "python:"
"""``python:FILE.py:FUNCTION`` is short for ``{name: python, function: "FILE.py:FUNCTION"}``."""


class AnswerRule(ABC):
    """Decides whether an answer is right. A rule of one's own is a subclass that is registered in ``ANSWER_RULES``.

    Attributes:
        name: under which it is registered.
        judges_itself: whether an expected answer, taken as an answer, is right; False for patterns.
    """

    name: ClassVar[str]
    judges_itself: ClassVar[bool] = True

    @property
    def needs_expected(self) -> bool:
        """Whether each question needs an expected answer."""
        return True

    @property
    def files(self) -> tuple[str, ...]:
        """Python files that the rule runs, which a record may not run unasked."""
        return ()

    def prepare(self) -> None:  # noqa: B027  # most rules need nothing
        """Load what the rule needs, before any question is read; a ``UserError`` is raised where that fails."""

    def connect(self) -> None:  # noqa: B027  # most rules need nobody
        """Check that other programs answer before anything is decoded; a ``UserError`` is raised if one does not."""

    def fault(self, expected: str) -> str | None:
        """Return what is expected instead of an expected answer that the rule cannot use; None if it can."""
        del expected
        return None

    @abstractmethod
    def grade(self, text: str, problem: Problem) -> float:
        """Return how right an answer is: 1 right, 0 wrong, between them partly right (counted as wrong).

        Args:
            text: what the model wrote, without its thinking.
            problem: with ``accepted``, the expected answers, and ``row``, the question's row in its file.

        Returns:
            A number from 0 to 1.
        """

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return further scores from 0 to 1 by name, the same names for every text; mostly none."""
        del text, problem
        return {}


class Comparison(AnswerRule):
    """A rule that compares the answer with each expected one; one that matches is enough."""

    @abstractmethod
    def matches(self, text: str, expected: str) -> bool:
        """Return whether an answer is the expected one."""

    def grade(self, text: str, problem: Problem) -> float:
        """Return 1.0 if the answer matches one of the expected ones, else 0.0."""
        return float(any(self.matches(text, expected) for expected in problem.accepted))


ANSWER_RULES = Registry[AnswerRule]("answer rule")


@chooses(ANSWER_RULES, pattern="^python:")
def answer_rule(spec: object) -> AnswerRule:
    """Return the rule that a specification stands for.

    Args:
        spec: a name, ``python:FILE.py:FUNCTION``, a mapping with ``name`` and fields, or a rule made in Python.

    Returns:
        The rule.

    Raises:
        InvalidConfigError: there is no such rule, or a field is wrong.
    """
    if isinstance(spec, str) and spec.startswith(FUNCTION):
        spec = {"name": "python", "function": spec.removeprefix(FUNCTION)}
    if isinstance(spec, Mapping) or (isinstance(spec, str) and spec in ANSWER_RULES):
        return choose(ANSWER_RULES, spec)
    if isinstance(spec, AnswerRule):
        return spec
    hint = did_you_mean(str(spec or ""), ANSWER_RULES)
    found = "none" if spec in (None, "") else f"'{spec}'"
    raise InvalidConfigError([f": expected a rule by which answers are right, found {found}; {hint}"])
