"""Several files of which each gets a share of the examples that are drawn, by weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from unmask.data.buckets import BucketSampler
from unmask.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Blend:
    """Which examples belong together, and how often they are drawn.

    Args:
        members: for each file, the indices of its examples.
        weights: of each file, relative to one another; above 0.
    """

    members: tuple[Sequence[int], ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.members) != len(self.weights) or not all(weight > 0 for weight in self.weights):
            raise UserError(
                f"expected a weight above 0 for each of {len(self.members)} files, found {list(self.weights)}; "
                "write one for each"
            )
        if not self.members or not all(len(indices) for indices in self.members):
            raise UserError("expected examples of every file, found a file without any; leave it out")

    @property
    def shares(self) -> list[float]:
        """The share of each file among the examples that are drawn; they sum to 1."""
        return [weight / sum(self.weights) for weight in self.weights]


class BlendSampler(BucketSampler):
    """Shows the files in turn so that each has its share of every stretch, and the examples of each in passes.

    The k-th example of a file with weight w is due at (k + 1/2) / w; examples are shown in the order in which they are
    due (Webster's rule of apportionment), the earlier file first where two are due at once. The count of a file differs
    from its exact share by less than the number of files, and no number is drawn. Each pass over a file shows each of
    its examples once, in an order of its own, keyed by seed, pass and example.

    A pure function of the position: nothing depends on batches or ranks, and a longer run begins as a shorter one does.

    >>> sampler = BlendSampler(Blend(members=([0, 1], [2]), weights=(2.0, 1.0)), length=6, seed=0)
    >>> [sorted(sampler(n) for n in range(start, start + 3)) for start in (0, 3)]
    [[0, 1, 2], [0, 1, 2]]

    Args:
        blend: the examples and weights.
        length: positions of the whole run.
        seed: of the run.
    """

    def __init__(self, blend: Blend, *, length: int, seed: int) -> None:
        self._made_of = {"blend": blend, "length": length, "seed": seed}
        super().__init__(blend.members, schedule(blend.weights, length), seed=seed)

    def __getstate__(self) -> dict[str, Any]:
        return self._made_of

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # workers that are spawned make it anew


def schedule(weights: Sequence[float], length: int) -> Int[Tensor, " P"]:
    """Return which of the files is shown at each of the first ``length`` positions, as an index.

    Args:
        weights: of the files, above 0.
        length: number of positions.

    Returns:
        Indices of files, int16.
    """
    due, file = [], []
    for index, weight in enumerate(weights):
        # More than its share and one for each file, so that the order of those that are kept is whole.
        count = min(length, int(length * weight / sum(weights)) + len(weights) + 1)
        due.append((torch.arange(count, dtype=torch.float64) + 0.5) / weight)
        file.append(torch.full((count,), index, dtype=torch.int16))
    order = torch.cat(due).argsort(stable=True)[:length]
    return torch.cat(file)[order]
