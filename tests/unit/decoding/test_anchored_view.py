"""SDLM's window in decoding: what training showed, to the logit."""

import math
from dataclasses import replace

import pytest
import torch
from places import MASK, trace

from toys import Hash
from unmask.core.attention import ANCHORED, CLEAN, PAD
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import VIEWS, Decoder
from unmask.decoding.loop import start
from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import Sdlm

PROMPTS, ANSWERS = [[1, 2, 3], [4]], [[5, 6, 7, 8, 1, 2, 9], [3, 4, 9]]
D, CANVAS = 4, 8


def texts():
    examples = [
        Example(prompt=p, answer=a, order=o, canvas=CANVAS)
        for o, (p, a) in enumerate(zip(PROMPTS, ANSWERS, strict=True))
    ]
    return lay_out(examples, block_size=D, filler_id=9)


def after(batch, written, *, mask_id, block=CANVAS):
    """Decoding, when the first ``written`` tokens of every row stand; ``block``: size of the decoder's blocks."""
    state = start(batch, mask_id)
    is_open = state.is_open & (batch.offset >= written)
    begin = torch.full((len(batch.order),), written // block * block)
    return replace(
        state,
        ids=torch.where(is_open, mask_id, batch.ids),
        is_open=is_open,
        block_start=begin,
        block_end=torch.minimum(begin + block, batch.canvas_length),
    )


def shown(state, model, query_positions, rows=(0, 1), **fields):
    return VIEWS["anchored"](**fields).query(model, state, torch.tensor(rows), torch.tensor(query_positions))


def columns_of(query, row):
    c = query.columns
    return [
        (int(query.ids[row, i]), int(c.position[row, i]), int(c.stream[row, i]), int(c.block[row, i]))
        for i in range(query.ids.shape[1])
        if c.segment[row, i] != PAD
    ]


def test_layout_by_hand():
    """Two tokens stand after a prompt of 3: the last one, at position 4, stands again, and three masks follow."""
    state = after(texts(), 2, mask_id=MASK)
    for shift, masks in ((True, 3), (False, 4)):
        query, queried = shown(state, Hash(shift=shift), [[0, 5], [0, 7]], rows=(0,))
        window = [(6, 4, ANCHORED, 4), *((MASK, 5 + i, ANCHORED, 4) for i in range(masks))]
        columns = columns_of(query, 0)
        assert [c[:3] for c in columns[:5]] == [(t, i, CLEAN) for i, t in enumerate([1, 2, 3, 5, 6])]
        # An active block of 8 has 6 open places, so that the window is longer than D = 4.
        assert columns[5:] == window + [(MASK, 5 + masks + i, ANCHORED, 4) for i in range(2)]
        assert queried.tolist() == [[0, 6], [0, 8]]
        assert query.before is None
    query, _ = shown(after(texts(), 2, mask_id=MASK, block=D), Hash(), [[0, 5], [0, 6]], rows=(0,))
    assert [c[1] for c in columns_of(query, 0)] == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]  # the block ends at 6, the window not


def test_a_window_may_pass_the_end_of_the_canvas_and_rows_have_their_own():
    state = after(texts(), 7, mask_id=MASK, block=D)
    query, queried = shown(state, Hash(), [[0, 10], [1, 8]])
    assert columns_of(query, 0)[10:] == [(9, 9, ANCHORED, 9), *((MASK, 10 + i, ANCHORED, 9) for i in range(4))]
    assert columns_of(query, 1)[8:] == [(9, 7, ANCHORED, 7), *((MASK, 8 + i, ANCHORED, 7) for i in range(4))]
    assert queried.tolist() == [[0, 11], [1, 11]]
    alone, at = shown(state, Hash(), [[0, 8]], rows=(1,))
    assert columns_of(alone, 0) == columns_of(query, 1)
    assert at.tolist() == [[0, 9]]


def model(shift):
    spec = ScratchSpec(architecture="llama", hidden_size=32, layers=2, heads=4, kv_heads=2, init_std=0.4, seed=5)
    return from_scratch(spec, shift=shift, attention="context_causal")


@pytest.mark.parametrize("causal_blocks", [False, True])
@pytest.mark.parametrize("shift", [False, True])
def test_decoding_asks_what_training_asked(shift, causal_blocks):
    """For every anchor of both texts: the same logits, whatever stands after the anchor."""
    lm, batch = model(shift), texts()
    objective = Sdlm(block_size=D, repeat=1e9, causal_blocks=causal_blocks)
    noised = objective.noise(batch, model=lm, draws=Draws(seed=0), progress=0.0)
    with torch.no_grad():
        trained = lm.logits(noised.query, noised.query_positions)
    c = noised.query.columns
    compared = 0
    for written in range(len(ANSWERS[0])):
        state = after(batch, written, mask_id=lm.mask_id)
        for row in range(2):
            if written >= len(ANSWERS[row]):
                continue
            anchor = len(PROMPTS[row]) + written - 1
            # The column left of the asked one, of the block with this anchor, says which slot it is.
            left = noised.query_positions[:, 1] - 1
            is_mine = (noised.query_positions[:, 0] == row) & (c.block[noised.query_positions[:, 0], left] == anchor)
            is_mine &= c.stream[noised.query_positions[:, 0], left] == ANCHORED
            slots = int(is_mine.sum())
            assert slots == min(D, len(ANSWERS[row]) - written)
            at = [[row, anchor + 1 + slot] for slot in range(slots)]
            # A block that ends with the window, as the objective's.
            cut = replace(state, block_end=torch.full((2,), written + D))
            query, queried = shown(cut, lm, at, block_size=D, causal_blocks=causal_blocks)
            with torch.no_grad():
                decoded = lm.logits(query, queried)
            torch.testing.assert_close(decoded, trained[is_mine], atol=1e-5, rtol=1e-5)
            compared += slots
    assert compared == sum(min(D, len(a) - k) for a in ANSWERS for k in range(len(a)))


@pytest.mark.parametrize("shift", [False, True])
def test_an_empty_prompt_begins_with_masks(shift):
    lm = model(shift)
    batch = lay_out([Example(prompt=[], answer=(), order=0, canvas=4)], block_size=4, filler_id=9)
    state = after(batch, 0, mask_id=lm.mask_id)
    query, queried = shown(state, lm, [[0, i] for i in range(4)], rows=(0,))
    assert [c[1] for c in columns_of(query, 0)] == [0, 1, 2] + [3] * (not shift)
    with torch.no_grad():
        first = lm.logits(query, queried)
        plain, at = VIEWS["canvas"]().query(lm, state, torch.tensor([0]), torch.tensor([[0, 0]]))
        assert torch.isfinite(first).all()
        if not shift:  # a window of masks alone is the canvas
            torch.testing.assert_close(first[:1], lm.logits(plain, at), atol=1e-5, rtol=1e-5)


def test_thresholds_of_one_and_more_write_one_token_a_forward_from_the_left():
    for threshold in (1, math.inf):
        fields = {"view": "anchored", "selection": {"name": "prefix", "threshold": threshold}}
        steps = trace(fields, prompts=[(1, 2)], length=6)
        assert [write for write, _, _ in steps] == [[[0, i]] for i in range(6)]
    eager = trace({"view": "anchored", "selection": {"name": "prefix", "threshold": -1}}, prompts=[(1, 2)], length=8)
    assert [len(write) for write, _, _ in eager] == [4, 4]


def test_sdlm_starts_a_fresh_window_at_every_step():
    """Runs of up to D tokens that are not cut by a grid, each right behind the last."""
    fields = {"view": "anchored", "selection": {"name": "prefix", "threshold": 0.25}, "blocks": "sliding"}
    runs = [write for write, _, _ in trace(fields, prompts=[(1, 2)], length=24)]
    assert [offset for run in runs for _, offset in run] == list(range(24))
    assert any(run[0][1] // D != run[-1][1] // D for run in runs)
    assert max(map(len, runs)) <= D


def test_the_window_shows_the_tokens_that_the_canvas_shows():
    """So a model that sees which token stands where, and no more, cannot tell; a real one can."""
    assert trace({"view": "anchored"}) == trace()
    lm = model(shift=False)
    assert trace({"view": "anchored"}, model=lm, heads=False) != trace(model=lm, heads=False)


def test_it_goes_without_a_cache():
    assert Decoder(view="anchored").resolve(exact_cache="block").cache.name == "none"
    with pytest.raises(UserError, match=r"cache 'block' beside the view 'anchored'"):
        Decoder(view="anchored", cache="block").resolve()
