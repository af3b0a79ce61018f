import math

import pytest
import torch
from places import places, trace

from unmask.decoding import Klass
from unmask.decoding.selection.klass import divergence
from unmask.errors import UserError

INF = float("inf")
EVEN, TILTED = [math.log(0.5), math.log(0.5)], [math.log(0.75), math.log(0.25)]


def test_the_divergence_is_in_nats_and_from_the_new_to_the_old():
    p, q = torch.tensor([TILTED, EVEN, [0.0, -INF]]), torch.tensor([EVEN, TILTED, EVEN])
    expected = [
        0.75 * math.log(1.5) + 0.25 * math.log(0.5),
        0.5 * math.log(2 / 3) + 0.5 * math.log(2),
        math.log(2),  # a token that p never gives counts nothing
    ]
    assert divergence(p, q).tolist() == pytest.approx(expected)
    assert divergence(q[2:], p[2:]).tolist() == [INF]


def picks(forwards, *, scores, starts=None, **fields):
    """What is picked at each forward; nothing is written in between."""
    memory, found = {}, []
    for number, logits in enumerate(forwards):
        seen = places(scores, logits=logits, memory=memory, start=starts[number] if starts else 0)
        found.append(Klass(**fields).select(seen)[0].nonzero().flatten().tolist())
        memory = seen.memory.written(1)
    return found


def test_sure_places_are_written_once_they_were_calm_for_two_forwards():
    """Place 1 is the surest, but moves at the second forward; place 2 is calm, but not sure."""
    forwards = [[EVEN, EVEN, EVEN], [EVEN, TILTED, EVEN], [EVEN, TILTED, EVEN], [EVEN, TILTED, EVEN]]
    assert picks(forwards, scores=[0.95, 0.99, 0.5]) == [[1], [1], [0], [0, 1]]
    assert picks(forwards, scores=[0.95, 0.99, 0.5], calm=1) == [[1], [0], [0, 1], [0, 1]]
    assert picks(forwards, scores=[0.95, 0.99, 0.5], calm=0) == [[0, 1]] * 4
    assert picks(forwards, scores=[0.95, 0.99, 0.5], drift=0.2) == [[1], [1], [0, 1], [0, 1]]
    assert picks(forwards, scores=[0.9, 0.99, 0.5])[2] == [1]  # tau must be exceeded


def test_a_new_block_knows_nothing_and_a_block_that_slides_takes_along_what_it_covers():
    forwards = [[EVEN] * 3] * 3
    assert picks(forwards, scores=[0.95, 0.92, 0.99], starts=[0, 0, 3]) == [[2]] * 3
    assert picks(forwards, scores=[0.95, 0.92, 0.99], starts=[0, 0, 1])[2] == [0, 1]


@pytest.mark.parametrize("fields", [{"threshold": INF}, {"drift": 0.0}])
@pytest.mark.parametrize("options", [{}, {"steps": 8}, {"blocks": "whole", "steps": 5}])
def test_neutral_settings_are_quota(fields, options):
    assert trace(options, selection={"name": "klass", **fields}) == trace(options)


def test_it_differs_from_quota():
    eager = {"name": "klass", "threshold": 0.2, "drift": 3.0, "calm": 1}
    assert trace(selection=eager) != trace()
    assert len(trace(selection=eager)) < len(trace())


@pytest.mark.parametrize("fields", [{"drift": -1}, {"calm": -1}, {"threshold": float("nan")}])
def test_bad_settings_are_refused(fields):
    with pytest.raises(UserError):
        Klass(**fields)
