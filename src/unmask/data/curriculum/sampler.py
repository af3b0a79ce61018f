"""A curriculum as a sampler: a function from the position in the global order to the example."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from unmask.core.random import Draws
from unmask.data.buckets import BucketSampler
from unmask.data.curriculum.base import Curriculum
from unmask.errors import UserError

CHUNK = 1 << 16  # positions whose weights are held at once


class CurriculumSampler(BucketSampler):
    """Draws a bucket for every position, and shows the examples of each bucket in turn.

    At position ``order`` of ``length`` the law stands at progress = order / length. Within an optimiser step that moves
    it by less than 1 / steps, and so the examples of a run depend on how many it sees and not on how they are cut into
    steps, micro-batches and ranks. Each pass over a bucket shows each of its examples once, in an order of its own.

    A pure function of ``order``: the buckets of the whole run are drawn at once from numbers keyed by (seed, order),
    and counted. No state is saved, and a run that is resumed sees what it would have seen.

    Differs from the paper (E2H Reasoner, arXiv 2506.06632): its law stands still within a step; it schedules the
    prompts of reinforcement learning, here it is the examples of any objective.

    >>> from unmask.data.curriculum.laws import Classic
    >>> sampler = CurriculumSampler(Classic(), [[1, 3], [0, 2]], length=8, seed=0)
    >>> [sorted(sampler(n) for n in pass_) for pass_ in ((0, 1), (2, 3), (4, 5), (6, 7))]
    [[1, 3], [1, 3], [0, 2], [0, 2]]

    Args:
        curriculum: the law.
        buckets: the examples of each bucket by index, easiest first.
        length: positions of the whole run.
        seed: of the run.

    Raises:
        UserError: a bucket is empty.
    """

    def __init__(self, curriculum: Curriculum, buckets: Sequence[Sequence[int]], *, length: int, seed: int) -> None:
        if not buckets or not all(len(bucket) for bucket in buckets):
            sizes = [len(bucket) for bucket in buckets]
            raise UserError(f"expected examples in every bucket, found buckets of {sizes}; leave out the empty ones")
        self._made_of = {"curriculum": curriculum, "buckets": buckets, "length": length, "seed": seed}
        super().__init__(buckets, _drawn(curriculum, len(buckets), length, Draws(seed=seed)), seed=seed)

    def __getstate__(self) -> dict[str, Any]:
        return self._made_of

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # workers that are spawned draw the same again


def _drawn(curriculum: Curriculum, buckets: int, length: int, draws: Draws) -> Int[Tensor, " P"]:
    """Return the bucket of every position, drawn by inverting the cumulative weights."""
    drawn = []
    for start in range(0, length, CHUNK):
        order = torch.arange(start, min(start + CHUNK, length))
        reached = curriculum.weights(order.double() / length, buckets).cumsum(1)
        reached = reached / reached[:, -1:]  # exactly 1 at the end, which no draw reaches
        uniform = draws.uniform("bucket", order)
        drawn.append((reached <= uniform[:, None]).sum(1, dtype=torch.int32))
    return torch.cat(drawn)
