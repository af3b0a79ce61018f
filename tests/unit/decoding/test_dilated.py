from collections import Counter

import pytest
from places import picked, places, trace

from toys import Table
from unmask.decoding import Dilated
from unmask.decoding.selection.dilated import levels
from unmask.errors import UserError


def test_levels_of_a_block_of_32():
    level = levels(32, 2, 1)
    assert [Counter(level)[n] for n in range(5)] == [2, 2, 4, 8, 16]
    assert [o for o in range(32) if level[o] == 0] == [0, 16]
    assert [o for o in range(32) if level[o] == 1] == [8, 24]
    assert [o for o in range(32) if level[o] == 2] == [4, 12, 20, 28]


@pytest.mark.parametrize(
    ("size", "base", "skip", "expected"),
    [
        (1, 2, 1, (0,)),
        (2, 2, 1, (0, 0)),  # stride 1 takes both
        (3, 2, 1, (0, 0, 0)),
        (4, 2, 1, (0, 1, 0, 1)),
        (5, 2, 1, (0, 0, 0, 0, 0)),  # 0, 2, 4, then 1, 3: the smaller last level is merged
        (6, 2, 1, (0, 1, 1, 0, 1, 1)),
        (8, 2, 2, (0, 1, 0, 1, 0, 1, 0, 1)),  # the first stride is 8 / 4
        (9, 3, 1, (0, 1, 1, 0, 1, 1, 0, 1, 1)),
        (8, 9, 1, (0,) * 8),  # all at once
    ],
)
def test_levels_by_hand(size, base, skip, expected):
    assert levels(size, base, skip) == expected


@pytest.mark.parametrize("size", range(1, 40))
@pytest.mark.parametrize("base", [2, 3, 4])
def test_levels_count_up_and_are_spread(size, base):
    level = levels(size, base, 1)
    assert set(level) == set(range(max(level) + 1))
    for number in range(max(level)):  # the last may be merged
        own = [o for o in range(size) if level[o] == number]
        stride = size // base ** (number + 1)
        assert all(b - a >= stride for a, b in zip(own, own[1:], strict=False))


def test_the_lowest_level_with_something_open_is_written():
    assert picked("dilated", places([0.1] * 8)) == [0, 4]
    assert picked("dilated", places([0.1] * 8, closed=[0, 4])) == [2, 6]
    assert picked("dilated", places([0.1] * 8, closed=[0])) == [4]
    assert picked("dilated", places([0.1] * 8, closed=range(8))) == []


def test_a_narrower_block_beside_a_wider_one_has_its_own_levels():
    assert picked("dilated", places([0.1] * 4 + [0.0] * 4, closed=[4, 5, 6, 7], width=4)) == [0, 2]


def test_forwards_are_logarithmic():
    assert len(trace(selection="dilated", block_size=16)) == 4
    assert len(trace(selection="dilated", block_size=4, length=16)) == 8


def test_a_base_beyond_the_block_is_a_block_a_forward_and_blocks_of_one_are_quota():
    assert trace(selection={"name": "dilated", "base": 5}) == trace(threshold=0.0)
    assert trace(selection="dilated", block_size=1) == trace(block_size=1)


def test_it_differs_from_quota_but_not_in_what_a_table_says():
    assert trace(selection="dilated") != trace(steps=8)
    said = [{tuple(p): t for at, tokens, _ in steps for p, t in zip(at, tokens, strict=True)}
            for steps in (trace(selection="dilated", model=Table()), trace(model=Table()))]  # fmt: skip
    assert said[0] == said[1]


@pytest.mark.parametrize("fields", [{"base": 1}, {"skip": 0}])
def test_bad_strides_are_refused(fields):
    with pytest.raises(UserError):
        Dilated(**fields)
