"""``compile=True`` gives the same tokens."""

import os

import pytest
import torch

from unmask.generate import generate, infill, stream
from unmask.models import ScratchSpec, from_scratch

SPEC = ScratchSpec(hidden_size=32, layers=1, heads=2, init_std=0.3, seed=3)
ROWS = ["12=", "3", "456789="]


@pytest.fixture
def queried(monkeypatch):
    """Counts the forwards that go through what ``torch.compile`` returned, without waiting for a compiler."""
    calls = []

    def compile_(model, **how):
        return lambda **inputs: calls.append(how) or model(**inputs)

    monkeypatch.setattr(torch, "compile", compile_)
    return calls


def test_every_forward_goes_through_the_compiled_model_which_is_left_afterwards(queried):
    lm = from_scratch(SPEC)
    before = lm._forward
    assert generate(lm, "12=", max_new_tokens=2, compile=True, stop="never").forwards == 2
    assert infill(lm, "12=___", blank_tokens=3, compile=True).forwards == 3
    assert len(list(stream(lm, "12=", max_new_tokens=2, compile=True, stop="never"))) == 2
    assert queried == [{"dynamic": True}] * 7
    assert lm._forward is before is lm.model
    generate(lm, "12=", max_new_tokens=2)
    assert len(queried) == 7


@pytest.mark.skipif(not os.environ.get("UNMASK_TEST_COMPILE"), reason="takes minutes; set UNMASK_TEST_COMPILE=1")
@pytest.mark.parametrize("attention", ["bidirectional", "block_causal"])
def test_the_compiled_model_writes_the_same_tokens(attention):
    lm = from_scratch(SPEC, attention=attention, block_size=4, shift=True)
    options = {"max_new_tokens": 8, "block_size": 4, "stop": "never", "threshold": 0.3}
    plain, compiled = (generate(lm, ROWS, compile=how, **options) for how in (False, True))
    assert [row.tolist() for row in plain.sequences] == [row.tolist() for row in compiled.sequences]
    assert plain.forwards == compiled.forwards
    torch.compiler.reset()
