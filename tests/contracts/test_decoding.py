"""What every decoder holds to on toy models: nothing but open places is written, and the trace tells of all of it."""

import torch
from decoders import DECODERS, PROMPTS, canvas, every, is_any, run, text, usual, with_heads

from toys import AlwaysMask, Half, Hash, Table

UNFIXED = ("remedi", "edit", "saber", "wino", "remdm")  # revisions: a written token may be written again
WAITING = ("edit", "wino", "remdm")  # a step may leave no more written than there was


@every
def test_prompt_and_padding_stay_and_no_mask_is_left(name):
    batch, steps, forwards = usual(name)
    outside = ~batch.is_canvas
    for step in steps:
        assert torch.equal(step.state.ids[outside], batch.ids[outside])
    final = steps[-1].state
    assert (final.ids != Hash.mask_id).all()
    assert not final.is_open.any()
    assert final.is_done.all()
    assert sum(step.forwards for step in steps) == forwards


@every
def test_the_trace_tells_all_that_happened(name):
    """Replayed, it gives every state; what is written was open, or taken back in the same step."""
    batch, steps, _ = usual(name)
    text = {}
    for step in steps:
        before = dict(text)
        back = set(map(tuple, step.taken_back.tolist()))
        assert back <= set(text)
        assert not (back and not is_any(UNFIXED, name))
        for place in back:
            del text[place]
        for place, token in zip(map(tuple, step.at.tolist()), step.tokens.tolist(), strict=True):
            assert place not in text
            text[place] = token
        for row in step.live.tolist():
            written = sum(place[0] == row for place in before)
            assert sum(place[0] == row for place in text) > written or is_any(WAITING, name)
        ids = step.state.ids.tolist()
        for (row, offset), token in text.items():
            assert ids[row][len(PROMPTS[row]) + offset] == token
    if DECODERS[name].get("stop") != "eos":
        assert len(text) == int(batch.is_canvas.sum())


@every
def test_given_tokens_stay(name):
    """Infilling: fixed tokens in the middle of a block, a whole block of them, and at the end."""
    batch = canvas(PROMPTS[:2])
    given = (batch.offset == 2) | ((batch.offset >= 4) & (batch.offset < 8)) | (batch.offset == 11)
    batch.ids[given] = 7
    _, steps = run(Hash(), DECODERS[name], batch=batch, is_open=batch.is_canvas & ~given)
    final = steps[-1].state
    assert (final.ids[given] == 7).all()
    assert (final.ids != Hash.mask_id).all()
    assert not final.is_open.any()


@every
def test_low_precision_answers_are_scored_in_float32_at_least(name):
    _, steps = run(Half(), DECODERS[name], prompts=PROMPTS[:2], length=8)
    assert {step.scores.dtype for step in steps} <= {torch.float32, torch.float64}
    assert (steps[-1].state.ids != Half.mask_id).all()


@every
def test_the_mask_token_is_never_proposed(name):
    _, steps = run(AlwaysMask(), DECODERS[name], prompts=PROMPTS[:2], length=8)
    assert (steps[-1].state.ids != AlwaysMask.mask_id).all()


@every
def test_a_row_without_anything_open_costs_nothing(name):
    model, batch = Hash(), canvas()
    assert run(model, DECODERS[name], batch=batch, is_open=torch.zeros_like(batch.is_canvas))[1] == []
    assert model.forwards == 0


class Here(Hash):
    """Keeps what it has read on the CPU, whatever the default."""

    def store(self, rows, columns):
        with torch.device("cpu"):
            return super().store(rows, columns)


@every
def test_tensors_are_made_where_the_batch_is(name):
    """One that is made without a device is on another one here, as it would be beside a GPU."""
    model, batch = with_heads(Here()), canvas(PROMPTS[:2], 5)
    with torch.device("meta"):
        _, steps = run(model, {"search": {"name": "smc", "particles": 2}, **DECODERS[name]}, batch=batch, stop="eos")
    assert steps[-1].state.ids.device.type == "cpu"


def test_any_order_of_a_table_gives_the_same_text():
    drawn = ("gumbel", "no_eos", "'proposal': 'nucleus'", "'proposal': 'top_k'")
    found = {name: text(*run(Table(), DECODERS[name])) for name in DECODERS if not is_any(drawn, name)}
    ended = found.pop("stop-eos")
    plain = found.pop("selection-quota")
    assert {name for name, texts in found.items() if texts != plain} == set()
    assert all(set(cut[len(same(cut, whole)) :]) <= {9} for cut, whole in zip(ended, plain, strict=True))


def same(one, other):
    """The beginning that two texts share."""
    differs = [index for index, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]
    return one[: differs[0]] if differs else one
