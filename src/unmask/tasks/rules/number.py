"""The rule ``number``: the answer ends with the expected number."""

from typing import Annotated

from pydantic import Field

from unmask.config.components import component
from unmask.tasks.gsm8k import final_number
from unmask.tasks.rules.base import ANSWER_RULES, Comparison


@ANSWER_RULES.register("number")
@component
class NumberRule(Comparison):
    """The final number of the answer has the value of the expected one: ``1,200``, ``1200.0`` and ``$1200`` are equal.

    Both are found as in ``gsm8k``: the number after the first ``####``, else in the last box, else in the last
    ``<answer>`` tag, else the one after "the answer is", else the last number.

    Args:
        tolerance: how far the two may be apart.

    Source: unpublished
    """

    tolerance: Annotated[float, Field(ge=0)] = 0.0

    def fault(self, expected: str) -> str | None:
        """Return what is missing where the expected answer has no number."""
        return None if final_number(expected) is not None else "expected a number"

    def matches(self, text: str, expected: str) -> bool:
        """Return whether both end with the same number."""
        found, wanted = final_number(text), final_number(expected)
        if found is None or wanted is None:
            return False
        return found == wanted or abs(float(found) - float(wanted)) <= self.tolerance
