import pytest
from places import picked, places, trace

from unmask.decoding import Hierarchical
from unmask.errors import UserError

INF = float("inf")
P = [0.5, 0.7, 0.0, 0.45, 0.3, 0.95]  # place 2 is written: runs 0-1 and 3-5


@pytest.mark.parametrize(
    ("p", "closed", "fields", "expected"),
    [
        (P, [2], {}, [1, 5]),
        (P, [2], {"threshold": 0.45}, [0, 1, 5]),  # exceeded, not met: .45 stays
        (P, [2], {"low": 0.7}, [5]),
        (P, [2, 4], {}, [1, 5, 3]),  # three runs
        (P, [2, 4], {"low": 0.45}, [1, 5]),
        (P, [], {}, [5]),  # one run
        ([0.2, 0.3, 0.0, 0.3], [2], {}, [1]),  # all below: the best, leftmost
        ([0.5, 0.5, 0.0, 0.6], [2], {}, [0, 3]),  # ties of a run go left, too
        (P, [0, 1, 2, 3, 4, 5], {}, []),
        ([0.1] * 4, [], {"threshold": -INF}, [0, 1, 2, 3]),
    ],
)
def test_the_best_of_each_run_and_what_is_sure(p, closed, fields, expected):
    assert picked("hierarchical", places(p, closed=closed), **fields) == sorted(expected)


@pytest.mark.parametrize("threshold", [0.2, 0.4, INF])
def test_without_runs_it_is_threshold(threshold):
    fields = {"name": "hierarchical", "low": INF, "threshold": threshold}
    for options in ({}, {"blocks": "whole"}, {"stop": "eos"}):
        assert trace(options, selection=fields) == trace(options, threshold=threshold)


def test_a_whole_canvas_takes_logarithmically_many_forwards_at_best():
    """If every run is split in its middle, 15 places take 4 forwards."""
    assert trace(selection="hierarchical") != trace()
    steps, closed = 0, set()
    middles = {7: 8, 3: 4, 11: 4, 1: 2, 5: 2, 9: 2, 13: 2}
    p = [0.5 + middles.get(place, 1) / 100 for place in range(15)]
    while len(closed) < 15:
        closed |= set(picked("hierarchical", places(p, closed=closed)))
        steps += 1
    assert steps == 4


def test_bad_settings_are_refused():
    with pytest.raises(UserError):
        Hierarchical(low=float("nan"))
