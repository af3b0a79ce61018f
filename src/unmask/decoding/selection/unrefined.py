"""What most selections are: a choice among the proposals as they come, at every step."""

from typing import ClassVar

from unmask.decoding.state import Candidates


class Unrefined:
    """The neutral half of a selection."""

    may_wait: ClassVar[bool] = False

    def refine(self, candidates: Candidates) -> Candidates:
        """As they are."""
        return candidates
