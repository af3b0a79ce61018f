"""How sure a proposal is, at the edges of the numbers."""

from dataclasses import replace

import pytest
import torch
from places import picked, places

from unmask.core.random import Draws
from unmask.decoding.scores import SCORES, probability


@pytest.mark.parametrize("size", [2, 11, 700_000])
def test_sure_places_are_told_apart_beyond_float32(size):
    """Gaps of 17 to 30: in float32 all three round to 1, in float64 they do not."""
    logits = torch.zeros(3, size)
    logits[:, 1] = torch.tensor([17.0, 30.0, 24.0]) + torch.tensor(float(size)).log()
    token = torch.ones(3, dtype=torch.int64)
    found = probability(logits, token)
    left = (size - 1) * (-logits[:, 1].double()).exp()  # a double softmax loses so many small terms
    assert found.dtype == torch.float64
    assert found.argsort().tolist() == [0, 2, 1]
    torch.testing.assert_close(1 - found, left / (1 + left), rtol=5e-3, atol=0)


def test_unlikely_tokens_keep_their_probability():
    logits = torch.tensor([[0.0, 3.0, -40.0]])
    for token in range(3):
        found = probability(logits, torch.tensor([token]))
        torch.testing.assert_close(found, logits.double().softmax(-1)[:, token], rtol=1e-6, atol=0)


def test_entropy_of_a_certain_and_of_a_uniform_place():
    logits = torch.tensor([[0.0, -1e30, -1e30, -1e30], [0.0, 0.0, 0.0, 0.0]])
    found = SCORES["entropy"](logits, torch.zeros(2, dtype=torch.int64), Draws(seed=0), ())
    assert found.tolist() == pytest.approx([0.0, -1.3862944], abs=1e-6)


@pytest.mark.parametrize(
    ("threshold", "steps", "expected"),
    [(0.9, None, [0]), (0.9, 4, [0]), (0.9, 2, [0, 2]), (0.4, 2, [0, 1, 2]), (0.9, 1, [0, 1, 2, 3])],
)
def test_threshold_with_steps_writes_at_least_the_quota(threshold, steps, expected):
    assert picked("threshold", places([0.8, 0.5, 0.6, 0.1]), steps=steps, threshold=threshold) == expected


@pytest.mark.parametrize(
    ("threshold", "strict", "expected"),
    [(0.5, None, [0, 1]), (0.5, True, [0]), (1.0, None, [0]), (0.4, True, [0, 1]), (2.0, True, [0])],
)
def test_a_strict_threshold_has_to_be_exceeded(threshold, strict, expected):
    assert picked("threshold", places([1.0, 0.5, 0.3]), threshold=threshold, strict=strict) == expected


@pytest.mark.parametrize(("strict", "expected"), [(None, [0, 1]), (True, [0])])
def test_no_probability_exceeds_one(strict, expected):
    """Strictly above 1 is one token a step, even where probabilities round to 1."""
    assert picked("threshold", places([1.0, 1.0, 0.3]), threshold=1.0, strict=strict) == expected


@pytest.mark.parametrize(
    ("opened", "shared_out", "expected"), [(2, None, [0]), (2, 4, [0, 1]), (3, 4, [0, 2]), (3, None, [0, 2])]
)
def test_a_quota_can_be_shared_out_over_the_whole_block(opened, shared_out, expected):
    """Two steps for a block of 4 that a prompt has begun: two tokens a step, or the share of what is open."""
    scores = [0.8, 0.5, 0.6][:opened]
    candidates = replace(places(scores), shared_out=shared_out)
    assert picked("quota", candidates, steps=2) == expected


def test_sequential_is_from_left_to_right():
    none, offset = torch.zeros(3, dtype=torch.int64), torch.tensor([3, 0, 7])
    found = SCORES["sequential"](torch.zeros(3, 4), none, Draws(seed=0), (none, none, offset))
    assert found.tolist() == [-3, 0, -7]
