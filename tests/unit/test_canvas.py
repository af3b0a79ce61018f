import pytest
import torch

from unmask.attention import Bidirectional
from unmask.canvas import Example, fill_to_block, lay_out


def two():
    return lay_out(
        [
            Example(prompt=[1, 2], answer=[3, 4, 5, 9], order=7, canvas=12),
            Example(prompt=[6], answer=[7, 9], order=8, canvas=4),
        ],
        block_size=3,
        filler_id=0,
    )


def test_layout_by_hand():
    b = two()
    assert b.ids.tolist()[0] == [1, 2, 3, 4, 5, 9, 0, 0, 0, 0, 0, 0, 0, 0]
    assert b.ids.tolist()[1] == [6, 7, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert b.offset.tolist()[1] == [-1, 0, 1, 2, 3] + [-1] * 9
    assert b.owner.tolist()[1] == [1] * 5 + [-1] * 9
    assert b.position.tolist()[0] == list(range(14))
    assert b.text_length.tolist() == [4, 2]
    assert b.filled_length.tolist() == [6, 3]
    assert b.block.tolist()[0] == [-1, -1, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert b.is_text.sum(1).tolist() == [4, 2]
    assert b.is_filled.sum(1).tolist() == [6, 3]
    assert b.is_canvas.sum(1).tolist() == [12, 4]


def test_packing_by_hand():
    """Rows of 20 hold 14 + 5 columns; the third example needs a row of its own."""
    examples = [
        Example(prompt=[6], answer=[7, 9], order=8, canvas=4),
        Example(prompt=[1, 2], answer=[3, 4, 5, 9], order=7, canvas=12),
        Example(prompt=[5, 5], answer=[8, 9], order=9, canvas=8),
    ]
    b = lay_out(examples, block_size=3, filler_id=0, row_length=20)
    assert b.owner.tolist() == [[1] * 14 + [0] * 5, [2] * 10 + [-1] * 9]
    assert b.ids.tolist()[0] == [1, 2, 3, 4, 5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 6, 7, 9, 0, 0]
    assert b.position.tolist()[0] == [*range(14), *range(5)]
    assert b.offset.tolist()[0] == [-1, -1, *range(12), -1, *range(4)]
    assert b.order.tolist() == [8, 7, 9]


def test_filled_length_never_exceeds_the_canvas():
    b = lay_out([Example(prompt=[1], answer=[2, 3], order=0, canvas=2)], block_size=8, filler_id=0)
    assert b.filled_length.tolist() == [2]


def test_an_answer_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="answer of 3 tokens does not fit a canvas of 2"):
        lay_out([Example(prompt=[1], answer=[2, 3, 4], order=0, canvas=2)], block_size=2, filler_id=0)


def test_spread_and_query():
    b = two()
    assert b.spread(torch.tensor([10, 20]))[1, 0] == 20
    q = b.query(b.ids, Bidirectional())
    assert torch.equal(q.columns.segment, b.owner)
    assert torch.equal(q.columns.block, b.block)


@pytest.mark.parametrize(("length", "block", "filled"), [(1, 4, 4), (4, 4, 4), (5, 4, 8), (3, 1, 3)])
def test_fill_to_block(length, block, filled):
    assert fill_to_block(length, block) == filled
