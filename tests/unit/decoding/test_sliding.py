"""A window that slides: what it shows, its ends, its rounds, and the caches behind it."""

import pytest
import torch
from places import trace

from toys import Hash
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, Sliding, decode
from unmask.errors import UserError

INF = float("inf")


def run(fields, *, model=None, prompts=((1, 2, 3), (4,)), length=16, is_open=None):
    examples = [Example(prompt=p, answer=(), order=o, canvas=length) for o, p in enumerate(prompts)]
    batch = lay_out(examples, block_size=4, filler_id=9)
    resolved = Decoder(**{"block_size": 4, "stop": "never", "blocks": "sliding", **fields}).resolve()
    shown = None if is_open is None else batch.is_canvas & is_open(batch.offset)
    return list(decode(model or Hash(), batch, resolved, draws=Draws(seed=0), is_open=shown))


@pytest.mark.parametrize("size", [1, 3, 4, 16, 99])
@pytest.mark.parametrize("selection", ["quota", {"name": "threshold", "threshold": 0.3}, "dilated"])
def test_it_shows_so_many_open_places_from_the_first_on(size, selection):
    steps = run({"block_size": size, "selection": selection})
    for step in steps:
        state = step.state
        left = state.is_open.sum(1)
        assert torch.equal((state.is_open & state.is_in_block).sum(1), left.clamp(max=size))
        for row in (left > 0).nonzero().flatten().tolist():
            offset = state.batch.offset[row][state.is_open[row]]
            written = 16 - int(left[row])
            assert state.block_start[row] == offset.min()
            assert state.block_end[row] == min(16, size + written)  # the paper's end


@pytest.mark.parametrize("fields", [{}, {"threshold": 0.3}, {"stop": "eos"}, {"temperature": 1.0}, {"steps": 4}])
def test_the_whole_canvas_is_full_diffusion_and_one_place_is_left_to_right(fields):
    assert trace(fields, blocks="sliding", block_size=16) == trace(fields, blocks="whole")
    if "steps" not in fields:
        assert trace(fields, blocks="sliding", block_size=1) == trace(fields, block_size=1)


def test_it_differs_from_fixed_blocks():
    for fields in ({}, {"threshold": 0.3}):
        assert trace(fields, blocks="sliding") != trace(fields)


def test_given_tokens_take_up_no_room():
    """Offsets 1 and 2 are given: the first window reaches over them to offset 5."""
    steps = run({"threshold": -INF}, prompts=[(1,)], length=8, is_open=lambda offset: (offset != 1) & (offset != 2))
    assert [step.at[:, 1].tolist() for step in steps] == [[0, 3, 4, 5], [6, 7]]


def test_longest_bounds_the_columns():
    steps = run({"blocks": {"name": "sliding", "longest": 5}, "threshold": 0.3})
    ends = [(s.state.block_end - s.state.block_start)[~s.state.is_done] for s in steps]
    assert max(int(end.max()) for end in ends if len(end)) == 5
    plain = run({"threshold": 0.3})
    assert max(int((s.state.block_end - s.state.block_start).max()) for s in plain) > 5


@pytest.mark.parametrize(("steps", "length", "counts"), [(8, 16, [2] * 8), (4, 16, [4] * 4), (12, 16, [2, 1, 1] * 4)])
def test_each_round_has_its_share_of_the_steps(steps, length, counts):
    found = run({"steps": steps}, prompts=[(1,)], length=length)
    assert [len(step.at) for step in found] == counts
    begun = [step.state.block_steps.item() for step in found[:-1]]
    assert [number for number, spent in enumerate(begun, 1) if spent == 0] == [
        number for number in range(1, steps) if number * 4 % steps == 0
    ]


def test_a_round_begins_after_so_many_tokens():
    """Four at least, however many the last step of a round wrote."""
    since = 0
    for step in run({"threshold": 0.25}, prompts=[(1,)]):
        since += len(step.at)
        if bool(step.state.is_done.all()):
            break
        assert (int(step.state.block_steps) == 0) == (since >= 4)
        since = 0 if since >= 4 else since


@pytest.mark.parametrize("cache", ["prefix", "dual"])
@pytest.mark.parametrize("look_back", [0, 2, 24])
def test_what_the_window_leaves_is_read_again(cache, look_back):
    """The toy's answers depend on tokens only: no token may be read late, or the text would change."""
    for fields in ({}, {"threshold": 0.25}):
        cached, plain = Hash(), Hash()
        ours = run({**fields, "cache": {"name": cache, "look_back": look_back}}, model=cached)
        theirs = run(fields, model=plain)
        assert [(s.at.tolist(), s.tokens.tolist()) for s in ours] == [
            (s.at.tolist(), s.tokens.tolist()) for s in theirs
        ]


class Widths(Hash):
    """Notes how many columns each forward reads."""

    def logits(self, query, query_positions):
        self.heads.setdefault("widths", []).append(query.ids.shape[1])
        return super().logits(query, query_positions)


def test_looking_back_saves_readings_of_everything():
    """One row, prompt of 8, canvas of 32, one token a step: 8 rounds of 4, each read whole once."""

    def widths(**cache):
        model = Widths()
        run({"cache": {"name": "dual", **cache}}, model=model, prompts=[tuple(range(1, 9))], length=32)
        return model.heads["widths"]

    assert widths(refresh_every=1) == [40] * 32
    back = widths(look_back=6)
    assert [number for number, width in enumerate(back) if width == 40] == list(range(0, 32, 4))
    assert widths().count(40) > 8


def test_sizes():
    assert Decoder(blocks="sliding", block_size=8).resolve().blocks == Sliding(block_size=8)
    assert Decoder(blocks={"name": "sliding", "block_size": 6, "longest": 6}).resolve().block_size == 6
    with pytest.raises(UserError):
        Sliding(longest=0)
