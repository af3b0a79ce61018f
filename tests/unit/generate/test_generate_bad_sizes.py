"""Sizes, steps and thresholds at their edges: a defined answer, or one clear line."""

import math

import pytest

from unmask.errors import UserError
from unmask.generate import generate, infill
from unmask.models import ScratchSpec, from_scratch

SPEC = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=3)


@pytest.fixture(scope="module")
def lm():
    return from_scratch(SPEC)


def offsets(lm, **options):
    out = generate(lm, "12=", stop="never", keep_steps=True, **options)
    assert lm.mask_id not in out.sequences[0]
    return [sorted(step.at[:, 1].tolist()) for step in out.steps]


def test_a_canvas_that_is_no_multiple_of_the_block_ends_with_a_shorter_block(lm):
    written = offsets(lm, max_new_tokens=10, block_size=4)
    assert [at for (at,) in written[8:]] in ([8, 9], [9, 8])
    assert len(written) == 10


def test_a_block_larger_than_the_canvas_is_the_canvas(lm):
    options = {"max_new_tokens": 6, "stop": "never"}
    large, exact, whole = (
        generate(lm, "12=", **more, **options).texts
        for more in ({"block_size": 64}, {"block_size": 6}, {"blocks": "whole"})
    )
    assert large == exact == whole


@pytest.mark.parametrize(("steps", "near"), [(1, 3), (2, 3), (4, 3), (5, 6)])
def test_steps_that_the_blocks_cannot_share_are_refused(lm, steps, near):
    says = f"steps={steps}: expected a multiple of the 3 blocks of a canvas of 12; write steps={near}"
    with pytest.raises(UserError, match=says):
        generate(lm, "12=", max_new_tokens=12, block_size=4, steps=steps)


def test_more_steps_than_tokens_are_one_token_a_step(lm):
    assert offsets(lm, max_new_tokens=6, block_size=3, steps=60) == offsets(lm, max_new_tokens=6, block_size=3)


@pytest.mark.parametrize("threshold", [0, 0.0, -1.0, -math.inf])
def test_a_threshold_of_0_writes_a_block_at_once(lm, threshold):
    assert offsets(lm, max_new_tokens=8, block_size=4, threshold=threshold) == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("threshold", [1.0001, 2, math.inf])
def test_a_threshold_above_1_writes_one_token_a_step_as_quota_does(lm, threshold):
    above = generate(lm, "12=", max_new_tokens=8, block_size=4, threshold=threshold, stop="never")
    quota = generate(lm, "12=", max_new_tokens=8, block_size=4, stop="never")
    assert above.forwards == 8
    assert above.texts == quota.texts


def test_a_threshold_of_1_writes_what_is_certain_and_at_least_one(lm, monkeypatch):
    assert len(offsets(lm, max_new_tokens=8, block_size=4, threshold=1)) == 8
    certain = from_scratch(SPEC)
    real = certain.logits
    monkeypatch.setattr(certain, "logits", lambda query, query_positions: real(query, query_positions) * 1e6)
    assert len(offsets(certain, max_new_tokens=8, block_size=4, threshold=1)) == 2


def test_a_threshold_that_is_no_number_is_refused(lm):
    with pytest.raises(UserError, match="expected a number or .inf, found nan"):
        generate(lm, "12=", threshold=math.nan)


def test_a_mask_token_in_a_text_prompt_is_read_as_it_stands(lm):
    out = generate(lm, "1<|mask|>2", max_new_tokens=4, stop="never", keep_steps=True)
    assert out.sequences[0][:3].tolist() == [1, lm.mask_id, 2]
    assert all((step.at[:, 1] >= 0).all() for step in out.steps)
    with pytest.raises(UserError, match="write ___ in its place"):
        infill(lm, "1<|mask|>2___")


@pytest.mark.parametrize("shift", [False, True])
def test_an_empty_prompt(shift):
    lm = from_scratch(SPEC, shift=shift)
    if not shift:
        assert len(generate(lm, "", max_new_tokens=4, stop="never").answers[0]) == 4
        return
    with pytest.raises(UserError, match="empty prompt: a model with shifted logits needs at least one token"):
        generate(lm, ["12", ""], max_new_tokens=4)
