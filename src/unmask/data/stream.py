"""The examples of a whole run in one global order, whatever the batch size, the ranks and the restarts."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch.utils.data import Dataset

from unmask.data.rows import Encoded
from unmask.errors import UserError
from unmask.seeds import Draws

Sampler = Callable[[int], int]
"""Position in the global order -> index of the example. A curriculum is one of these."""


class Shuffled:
    """The default sampler: every epoch shows each example once, in an order of its own.

    The order of an epoch is the argsort of draws keyed by (seed, epoch, example): no global random state, no generator
    to save, and no dependence on how a library's ``permutation`` is written.

    >>> sampler = Shuffled(size=3, seed=0)
    >>> sorted(sampler(n) for n in range(3, 6))
    [0, 1, 2]

    Args:
        size: number of examples.
        seed: of the run.
    """

    def __init__(self, *, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        # Two epochs: loading ahead crosses the boundary between them and must not recompute both at each item.
        self._permutation = lru_cache(maxsize=2)(self._permute)

    def __call__(self, order: int) -> int:
        """Return the index of the example at this position of the global order."""
        epoch, place = divmod(order, self.size)
        return self._permutation(epoch)[place]

    def _permute(self, epoch: int) -> list[int]:
        keys = Draws(seed=self.seed).uniform("shuffle", torch.tensor(epoch), torch.arange(self.size))
        return keys.argsort(stable=True).tolist()

    def __getstate__(self) -> dict[str, int]:
        return {"size": self.size, "seed": self.seed}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(**state)  # workers that are spawned get a sampler without its cache


class OrderedExamples(Dataset[dict[str, Any]]):
    """``length`` items of which item n is always the same example, with n as its ``order``.

    Read it in sequence (never through a random sampler): the shuffling is inside.

    Args:
        encoded: the examples.
        seed: of the shuffling.
        length: examples that the whole run will see, over all epochs.
        sampler: what to show at each position; by default ``Shuffled``.
    """

    def __init__(self, encoded: Sequence[Encoded], *, seed: int, length: int, sampler: Sampler | None = None) -> None:
        if not len(encoded):
            raise UserError("expected at least one example to train on, found none; check data.path and its split")
        self.encoded = encoded
        self.length = length
        self.sampler = sampler or Shuffled(size=len(encoded), seed=seed)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, order: int) -> dict[str, Any]:
        """Return ``{prompt, answer, order, place}`` of the example at this position."""
        if not 0 <= order < self.length:
            raise IndexError(order)
        example = self.encoded[self.sampler(order)]
        return {"prompt": example.prompt, "answer": example.answer, "order": order, "place": example.place}
