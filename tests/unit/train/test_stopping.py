"""A tuned toy stops where its answers end, for each tail that is meant to teach it."""

import pytest

from unmask.config.defaults import Layout
from unmask.data import Record, encode
from unmask.generate import generate
from unmask.models import ScratchSpec, from_scratch
from unmask.train import train
from unmask.train.config import TrainRun

WORDS = ["abcdefg"[:n] for n in range(1, 8)]  # a letter asks for the alphabet up to itself
ASKED = [word[-1] + ":" for word in WORDS]
SIZE, LONGEST = 4, 8  # columns of a block, and of the longest answer with its end
BIDIRECTIONAL = {"objective": {"name": "blockwise"}, "steps": 400, "lr": 4e-3}
CAUSAL = {"objective": {"name": "block_diffusion"}, "steps": 250, "lr": 6e-3}


def tuned(method, out, size=SIZE, **layout):
    lm = from_scratch(ScratchSpec(hidden_size=64, layers=2, heads=4), device="cpu")
    records = [Record(prompt=ask, completion=word) for ask, word in zip(ASKED, WORDS, strict=True)]
    data = encode(records * 8, lm.tokenizer, max_length=None, chat=False)
    objective = {**method["objective"], "block_size": size}
    run = TrainRun(**{**method, "objective": objective}, batch_size=14, save_every=method["steps"])
    train(lm, data, run, out=out, layout=Layout(max_length=256, **layout), show=False)
    assert lm.facts.canvas == LONGEST
    return lm


def stops(lm, canvas=None, size=SIZE):
    """Return how many answers end too early, and how many go on beyond where they should end."""
    found = generate(lm, ASKED, max_new_tokens=canvas, block_size=size, chat=False)
    early = late = 0
    for answer, word in zip(found.answers, WORDS, strict=True):
        has_end = int(answer[-1]) in lm.eos_ids
        length = len(answer) - has_end
        early += has_end and length < len(word)
        late += not has_end or length > len(word)
    return early, late


@pytest.mark.parametrize("tail", [None, "rainbow"])
def test_a_drawn_tail_teaches_to_stop_on_every_canvas_that_it_has_shown(tail, tmp_path):
    more = {"tail": tail, "tail_tokens": tuple("()[]{}&")} if tail else {}
    lm = tuned(BIDIRECTIONAL, tmp_path / "run", **more)
    assert [stops(lm, canvas) for canvas in (None, 12, 16)] == [(0, 0)] * 3


@pytest.mark.parametrize("tail", [None, "block", "rainbow"])
def test_a_block_causal_model_sees_no_tail_and_stops_on_any_canvas(tail, tmp_path):
    more = {"tail_tokens": tuple("()[]{}&")} if tail == "rainbow" else {}
    lm = tuned(CAUSAL, tmp_path / "run", tail=tail, **more)
    assert [stops(lm, canvas) for canvas in (None, 16, 64)] == [(0, 0)] * 3


@pytest.mark.parametrize(("tail", "size"), [("none", 1), ("one", 2)])
def test_short_tails_teach_to_stop_where_blocks_are_as_short(tail, size, tmp_path):
    """Every column of the block that holds the end was trained then."""
    lm = tuned(CAUSAL, tmp_path / "run", size=size, tail=tail)
    assert [stops(lm, canvas, size) for canvas in (None, 16, 64)] == [(0, 0)] * 3


def test_without_a_tail_a_block_of_four_goes_on_behind_the_end(tmp_path):
    early, late = stops(tuned(CAUSAL, tmp_path / "run", tail="none"))
    assert early == 0
    assert late >= 4
