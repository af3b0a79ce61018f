import pytest

from unmask.config.defaults import Layout
from unmask.core.random import Draws
from unmask.data import Collator
from unmask.objectives import Blockwise
from unmask.train import held_out_loss


def test_does_not_depend_on_the_batch_size_and_repeats(tiny, sorting):
    lm = tiny()
    collator = Collator(layout=Layout(block_size=4), filler_id=lm.filler_id, draws=Draws(seed=0))
    values = [
        held_out_loss(lm, Blockwise(block_size=4), sorting[:10], collator, batch_size=size, passes=2)
        for size in (1, 3, 10, 3)
    ]
    assert values == pytest.approx([values[0]] * 4, rel=1e-5)
    assert values[1] == values[3]


def test_training_mode_is_put_back(tiny, sorting):
    lm = tiny()
    collator = Collator(layout=Layout(block_size=4, tail_blocks=0), filler_id=lm.filler_id, draws=Draws(seed=0))
    for mode in (True, False):
        lm.model.train(mode)
        held_out_loss(lm, Blockwise(block_size=4), sorting[:2], collator, batch_size=2)
        assert lm.model.training is mode
