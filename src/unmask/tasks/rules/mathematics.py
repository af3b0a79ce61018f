"""The rule ``math``: the answer is mathematically equal to the expected one."""

from unmask.config.components import component
from unmask.tasks.equal import is_equal
from unmask.tasks.math500 import final_answer
from unmask.tasks.rules.base import ANSWER_RULES, Comparison


@ANSWER_RULES.register("math")
@component
class MathRule(Comparison):
    r"""The answer is mathematically equal to the expected one: ``\frac{1}{2}``, ``1/2`` and ``0.5`` are equal.

    The answer is found as in ``math500``: in the last box, else in the last ``<answer>`` tag, else after "the answer
    is"; where there is none of these, the whole text is the answer. Both are compared by ``tasks/equal.py``.

    Source: unpublished
    """

    def matches(self, text: str, expected: str) -> bool:
        """Return whether the answer is equal to the expected one."""
        return is_equal(final_answer(expected) or expected, final_answer(text) or text)
