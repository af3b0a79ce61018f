"""A share of a count that is written as a decimal is the whole number that it says, wherever a part takes one."""

from fractions import Fraction
from math import ceil
from math import floor as down

import pytest
import torch
from places import picked, places, state_of

from unmask.core.batch import Example, lay_out
from unmask.decoding import BLOCK_RULES, REVISIONS
from unmask.decoding.loop import start
from unmask.decoding.selection.dream import counts
from unmask.decoding.shares import at_least, at_most, floor

NEAR, BESIDE = 4e-7, 6e-7  # on this side of the slack of half a millionth, and beyond it


@pytest.mark.parametrize("thousandths", range(1, 1001, 7))
def test_decimals_are_exact(thousandths):
    """In float32, 0.15 of 180 would be 27.000002, and in float64 0.07 of 100 would be 7.000000000000001."""
    number = torch.arange(513)
    exact = [Fraction(thousandths, 1000) * count for count in range(513)]
    assert at_most(thousandths / 1000, number).tolist() == [down(each) for each in exact]
    assert at_least(thousandths / 1000, number).tolist() == [ceil(each) for each in exact]


@pytest.mark.parametrize("whole", [1, 7, 32, 500])
def test_the_slack_is_half_a_millionth(whole):
    one = torch.ones(1, dtype=torch.int64)
    assert [floor(whole - NEAR), floor(whole - BESIDE)] == [whole, whole - 1]
    assert [int(at_most(whole - by, one)) for by in (NEAR, BESIDE)] == [whole, whole - 1]
    assert [int(at_least(whole + by, one)) for by in (NEAR, BESIDE)] == [whole, whole + 1]


def undone(chosen, written, **fields):
    """How many places the revision ``saber`` leaves open or takes back."""
    total = chosen + written + 1
    candidates = places([0.5] * total, closed=range(chosen, chosen + written), correctness=[0.0] * total)
    is_chosen = torch.arange(total)[None] < chosen
    change = REVISIONS["saber"](least=0, **fields).revise(state_of(), candidates, is_chosen)
    return int((is_chosen & ~change.write).sum() + change.hide.sum())


def test_tokens_that_saber_takes_back():
    assert undone(8, 3, share=(2 + NEAR) / 8) == 2
    assert undone(8, 3, share=(2 + BESIDE) / 8) == 3
    assert undone(100, 0, share=0.07) == 7
    assert undone(180, 0, share=0.15) == 27


def begins(written, total, start):
    """Whether the rounds of ``remdm_rounds`` begin when so many places are written."""
    candidates = places([0.5] * total, closed=range(written), correctness=[0.0] * total)
    nothing = torch.zeros_like(candidates.is_open)
    return bool(REVISIONS["remdm_rounds"](start=start).revise(state_of(), candidates, nothing).hide.any())


def test_where_rounds_begin():
    assert begins(4, 8, (4 + NEAR) / 8)
    assert not begins(4, 8, (4 + BESIDE) / 8)
    assert begins(7, 100, 0.07)
    assert begins(27, 180, 0.15)
    assert not begins(26, 180, 0.15)


def capped(open_places, share):
    return len(picked("wino", places([0.9] * open_places), share=share, least=1, most=999))


def test_the_cap_of_wino():
    assert capped(10, (7 - NEAR) / 10) == 7
    assert capped(10, (7 - BESIDE) / 10) == 6
    assert capped(200, 0.145) == 29
    assert capped(300, 0.21) == 63


def test_the_clock_of_dream():
    """A half of two places, less eps."""
    assert counts(2, 2, NEAR) == (1, 1)
    assert counts(2, 2, BESIDE) == (2,)


@pytest.mark.parametrize("name", ["adablock", "swordsman"])
@pytest.mark.parametrize(
    ("canvas", "window", "expected"), [(100, 0.29, 29), (100, (29 - 4e-7) / 100, 29), (100, (29 - 6e-7) / 100, 28)]
)
def test_how_far_rules_look_that_cut_on_predictions(name, canvas, window, expected):
    fields = {"delimiters": [3]} if name == "adablock" else {}
    batch = lay_out([Example(prompt=[1], answer=(), order=0, canvas=canvas)], block_size=4, filler_id=9)
    rule = BLOCK_RULES[name](window=window, **fields).sized(4)
    assert rule.end(torch.tensor([0]), start(batch, 10)).tolist() == [expected]
