"""The rule ``exact``: the answer is the expected text."""

import re
import unicodedata

from unmask.config.components import component
from unmask.tasks.rules.base import ANSWER_RULES, Comparison

_PUNCTUATION = re.compile(r"[^\w\s]|_")


@ANSWER_RULES.register("exact")
@component
class ExactRule(Comparison):
    """The whole answer is the expected text.

    White space around both is left aside, and each run of white space counts as one space. Upper and lower case differ,
    and so does every sign of punctuation, unless a field says otherwise.

    Args:
        ignore_case: whether upper and lower case are the same.
        ignore_punctuation: whether signs that are neither letters, digits nor spaces are left out of both.

    Source: unpublished
    """

    ignore_case: bool = False
    ignore_punctuation: bool = False

    def fault(self, expected: str) -> str | None:
        """Return what is missing where nothing of the expected answer is left to compare with."""
        return None if self._spelled(expected) else "expected text that is more than punctuation"

    def matches(self, text: str, expected: str) -> bool:
        """Return whether both are the same text."""
        return self._spelled(text) == self._spelled(expected)

    def _spelled(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text)
        text = _PUNCTUATION.sub(" ", text) if self.ignore_punctuation else text
        return " ".join((text.casefold() if self.ignore_case else text).split())
