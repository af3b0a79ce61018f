"""Stop strings: found in finished blocks only, cut at the first, no trace left in other rows."""

import pytest
import torch

from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.generate import answer_text, generate, stream
from unmask.models import ScratchSpec, from_scratch

SPEC = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=3)


@pytest.fixture
def lm(monkeypatch):
    """A model that writes the digits of its position: 0123456789, from the end of each block to its start."""
    lm = from_scratch(SPEC)
    digits = torch.tensor(lm.tokenizer("0123456789")["input_ids"])

    def logits(query, query_positions):
        lm.seen += 1
        position = query.columns.position[query_positions[:, 0], query_positions[:, 1]] - 2
        out = torch.zeros(len(query_positions), lm.vocab_size)
        return out.index_put((torch.arange(len(query_positions)), digits[position % 10]), 5.0 + position / 100)

    lm.seen = 0
    monkeypatch.setattr(lm, "logits", logits)
    return lm


def test_a_row_ends_with_the_block_that_completes_a_stop_string(lm):
    out = generate(lm, [[1, 1]], max_new_tokens=12, block_size=4, stop="never", stop_strings=["56"])
    assert out.texts == ["01234"]
    assert lm.tokenizer.decode(out.answers[0].tolist()) == "0123456"
    assert out.forwards == 8
    assert out.sequences[0][10:].tolist() == [lm.filler_id] * 4
    assert lm.tokenizer.decode(out.sequences[0][2:10].tolist()) == "01234567"  # the block was finished
    assert out.tokens_per_forward == 7 / 8


def test_it_is_not_looked_for_within_an_unfinished_block(lm):
    """Written from the right, '67' stands there after two forwards of the second block."""
    out = generate(lm, [[1, 1]], max_new_tokens=12, block_size=4, stop="never", stop_strings="67", keep_steps=True)
    assert [int(step.at[0, 1]) for step in out.steps] == [3, 2, 1, 0, 7, 6, 5, 4]
    assert out.texts == ["012345"]


def test_across_blocks_and_the_first_of_several(lm):
    options = {"max_new_tokens": 12, "block_size": 4, "stop": "never"}
    assert generate(lm, [[1, 1]], stop_strings=["34"], **options).texts == ["012"]
    assert generate(lm, [[1, 1]], stop_strings=["34", "6", "12"], **options).texts == ["0"]
    assert generate(lm, [[1, 1]], stop_strings=["0"], **options).texts == [""]
    assert generate(lm, [[1, 1]], stop_strings=["77"], **options).texts == ["012345678901"]


def test_other_rows_go_on(lm):
    rows = [[1, 1], [1, 1, 1, 1, 1]]  # the second begins with 3
    out = generate(lm, rows, max_new_tokens=8, block_size=4, stop="never", stop_strings=["12"])
    assert out.texts == ["0", "34567890"]
    assert out.row_forwards == [4, 8]


def test_an_end_token_still_ends_a_row_and_hides_what_follows_it(lm, monkeypatch):
    digits = lm.logits

    def logits(query, query_positions):
        out = digits(query, query_positions)
        out[query.columns.position[query_positions[:, 0], query_positions[:, 1]] == 4, lm.eos_ids[0]] = 20.0
        return out

    monkeypatch.setattr(lm, "logits", logits)
    out = generate(lm, [[1, 1]], max_new_tokens=12, block_size=4, stop_strings=["3"])
    assert out.texts == ["01"]
    assert generate(lm, [[1, 1]], max_new_tokens=12, block_size=4, stop="never", stop_strings=["3"]).texts == ["01"]


def test_the_stream_ends_as_well(lm):
    steps = list(stream(lm, [1, 1], max_new_tokens=12, block_size=4, stop="never", stop_strings="56"))
    assert len(steps) == 8
    assert answer_text(lm, steps[-1].state, stop_strings=["56"]) == "01234"


def test_a_revision_that_still_holds_the_block_is_waited_for(lm):
    decoder = Decoder(block_size=4, threshold=0.5, revision="edit", stop="never")
    held = generate(lm, [[1, 1]], max_new_tokens=12, decoder=decoder, stop_strings=["2"])
    free = generate(lm, [[1, 1]], max_new_tokens=12, block_size=4, threshold=0.5, stop="never", stop_strings=["2"])
    assert held.texts == free.texts == ["01"]
    assert held.forwards >= free.forwards


@pytest.mark.parametrize("strings", [[""], [3], ["a", ""]])
def test_what_is_no_stop_string_is_refused(unchecked, lm, strings):
    with pytest.raises(UserError, match="stop string: expected text of at least one character, found"):
        generate(lm, [[1, 1]], stop_strings=strings)


def test_a_model_without_a_tokenizer_has_no_text_to_stop_at(lm):
    from dataclasses import replace

    with pytest.raises(UserError, match="stop strings: the model has no tokenizer to spell its tokens"):
        generate(replace(lm, tokenizer=None), [[1, 1]], stop_strings="a")
