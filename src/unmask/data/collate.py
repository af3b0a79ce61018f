"""Examples in one global order, and batches of them laid out on canvases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.utils.data import Dataset

from unmask.config.defaults import Layout, resolve_block_size, resolve_grid
from unmask.core.attention import Grid
from unmask.core.batch import Batch, Example, fill_canvas, lay_out
from unmask.core.random import Draws
from unmask.data.records import Encoded
from unmask.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Collator:
    """Makes batches of examples, each with a canvas.

    Args:
        layout: grid, canvas and rows. Where it names no canvas, each is fitted to its answer: the answer's blocks, and
            a tail of 0 to ``tail_blocks`` further ones, so that the length of the canvas does not give the length of
            the answer away. A tail that does not fit into ``max_length`` is drawn from what does. With the tails
            ``none`` and ``one``, a canvas ends with the answer or one column later.
        filler_id: end-of-text token after the end of the answer.
        draws: of the length of the tail, keyed by the example's position in the global order.
        cycle: tokens that stand after the answer in turn, instead of ``filler_id``; ``tail_cycle`` finds them.
    """

    layout: Layout
    filler_id: int
    draws: Draws
    cycle: tuple[int, ...] = ()

    @property
    def block_size(self) -> int:
        """Columns of a block."""
        return resolve_block_size(layout=self.layout.block_size)

    @property
    def grid(self) -> Grid:
        """Where blocks are counted from: the first ``answer`` token, or the first token of the ``text``."""
        return resolve_grid(layout=self.layout.grid)

    def __call__(self, items: Sequence[Any]) -> Batch:
        """Return a batch of items with ``prompt``, ``answer``, ``order`` and maybe ``source`` (keys or attributes)."""
        rows = [item if isinstance(item, Mapping) else vars(item) for item in items]
        order = torch.tensor([row["order"] for row in rows])
        tail = self.draws.uniform("tail", order).tolist()
        examples = [
            Example(prompt=row["prompt"], answer=row["answer"], order=row["order"], canvas=self._columns(row, share))
            for row, share in zip(rows, tail, strict=True)
        ]
        row_length = self.layout.max_length if self.layout.pack else None
        return lay_out(
            examples, block_size=self.block_size, filler_id=self.filler_id, row_length=row_length, cycle=self.cycle,
            grid=self.grid,
        )  # fmt: skip

    def _columns(self, row: Mapping[str, Any], share: float) -> int:
        """Return the columns of a canvas; ``share`` in [0, 1) picks the tail uniformly among those allowed."""
        answer, canvas = len(row["answer"]), self.layout.canvas
        if not set(self.cycle).isdisjoint(row["answer"]):
            raise UserError(
                f"{row.get('source') or 'an example'}: expected an answer without the tokens of data.tail_tokens, "
                "found one of them; name others"
            )
        prompt, size = len(row["prompt"]), self.block_size
        if canvas is not None:
            if answer > canvas:
                raise UserError(
                    f"{row.get('source') or 'an example'}: expected an answer of at most canvas={canvas} tokens, "
                    f"found {answer}; raise the canvas or encode the data with it"
                )
            # On the text grid decoding fills the last block whole, and cuts what is beyond the canvas off afterwards.
            return fill_canvas(canvas, size, prompt=prompt, grid="text") if self.grid == "text" else canvas
        filled = fill_canvas(answer, size, prompt=prompt, grid=self.grid)
        room = self.layout.max_length - len(row["prompt"]) - filled
        if self.layout.tail in ("none", "one"):
            # An answer that was cut to the whole blocks there are has no end: nothing may follow it.
            is_last = filled == answer and room < self.block_size
            return answer + (self.layout.tail == "one" and not is_last)
        tails = max(0, min(self.layout.tail_blocks or 0, room // self.block_size))
        return filled + int(share * (tails + 1)) * self.block_size


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
        epoch, source = divmod(order, self.size)
        return self._permutation(epoch)[source]

    def _permute(self, epoch: int) -> list[int]:
        keys = Draws(seed=self.seed).uniform("shuffle", torch.tensor(epoch), torch.arange(self.size))
        return keys.argsort(stable=True).tolist()

    def __getstate__(self) -> dict[str, int]:
        return {"size": self.size, "seed": self.seed}

    def __setstate__(self, state: dict[str, int]) -> None:
        Shuffled.__init__(self, **state)  # workers that are spawned get a sampler without its cache


class OrderedExamples(Dataset[dict[str, Any]]):
    """A data set of ``length`` items of which item n is always the same example, with n as its ``order``.

    Read it in sequence (never through a random sampler): the shuffling is inside.

    Args:
        encoded: the examples.
        seed: of the shuffling.
        length: examples that the whole run will see, over all epochs.
        sampler: index of the example at each position; by default ``Shuffled``.

    Raises:
        UserError: there are no examples.
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
        """Return ``{prompt, answer, order, source}`` of the example at this position."""
        if not 0 <= order < self.length:
            raise IndexError(order)
        example = self.encoded[self.sampler(order)]
        return {"prompt": example.prompt, "answer": example.answer, "order": order, "source": example.source}
