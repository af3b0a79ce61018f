"""Blocks counted from the first token of the text: rows, rooms, decoders, bounds, and methods without such blocks."""

import math

import pytest
import torch

from unmask.config.defaults import Layout, resolve_grid
from unmask.core.attention import BlockCausal, may_attend
from unmask.core.batch import Example, fill_canvas, lay_out
from unmask.core.random import Draws
from unmask.data import Collator, Encoded, Record, encode
from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.evaluate.likelihood import bound, bound_rows
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import Sdlm, Wsd

S, END = 4, 9


def rows(*prompts, answer=5, canvas=12, row_length=None, grid="text"):
    examples = [
        Example(prompt=[7] * n, answer=[*range(1, answer), END], order=i, canvas=canvas) for i, n in enumerate(prompts)
    ]
    return lay_out(examples, block_size=S, filler_id=END, row_length=row_length, grid=grid)


def test_layout_by_hand():
    batch = rows(6)
    assert batch.block.tolist() == [[-1] * 6 + [0, 0] + [1] * 4 + [2] * 4 + [3] * 2]
    assert batch.grid_block.tolist() == [[0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 2]
    assert batch.is_lead.long().tolist() == [[0, 0, 0, 0, 1, 1] + [0] * 12]
    assert (batch.lead.tolist(), batch.filled_length.tolist()) == ([2], [6])
    on_answer = rows(6, grid="answer")
    assert (on_answer.lead.tolist(), bool(on_answer.is_lead.any()), on_answer.filled_length.tolist()) == (
        [0],
        False,
        [8],
    )


def test_packed_examples_count_each_from_their_own_start():
    packed = rows(3, 6, 8, row_length=60)
    assert len(packed.ids) == 1
    for example, alone in enumerate((rows(3), rows(6), rows(8))):
        mine = packed.owner == example
        for name in ("block", "grid_block", "is_lead", "offset"):
            assert getattr(packed, name)[mine].tolist() == getattr(alone, name).flatten().tolist()
    assert packed.lead.tolist() == [3, 2, 0]


@pytest.mark.parametrize("prompt", range(2 * S + 2))
def test_fitted_and_fixed_canvases_end_on_a_line_of_the_grid(prompt):
    item = {"prompt": [7] * prompt, "answer": [1, 2, 3, 4, END], "order": 0}
    for canvas, tails in ((None, 0), (None, 2), (6, 2)):
        layout = Layout(block_size=S, grid="text", canvas=canvas, tail_blocks=tails, max_length=40)
        batch = Collator(layout=layout, filler_id=END, draws=Draws(seed=prompt))([item])
        assert (prompt + int(batch.canvas_length)) % S == 0
        assert (prompt + int(batch.filled_length)) % S == 0
        assert int(batch.filled_length) == fill_canvas(5, S, prompt=prompt, grid="text")


def test_an_answer_may_take_what_the_blocks_of_the_text_leave_of_the_longest_row():
    tokenizer = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1)).tokenizer
    records = [Record(prompt="123456", completion="1" * n) for n in (4, 5, 6)]
    options = {"max_length": 13, "block_size": S, "too_long": "truncate"}  # 12 columns are whole blocks, 6 are left
    assert [len(e.answer) for e in encode(records, tokenizer, grid="text", **options)] == [5, 6, 6]
    assert [len(e.answer) for e in encode(records, tokenizer, **options)] == [4, 4, 4]
    with pytest.raises(UserError, match="room for a block of 2 in max_length=7, found 6"):
        encode(records, tokenizer, grid="text", block_size=S, max_length=7)


def test_the_first_owner_that_names_a_grid_decides():
    assert resolve_grid(decoder="answer", layout="text", export="text", model="text") == "answer"
    assert resolve_grid(layout="text", model="answer") == "text"
    assert resolve_grid(export="text", model="answer") == "text"
    assert (resolve_grid(model="text"), resolve_grid()) == ("text", "answer")


def test_a_decoder_takes_the_grid_in_either_place_but_not_two():
    assert Decoder(grid="text").resolve() == Decoder(blocks={"name": "fixed", "grid": "text"}).resolve()
    assert Decoder(grid="answer").resolve(grid="text").blocks.grid == "answer"
    assert Decoder().resolve(grid="text").blocks.grid == "text"
    with pytest.raises(UserError, match="grid=text and blocks.grid=answer: expected one grid; leave one out"):
        Decoder(grid="text", blocks={"name": "fixed", "grid": "answer"})
    with pytest.raises(UserError, match="grid=text beside the block rule 'whole': expected the rule 'fixed'"):
        Decoder(grid="text", blocks="whole")


def test_wsd_reads_the_whole_response_as_one_block_that_the_prompt_does_not_see():
    """The model's own rule counts blocks of the last size by now; the stable phase has one block."""
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1), attention="block_causal")
    lm.facts = type(lm.facts)(**{**vars(lm.facts), "grid": "text", "block_size": S})
    noised = Wsd(block_size=S).noise(rows(6, 3), model=lm, draws=Draws(seed=0), progress=0.5)
    assert noised.query.rule == BlockCausal()
    batch, seen = rows(6, 3), may_attend(noised.query.rule, noised.query.columns, noised.query.columns)
    canvas = batch.is_canvas
    same = batch.owner[:, :, None] == batch.owner[:, None, :]
    assert seen[canvas[:, :, None] & canvas[:, None, :] & same].all()
    assert not seen[~canvas[:, :, None] & canvas[:, None, :]].any()


def test_sdlm_has_no_grid():
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1), shift=True)
    on_text, on_answer = (
        Sdlm(block_size=S).noise(rows(6, 3, grid=grid), model=lm, draws=Draws(seed=0), progress=0.0)
        for grid in ("text", "answer")
    )
    assert torch.equal(on_text.query.ids, on_answer.query.ids)
    assert torch.equal(on_text.query_positions, on_answer.query_positions)
    seen = [may_attend(n.query.rule, n.query.columns, n.query.columns) for n in (on_text, on_answer)]
    assert torch.equal(*seen)


def test_bounds_by_blocks_follow_the_grid():
    """A prompt of 6 leaves 2 columns of its block of 4, then 3 of the next: 2^2 - 1 + 2^3 - 1 subsets; else 4 and 1."""
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=1, init_std=0.3), attention="block_causal")
    lm.facts = type(lm.facts)(**{**vars(lm.facts), "grid": "text", "block_size": S})
    examples = [Encoded(prompt=[7] * 6, answer=[1, 2, 3, 4, 5])]
    assert bound_rows(examples, "blocks", 100, S, "text") == 3 + 7
    assert bound_rows(examples, "blocks", 100, S) == 15 + 1
    found = bound(lm, examples, order="blocks", samples=100, block_size=S, grid="text")
    assert found.rows == 10
    by_hand = 0.0
    for start, width in ((0, 2), (2, 3)):
        for number in range(1, 2**width):
            hidden = [start + i for i in range(width) if number >> i & 1]
            batch = lay_out(
                [Example(prompt=[7] * 6, answer=[1, 2, 3, 4, 5], order=0, canvas=5)], block_size=S, filler_id=END,
                grid="text",
            )  # fmt: skip
            ids = batch.ids.clone()
            ids[0, [6 + i for i in hidden]] = lm.mask_id
            ids[0, 6 + start + width :] = lm.mask_id
            at = torch.tensor([[0, 6 + i] for i in hidden])
            with torch.no_grad():
                nll = lm.score(batch.query(ids, lm.rule), at, batch.ids[0, at[:, 1]]).nll.sum()
            by_hand += float(nll) / (width * math.comb(width, len(hidden))) * width / len(hidden)
    assert float(found.nats) == pytest.approx(by_hand, rel=1e-5)
