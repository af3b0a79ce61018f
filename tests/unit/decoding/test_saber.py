"""Saber: a threshold that is the mean of what was written, and tokens taken back by their gain."""

import math
from dataclasses import replace

import pytest
import torch
from places import picked, places, state_of, trace

from toys import Hash
from unmask.core.batch import Example, lay_out
from unmask.decoding import REVISIONS
from unmask.decoding.loop import start
from unmask.decoding.propose import _mean_confidence


def revised(candidates, chosen, **fields):
    is_chosen = torch.zeros_like(candidates.is_open)
    is_chosen[0, chosen] = True
    change = REVISIONS["saber"](**fields).revise(state_of(), candidates, is_chosen)
    return tuple(found[0].nonzero().flatten().tolist() for found in (change.write, change.hide))


@pytest.mark.parametrize(
    ("mean_confidence", "least", "expected"),
    [
        (1.0, 2, [1, 3]),  # nobody is above 1: the two surest
        (0.55, 2, [0, 1, 3]),  # .6, .9 and .8 are above the mean
        (0.8, 2, [1, 3]),  # strictly: .8 is not, but it is the second surest
        (0.8, 1, [1]),
        (0.0, 1, [0, 1, 2, 3]),
        (1.0, 9, [0, 1, 2, 3]),  # no more than there are
    ],
)
def test_selection_by_hand(mean_confidence, least, expected):
    assert picked("saber", places([0.6, 0.9, 0.3, 0.8], mean_confidence=mean_confidence), least=least) == expected


def test_the_mean_is_over_what_decoding_wrote():
    """Given tokens and open places do not count; taken-back ones no more."""
    batch = lay_out([Example(prompt=[1], answer=(), order=0, canvas=4)], block_size=4, filler_id=9)
    state = start(batch, 10, is_open=batch.offset != 2)
    assert _mean_confidence(state, torch.tensor([0])).tolist() == [1.0]
    is_open, log_prob = state.is_open.clone(), state.log_prob.clone()
    for column, probability in ((1, 0.5), (2, 0.2)):
        is_open[0, column], log_prob[0, column] = False, math.log(probability)
    state = replace(state, is_open=is_open, log_prob=log_prob)
    assert _mean_confidence(state, torch.tensor([0])).tolist() == pytest.approx([0.35])


def step(scores, chosen, *, closed=(), memory=None, **fields):
    """What one step does, and the notes for the next one."""
    candidates = places(scores, closed=closed, correctness=[0.0] * len(scores), memory=memory)
    done = revised(candidates, chosen, **fields)
    return done, candidates.memory.written(1)


def test_the_least_gain_is_taken_back():
    """First step: gain is the probability itself, so of two chosen places the less sure one is left open. Second step:
    place 1 stands with a gain of .95 - .9, place 3 was chosen with .8 - .5, place 2 with .7 - .2."""
    first, memory = step([0.4, 0.9, 0.2, 0.5], [1, 3])
    assert first == ([1], [])
    second, _ = step([0.5, 0.95, 0.7, 0.8], [2, 3], closed=[1], memory=memory)
    assert second == ([2, 3], [1])


def test_numbers_by_hand():
    """r = min(max(least, ceil(share c)), c - 1): an eighth of 9 is 2, of 8 is 1; never all; none at the end."""
    scores = [0.1 * (i + 1) for i in range(10)]
    for chosen, least, share, number in [(9, 1, 0.125, 2), (8, 1, 0.125, 1), (3, 2, 0.125, 2), (1, 1, 0.125, 0),
                                         (2, 5, 0.5, 1), (5, 0, 0.2, 1), (9, 0, 0.0, 0), (10, 4, 0.5, 0)]:  # fmt: skip
        (write, hide), _ = step(scores, list(range(chosen)), least=least, share=share)
        assert hide == []
        assert write == list(range(number, chosen)), (chosen, least, share)


def test_every_step_writes_more_than_it_takes_back():
    steps = trace({"revision": "saber", "blocks": "whole"})
    assert any(back for _, _, back in steps)
    for row in range(2):
        net = [sum(at[0] == row for at in write) - sum(at[0] == row for at in back) for write, _, back in steps]
        assert sum(net) == 16
        assert min(net[: net.index(0)] if 0 in net else net) >= 1  # a row that is done does nothing any more
        assert not any(net[net.index(0) :]) if 0 in net else True


def test_nothing_taken_back_is_the_selection_alone():
    alone = trace({"selection": "saber", "blocks": "whole"})
    neutral = {"name": "saber", "least": 0, "share": 0}
    assert trace({"revision": neutral, "blocks": "whole"}) == alone
    one = trace({"revision": neutral, "selection": {"name": "threshold", "threshold": math.inf}})
    assert one == trace()
    assert alone != trace({"blocks": "whole"})


def test_the_revision_brings_its_selection():
    with_name = trace({"revision": "saber", "selection": "saber", "blocks": "whole"})
    assert trace({"revision": "saber", "blocks": "whole"}) == with_name
    assert trace({"revision": "saber", "selection": "quota", "blocks": "whole"}) != with_name


def test_written_places_are_read_only_where_they_may_be_taken_back():
    model, plain = Hash(), Hash()
    trace({"revision": "saber"}, model=model, prompts=[(1,)])
    trace({"revision": {"name": "saber", "least": 0, "share": 0}}, model=plain, prompts=[(1,)])
    assert set(model.queried) == {4}
    assert min(plain.queried) < 4
