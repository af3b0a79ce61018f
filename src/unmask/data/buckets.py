"""Samplers that pick a bucket for every position, and show the examples of each bucket in passes."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Int
from torch import Tensor

from unmask.core.random import Draws


class BucketSampler:
    """Shows, at each position, the next example of the bucket that is due there.

    Each pass over a bucket shows each of its examples once, in an order of its own. A pure function of the position:
    how often a bucket came before is counted at once for the whole run.

    Args:
        buckets: the examples of each bucket by index; none is empty.
        bucket: index of the bucket at every position of the run.
        seed: of the run.
    """

    def __init__(self, buckets: Sequence[Sequence[int]], bucket: Int[Tensor, " P"], *, seed: int) -> None:
        self._draws = Draws(seed=seed)
        self._members = [torch.as_tensor(members) for members in buckets]
        self._bucket = bucket
        self._visit = self._count(bucket)
        # Two passes of each bucket: loading ahead crosses from one to the next.
        self._permutation = lru_cache(maxsize=2 * len(buckets))(self._permute)

    def __call__(self, order: int) -> int:
        """Return the index of the example at this position of the global order."""
        bucket = int(self._bucket[order])
        visits, source = divmod(int(self._visit[order]), len(self._members[bucket]))
        return self._permutation(bucket, visits)[source]

    def _count(self, bucket: Int[Tensor, " P"]) -> Int[Tensor, " P"]:
        """Return, for every position, how many earlier ones have the same bucket."""
        visit = torch.empty(len(bucket), dtype=torch.int32)
        for index in range(len(self._members)):
            is_here = bucket == index
            visit[is_here] = torch.arange(int(is_here.sum()), dtype=visit.dtype)
        return visit

    def _permute(self, bucket: int, visits: int) -> list[int]:
        """Return a bucket in the order of one pass. The keys are ``Shuffled``'s: one bucket is a plain shuffle."""
        members = self._members[bucket]
        keys = self._draws.uniform("shuffle", torch.tensor(visits), members)
        return members[keys.argsort(stable=True)].tolist()
