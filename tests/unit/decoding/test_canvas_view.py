"""What the plain view calls settled."""

import torch

from toys import Hash
from unmask.core.attention import CLEAN
from unmask.core.attention_rules import ContextCausal
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import CanvasView, Decoder, decode


def test_only_whole_blocks_of_the_grid_are_settled():
    """A block that begins at 5 of a grid of 4: columns 0 to 3 are clean, column 4 is read as part of its block."""
    batch = lay_out([Example(prompt=[1, 2], answer=(), order=0, canvas=8)], block_size=4, filler_id=9)
    resolved = Decoder(stop="never", blocks={"name": "sliding", "block_size": 3}).resolve()
    model, found = Hash(), {}
    model.rule = ContextCausal()
    for step in decode(model, batch, resolved, draws=Draws(seed=0)):
        state = step.state
        rows = torch.tensor([0])
        query, _ = CanvasView().query(model, state, rows, torch.zeros(0, 2, dtype=torch.int64))
        found[int(state.block_start[0])] = (query.columns.stream[0, 2:] == CLEAN).tolist()
    starts = [start for start in found if start % 4 and start < 8]
    assert starts
    for start in starts:
        assert found[start] == [column < start // 4 * 4 for column in range(8)]
