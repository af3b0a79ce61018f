"""The rule ``contains``: the expected text stands in the answer."""

import unicodedata

from unmask.config.components import component
from unmask.tasks.rules.base import ANSWER_RULES, Comparison


@ANSWER_RULES.register("contains")
@component
class ContainsRule(Comparison):
    """The expected text stands somewhere in the answer, as whole words: ``cat`` does not stand in ``concatenate``.

    Each run of white space counts as one space. Scripts that put no spaces between words, such as Chinese, have no
    borders of words. Mind that ``not Paris`` contains ``Paris``.

    Args:
        ignore_case: whether upper and lower case are the same.
        words: whether a letter or digit may not stand right before or after the text.

    Source: unpublished
    """

    ignore_case: bool = False
    words: bool = True

    def matches(self, text: str, expected: str) -> bool:
        """Return whether the expected text stands in the answer."""
        text, expected = self._spelled(text), self._spelled(expected)
        begin = text.find(expected)
        while begin >= 0:
            end = begin + len(expected)
            is_inside = _joined(text[begin - 1 : begin + 1]) or _joined(text[end - 1 : end + 1])
            if not (self.words and is_inside):
                return True
            begin = text.find(expected, begin + 1)
        return False

    def _spelled(self, text: str) -> str:
        text = " ".join(unicodedata.normalize("NFC", text).split())
        return text.casefold() if self.ignore_case else text


def _joined(pair: str) -> bool:
    """Return whether two signs stand in one word; fewer than two do not."""
    return len(pair) == 2 and all(map(_is_of_a_word, pair))


def _is_of_a_word(char: str) -> bool:
    # Scripts without spaces: wide letters (Chinese, Japanese), and those of South-East Asia. Korean has spaces.
    name = unicodedata.name(char, "")
    is_unspaced = name.startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"))
    return (char.isalnum() or char == "_" or unicodedata.combining(char) > 0) and not is_unspaced
