"""How the examples of a run are laid out in rows."""

from typing import Annotated

from pydantic import Field

from unmask.config import part
from unmask.data import Collator
from unmask.models import LoadedModel
from unmask.seeds import Draws

Count = Annotated[int, Field(ge=1)]


@part
class Layout:
    """Grid, canvas and rows.

    Args:
        block_size: the grid of the canvas; the objective's own goes first, then this, then the model's, then 32.
        canvas: columns of every canvas (decoding's ``max_new_tokens``); None fits each answer, with a drawn tail.
        tail_blocks: longest drawn tail, blocks.
        max_length: columns that prompt and canvas may take.
        pack: put several examples into a row; ``batch_size`` still counts examples.
    """

    block_size: Count | None = None
    canvas: Count | None = None
    tail_blocks: Annotated[int, Field(ge=0)] = 2
    max_length: Annotated[int, Field(ge=2)] = 1024
    pack: bool = False

    def collator(self, lm: LoadedModel, draws: Draws) -> Collator:
        """Return what turns examples into batches."""
        return Collator(
            block_size=self.block_size or 32,
            filler_id=lm.filler_id,
            canvas=self.canvas,
            tail_blocks=self.tail_blocks,
            max_length=self.max_length,
            pack=self.pack,
            draws=draws,
        )
