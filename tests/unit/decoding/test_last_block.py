"""A last block that the canvas does not fill: decoded whole and cut afterwards, or cut short."""

import json
from dataclasses import replace

import pytest
import torch

from unmask.core.random import Draws
from unmask.decoding import Decoder, decode
from unmask.errors import UserError
from unmask.generate import answer_text, generate, infill, prepare, resolve_decoder, stream
from unmask.models import Facts, ScratchSpec, from_scratch
from unmask.tracing.record import read_trace, record

BLOCK = 4
PROMPTS = [[1, 2, 3], [4, 5, 6, 1, 2, 3], [5, 1, 1, 2, 4, 2, 3, 3]]


@pytest.fixture
def lm():
    spec = ScratchSpec(hidden_size=32, layers=2, heads=2, architecture="qwen3", seed=3, init_std=0.6)
    lm = from_scratch(spec, tokenizer="digits")
    lm.facts = replace(lm.facts, attention="block_causal", block_size=BLOCK, grid="text")
    return lm


@pytest.mark.parametrize("options", [{}, {"threshold": 0.6}, {"revision": {"name": "edit", "threshold": 0.1}}])
def test_whole_is_the_longer_answer_cut(lm, options):
    """An answer of 9 columns is the first 9 of the one that fills the block; a cut block gives other tokens."""
    differs = 0
    for prompt in PROMPTS:
        filled = 9 + -(len(prompt) + 9) % BLOCK
        whole = generate(lm, prompt, max_new_tokens=9, stop="never", **options)
        longer = generate(lm, prompt, max_new_tokens=filled, stop="never", last_block="cut", **options)
        assert whole.sequences[0].tolist() == longer.sequences[0][: len(prompt) + 9].tolist()
        assert len(whole.answers[0]) == 9
        short = generate(lm, prompt, max_new_tokens=9, stop="never", last_block="cut", **options)
        differs += whole.sequences[0].tolist() != short.sequences[0].tolist()
    assert differs


def test_rows_of_a_batch_are_filled_up_each_by_itself(lm):
    batch = prepare(lm, PROMPTS, 9, resolve_decoder(lm))
    assert (batch.wanted_length.tolist(), batch.canvas_length.tolist()) == ([9, 9, 9], [9, 10, 12])
    together = generate(lm, PROMPTS, max_new_tokens=9, stop="never")
    for prompt, ids in zip(PROMPTS, together.sequences, strict=True):
        assert torch.equal(generate(lm, prompt, max_new_tokens=9, stop="never").sequences[0], ids)


def test_a_row_ends_once_its_answer_is_written(lm):
    """What is cut off is not decoded for its own sake: with one token a step, only where it is chosen before."""
    batch = prepare(lm, PROMPTS[2:], 1, resolve_decoder(lm))
    *_, last = decode(lm, batch, resolve_decoder(lm, None, {"stop": "never", "selection": {
        "name": "quota", "score": "sequential"}}), draws=Draws(seed=0))  # fmt: skip
    assert last.index == 0


def test_steps_are_those_of_the_answer_and_a_block_has_its_share_of_them(lm):
    """Two steps a block write two tokens each, also of a block that the prompt has begun: SDAR counts whole blocks."""
    steps = list(stream(lm, PROMPTS[1], max_new_tokens=10, steps=6, stop="never"))
    assert [len(step.at) for step in steps] == [2, 2, 2, 2, 2]
    steps = list(stream(lm, PROMPTS[1], max_new_tokens=10, steps=6, stop="never", last_block="cut"))
    assert [len(step.at) for step in steps] == [1, 1, 2, 2, 2, 2]


def test_stream_and_trace_agree_with_the_answer(lm, tmp_path):
    found = generate(lm, [PROMPTS[0]], max_new_tokens=6, stop="never", threshold=0.2,
                     through=lambda steps: record(steps, lm, tmp_path / "t.jsonl"))  # fmt: skip
    trace = read_trace(tmp_path / "t.jsonl")
    assert trace.canvas(0) == 6
    cells = trace.frames(0)[-1].cells
    assert [cells[offset].id for offset in range(6)] == found.sequences[0][3:].tolist()
    assert len(cells) == 6
    *_, last = stream(lm, PROMPTS[0], max_new_tokens=6, stop="never", threshold=0.2)
    assert answer_text(lm, last.state) == found.texts[0]


def test_the_rule_comes_from_the_model_unless_it_is_named(lm):
    facts = lm.facts
    assert resolve_decoder(lm).last_block == "whole"
    assert resolve_decoder(lm, Decoder(last_block="cut")).last_block == "cut"
    for other in ({"last_block": "cut"}, {"grid": "answer"}, {"attention": "bidirectional"}):
        lm.facts = replace(facts, **other)
        assert resolve_decoder(lm).last_block is None  # as in records of earlier versions
    assert resolve_decoder(lm, Decoder(last_block="whole")).last_block == "whole"


def test_on_the_grid_of_the_answer_the_canvas_is_filled_up_alone(lm):
    lm.facts = replace(lm.facts, grid="answer")
    batch = prepare(lm, PROMPTS, 9, resolve_decoder(lm, Decoder(last_block="whole")))
    assert batch.canvas_length.tolist() == [12, 12, 12]


def test_the_canvas_ends_with_a_block_of_the_model_whatever_the_decoders_blocks(lm):
    batch = prepare(lm, PROMPTS[:1], 2, resolve_decoder(lm, Decoder(block_size=2)))
    assert batch.canvas_length.tolist() == [5]


def test_a_constraint_sees_where_the_answer_ends(lm):
    decoder = Decoder(constraint={"name": "regex", "pattern": "[0-9]{5}"})
    assert resolve_decoder(lm, decoder).last_block == resolve_decoder(lm, regex="[0-9]{5}").last_block == "cut"
    assert len(generate(lm, [1, 2, 3], max_new_tokens=7, regex="[0-9]{5}").texts[0]) == 5
    with pytest.raises(UserError, match="last_block 'whole' beside the constraint 'regex'"):
        replace(decoder, last_block="whole").resolve(**lm.decoding)


def test_blanks_end_where_the_text_ends(lm):
    found = infill(lm, "123___", blank_tokens=3)
    assert len(found.sequences[0]) == 6


def test_the_fact_is_written_and_optional():
    facts = Facts(mask_id=4, eos_ids=(2,), filler_id=3, vocab_size=9, last_block="cut")
    assert Facts.from_config(json.loads(json.dumps(facts.as_config()))).last_block == "cut"
    old = {name: value for name, value in facts.as_config().items() if name != "last_block"}
    assert Facts.from_config(old).last_block is None
    with pytest.raises(UserError, match="config.unmask.last_block: expected whole, cut, found 'half'"):
        Facts.from_config({**old, "last_block": "half"})
