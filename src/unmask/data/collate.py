"""Examples to a ``Batch``: each gets its canvas, then the one builder of rows lays them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from unmask.canvas import Batch, Example, fill_to_block, lay_out
from unmask.errors import UserError
from unmask.seeds import Draws


@dataclass(frozen=True, kw_only=True)
class Collator:
    """Give every example a canvas and lay the batch out.

    Args:
        block_size: the decoder's grid, anchored at the first answer token.
        filler_id: end-of-text token after the end of the answer.
        canvas: columns of every canvas, as ``max_new_tokens`` in decoding; None fits the canvas to the answer: its
            blocks, and a tail of 0 to ``tail_blocks`` further ones, so that the length of the canvas does not give
            the length of the answer away.
        tail_blocks: the longest tail, in blocks; ignored where ``canvas`` is given.
        draws: of the length of the tail, keyed by the example's place in the global order.
        max_length: columns that prompt and canvas may take; a tail that does not fit is drawn from what does.
        pack: put several examples into a row of ``max_length`` (or of the longest) instead of padding each.
    """

    block_size: int
    filler_id: int
    canvas: int | None = None
    tail_blocks: int = 0
    draws: Draws
    max_length: int | None = None
    pack: bool = False

    def __call__(self, items: Sequence[Any]) -> Batch:
        """Lay out items that have ``prompt``, ``answer``, ``order`` and maybe ``place``, as keys or attributes."""
        rows = [item if isinstance(item, Mapping) else vars(item) for item in items]
        order = torch.tensor([row["order"] for row in rows])
        tail = self.draws.uniform("tail", order).tolist()
        examples = [
            Example(prompt=row["prompt"], answer=row["answer"], order=row["order"], canvas=self._columns(row, share))
            for row, share in zip(rows, tail, strict=True)
        ]
        longest = max(example.columns for example in examples)
        row_length = (self.max_length or longest) if self.pack else None
        return lay_out(examples, block_size=self.block_size, filler_id=self.filler_id, row_length=row_length)

    def _columns(self, row: Mapping[str, Any], share: float) -> int:
        """Size one canvas. ``share`` in [0, 1) picks the tail uniformly among those allowed."""
        answer = len(row["answer"])
        if self.canvas is not None:
            if answer > self.canvas:
                raise UserError(
                    f"{row.get('place') or 'an example'}: expected an answer of at most canvas={self.canvas} tokens, "
                    f"found {answer}; raise the canvas or encode the data with it"
                )
            return self.canvas
        filled = fill_to_block(answer, self.block_size)
        tails = self.tail_blocks
        if self.max_length is not None:
            room = self.max_length - len(row["prompt"]) - filled
            tails = max(0, min(tails, room // self.block_size))
        return filled + int(share * (tails + 1)) * self.block_size
