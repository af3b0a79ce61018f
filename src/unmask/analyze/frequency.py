"""Bins of tokens by how often they occur in the answers of a data set."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from unmask.errors import UserError


@dataclass(frozen=True, kw_only=True)
class FrequencyBins:
    """The different tokens of some answers, each in one bin; bin 0 has the most frequent ones.

    Args:
        ids: the tokens, most frequent first.
        counts: occurrences of each token.
        bins: bin of each token, in rising order.
    """

    ids: Int[Tensor, " I"]
    counts: Int[Tensor, " I"]
    bins: Int[Tensor, " I"]

    def __len__(self) -> int:
        return int(self.bins[-1]) + 1

    def rank(self, tokens: Int[Tensor, " K"]) -> Int[Tensor, " K"]:
        """Return the index in ``ids`` of each token, [K]; the tokens must be among them."""
        table = torch.full((int(self.ids.max()) + 1,), -1)
        table[self.ids] = torch.arange(len(self.ids))
        return table[tokens]

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each bin: its number from 1, its different tokens, their occurrences (sum, most, least)."""
        rows = []
        for index in range(len(self)):
            counts = self.counts[self.bins == index]
            most, least = int(counts[0]), int(counts[-1])
            rows.append(
                {"bin": index + 1, "ids": len(counts), "occurrences": int(counts.sum()), "most": most, "least": least}
            )
        return rows


def bin_tokens(answers: Iterable[Sequence[int]], bins: int) -> FrequencyBins:
    """Cut the tokens of some answers into frequency bins of about equal mass.

    The ids are taken from the most frequent to the rarest (equally frequent ones by id). Bin b of B is to hold
    1/(B - b) of the occurrences that the bins before it left: an id joins it while at least half of its occurrences
    fit; the first one always joins, and every later bin keeps at least one id. So the bins partition the *ids* (all
    occurrences of one id are in one bin), none is empty, and each is about a quantile of the *occurrences*: every bin
    has about as many masked tokens to be measured on. Quantiles of the ids would put nearly all text into one bin.

    >>> bin_tokens([[7, 7, 7, 7], [5, 5, 3, 1]], 2).bins.tolist()
    [0, 1, 1, 1]

    Args:
        answers: token ids.
        bins: number of bins, B.

    Returns:
        The bin of each token id.

    Raises:
        UserError: there are no tokens, or fewer different ones than bins.
    """
    found = Counter(token for answer in answers for token in answer)
    ranked = sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))
    if not ranked:
        raise UserError("expected answers with at least one token, found none; check the data")
    if not 1 <= bins <= len(ranked):
        raise UserError(
            f"bins: expected from 1 to {len(ranked)}, the different tokens of the answers, found {bins}; "
            f"write {min(max(bins, 1), len(ranked))}"
        )
    counts = [count for _, count in ranked]
    return FrequencyBins(
        ids=torch.tensor([token for token, _ in ranked]),
        counts=torch.tensor(counts),
        bins=torch.tensor(_cut(counts, bins)),
    )


def _cut(counts: Sequence[int], bins: int) -> list[int]:
    """Return the bin of each id, computed in whole numbers so that no rounding moves a border."""
    places: list[int] = []
    left = sum(counts)
    for later in range(bins - 1, -1, -1):
        taken, begin = 0, len(places)
        for count in counts[begin : len(counts) - later]:
            if len(places) > begin and (2 * taken + count) * (later + 1) > 2 * left:
                break
            taken += count
            places.append(bins - 1 - later)
        left -= taken
    return places
