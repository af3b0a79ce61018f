"""Examples to a ``Batch``: each gets its canvas, then the one builder of rows lays them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from unmask.canvas import Batch, Example, fill_to_block, lay_out
from unmask.defaults import Layout, resolve_block_size
from unmask.errors import UserError
from unmask.seeds import Draws


@dataclass(frozen=True, kw_only=True)
class Collator:
    """Give every example a canvas and lay the batch out.

    Args:
        layout: grid, canvas and rows. Where it names no canvas, each is fitted to its answer: the answer's blocks, and
            a tail of 0 to ``tail_blocks`` further ones, so that the length of the canvas does not give the length of
            the answer away. A tail that does not fit into ``max_length`` is drawn from what does.
        filler_id: end-of-text token after the end of the answer.
        draws: of the length of the tail, keyed by the example's place in the global order.
    """

    layout: Layout
    filler_id: int
    draws: Draws

    @property
    def block_size(self) -> int:
        """Return the columns of a block; the grid is anchored at the first answer token."""
        return resolve_block_size(layout=self.layout.block_size)

    def __call__(self, items: Sequence[Any]) -> Batch:
        """Lay out items that have ``prompt``, ``answer``, ``order`` and maybe ``place``, as keys or attributes."""
        rows = [item if isinstance(item, Mapping) else vars(item) for item in items]
        order = torch.tensor([row["order"] for row in rows])
        tail = self.draws.uniform("tail", order).tolist()
        examples = [
            Example(prompt=row["prompt"], answer=row["answer"], order=row["order"], canvas=self._columns(row, share))
            for row, share in zip(rows, tail, strict=True)
        ]
        row_length = self.layout.max_length if self.layout.pack else None
        return lay_out(examples, block_size=self.block_size, filler_id=self.filler_id, row_length=row_length)

    def _columns(self, row: Mapping[str, Any], share: float) -> int:
        """Size one canvas. ``share`` in [0, 1) picks the tail uniformly among those allowed."""
        answer, canvas = len(row["answer"]), self.layout.canvas
        if canvas is not None:
            if answer > canvas:
                raise UserError(
                    f"{row.get('place') or 'an example'}: expected an answer of at most canvas={canvas} tokens, "
                    f"found {answer}; raise the canvas or encode the data with it"
                )
            return canvas
        filled = fill_to_block(answer, self.block_size)
        room = self.layout.max_length - len(row["prompt"]) - filled
        tails = max(0, min(self.layout.tail_blocks, room // self.block_size))
        return filled + int(share * (tails + 1)) * self.block_size
