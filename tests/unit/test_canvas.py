import pytest
import torch

from unmask.core.attention import Bidirectional
from unmask.core.batch import Example, fill_to_block, lay_out


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
    """Rows of 20 would hold 14 + 5 and 10 columns; two rows are needed, and even ones are narrower: 14 and 10 + 5."""
    examples = [
        Example(prompt=[6], answer=[7, 9], order=8, canvas=4),
        Example(prompt=[1, 2], answer=[3, 4, 5, 9], order=7, canvas=12),
        Example(prompt=[5, 5], answer=[8, 9], order=9, canvas=8),
    ]
    b = lay_out(examples, block_size=3, filler_id=0, row_length=20)
    assert b.owner.tolist() == [[1] * 14 + [-1], [2] * 10 + [0] * 5]
    assert b.ids.tolist()[1] == [5, 5, 8, 9, 0, 0, 0, 0, 0, 0, 6, 7, 9, 0, 0]
    assert b.position.tolist()[1] == [*range(10), *range(5)]
    assert b.offset.tolist()[1] == [-1, -1, *range(8), -1, *range(4)]
    assert b.order.tolist() == [8, 7, 9]


def test_packing_stays_within_its_rows():
    """Evened out, 9 + 9 | 8 + 8 would do; but 7 + 7 + 6 | 5 + 5 + 5 + 5 beyond 20 falls back to first fit."""
    for sizes, length in (([9, 9, 8, 8], 18), ([7, 7, 6, 5, 5, 5, 5], 20), ([13, 9, 8, 6, 4], 20), ([30, 3], 20)):
        examples = [Example(prompt=[1], answer=[9], order=i, canvas=n - 1) for i, n in enumerate(sizes)]
        b = lay_out(examples, block_size=1, filler_id=0, row_length=length)
        assert b.ids.shape[1] <= max(length, max(sizes))
        assert sorted(b.owner[b.owner >= 0].unique().tolist()) == list(range(len(sizes)))
        assert int((b.owner >= 0).sum()) == sum(sizes)


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
