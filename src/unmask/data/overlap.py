"""Overlap of evaluation questions with training data: the share of a question's n-grams that training texts contain."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unmask.data.messages import REASONING
from unmask.data.records import Record
from unmask.errors import UserError

WORDS = 8
"""Words of an n-gram where none is named; GPT-3 compared 8 to 13 (arXiv 2005.14165, appendix C)."""

_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
"""A run of letters and digits; of Chinese, Japanese and Thai, which write no spaces, one character."""

_MANY = 10  # questions that must share an n-gram before it can count as common wording
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_UNKNOWN = -1


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How much of each question stands in training texts.

    Args:
        n: words of an n-gram.
        shares: for each question, the share of its different n-grams that some training text contains, in [0, 1]. A
            question of fewer than ``n`` words has 1 if a training text consists of just these words, else 0.
        rows: for each question, the training row in which most of the found n-grams stand first; empty where none
            was found.
        texts: training texts that were read: turns, prompts and completions.
        common: different n-grams that more than half of the questions share (at least ten): the wording of the task,
            which counts for no question.
    """

    n: int
    shares: tuple[float, ...]
    rows: tuple[str, ...]
    texts: int
    common: int = 0

    @property
    def any(self) -> int:
        """Number of questions of which at least one n-gram was found."""
        return sum(share > 0 for share in self.shares)

    @property
    def half(self) -> int:
        """Number of questions of which at least half of the n-grams were found."""
        return sum(share >= 0.5 for share in self.shares)

    def worst(self, count: int = 5) -> list[tuple[int, float, str]]:
        """Return index, share and training row of the questions with the largest shares, only those above 0.

        Args:
            count: of questions at most.

        Returns:
            The largest share first; of equal ones the earlier question.
        """
        found = sorted((i for i, share in enumerate(self.shares) if share > 0), key=lambda i: -self.shares[i])
        return [(i, self.shares[i], self.rows[i]) for i in found[:count]]

    def summary(self) -> str:
        """Return the counts in one line."""
        line = (
            f"{self.any} of {len(self.shares)} questions share {self.n} words in a row with the training data, "
            f"{self.half} at least half of their text"
        )
        if not self.any:
            return line
        index, share, source = self.worst(1)[0]
        return f"{line}; most: question {index + 1}, {share:.0%}, in {source or 'a training text'}"

    def as_dict(self) -> dict[str, Any]:
        """Return the counts, the shares and the worst questions as JSON types."""
        worst = [{"question": i, "share": share, "row": row} for i, share, row in self.worst()]
        counts = {"n": self.n, "questions": len(self.shares), "texts": self.texts, "common": self.common}
        return {**counts, "any": self.any, "half": self.half, "shares": list(self.shares), "worst": worst}


def overlap(training: Iterable[Record | tuple[str, str]], questions: Sequence[str], n: int = WORDS) -> Overlap:
    """Return how much of each question stands in training texts.

    Words are compared without case, punctuation and spaces. Only the questions' n-grams are held in memory, as 64-bit
    hashes; the training data are read once, in time that grows with their length. The n-grams of GPT-3's appendix C
    (arXiv 2005.14165) are the model.

    Args:
        training: records as ``unmask.data.read`` returns them (rows with a fault are passed over), or pairs of a text
            and where it comes from. Every turn, prompt and completion is a text of its own.
        questions: texts of the evaluation, such as a question and its solution.
        n: words of an n-gram.

    Returns:
        The share of each question.

    Raises:
        UserError: ``n`` is below 1.

    >>> seen = [("Ada has 3 apples and eats one of them today.", "a.jsonl:1")]
    >>> overlap(seen, ["ADA has 3 apples, and eats one of them.", "Why is the sky blue?"]).shares
    (1.0, 0.0)
    """
    if n < 1:
        raise UserError(f"expected n-grams of at least one word, found n={n}; write 8, or up to 13 for fewer matches")
    told = [_words(question) for question in questions]
    number = {word: i for i, word in enumerate(dict.fromkeys(word for words in told for word in words))}
    hashed = [np.unique(_hashes(_ids(words, number), min(n, len(words)))) for words in told]
    is_short = [len(words) < n for words in told]
    long = [hashes for hashes, short in zip(hashed, is_short, strict=True) if not short]
    wanted, asked = np.unique(np.concatenate([*long, _none()]), return_counts=True)
    common = wanted[(asked >= _MANY) & (2 * asked > len(told))]
    short = np.unique(np.concatenate([*(h for h, few in zip(hashed, is_short, strict=True) if few), _none()]))
    first, first_short = np.full(len(wanted), _UNKNOWN), np.full(len(short), _UNKNOWN)  # text that holds it first
    sources: list[str] = []
    for text, source in _texts(training):
        ids = _ids(_words(text), number)
        if len(ids) < n:
            _enter_text(short, _hashes(ids, len(ids)), first_short, len(sources))
        else:
            _enter_text(wanted, _hashes(ids, n), first, len(sources))
        sources.append(source)
    shares, rows = [], []
    for hashes, few in zip(hashed, is_short, strict=True):
        known, where = (short, first_short) if few else (wanted, first)
        asked_for = hashes if few else np.setdiff1d(hashes, common, assume_unique=True)
        found = where[np.searchsorted(known, asked_for)]
        counts = Counter(int(text) for text in found if text != _UNKNOWN)
        shares.append(counts.total() / len(asked_for) if len(asked_for) else 0.0)
        most = min(counts, key=lambda text: (-counts[text], text), default=None)
        rows.append("" if most is None else sources[most])
    return Overlap(n=n, shares=tuple(shares), rows=tuple(rows), texts=len(sources), common=len(common))


def _texts(training: Iterable[Record | tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield every text of the training data with the source of its row."""
    for row in training:
        if not isinstance(row, Record):
            yield row
        elif row.fault is None:
            said = [m.get(key) for m in row.messages for key in ("content", *REASONING)]
            for text in (row.prompt, row.completion, *said):
                if isinstance(text, str) and text:
                    yield text, row.source


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _ids(words: Sequence[str], number: dict[str, int]) -> NDArray[np.int64]:
    """Return the numbers of words; ``_UNKNOWN`` for those of no question."""
    return np.fromiter((number.get(word, _UNKNOWN) for word in words), dtype=np.int64, count=len(words))


def _hashes(ids: NDArray[np.int64], n: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of every n-gram of a text that has no unknown word."""
    if not n or len(ids) < n:
        return _none()
    windows = np.lib.stride_tricks.sliding_window_view(ids, n)
    windows = windows[(windows != _UNKNOWN).all(axis=1)]
    state = np.full(len(windows), n, dtype=np.uint64)
    for column in range(n):
        state = (state ^ windows[:, column].astype(np.uint64)) * _FACTOR
        state ^= state >> np.uint64(29)
    return state


def _enter_text(
    wanted: NDArray[np.uint64], hashes: NDArray[np.uint64], first: NDArray[np.int64], text: int
) -> None:  # fmt: skip
    """Enter a text as the first that holds the wanted hashes which no earlier one held."""
    if not len(wanted) or not len(hashes):
        return
    at = np.searchsorted(wanted, hashes)
    at = at[(at < len(wanted)) & (wanted[np.minimum(at, len(wanted) - 1)] == hashes)]
    first[at[first[at] == _UNKNOWN]] = text


def _none() -> NDArray[np.uint64]:
    return np.empty(0, dtype=np.uint64)
