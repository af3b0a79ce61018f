import pytest
import torch
from places import picked, places, trace

from unmask.decoding import Spaced
from unmask.decoding.selection.spaced import thinned
from unmask.errors import UserError

INF = float("inf")
ALL = {"name": "threshold", "threshold": 0}


@pytest.mark.parametrize(
    ("p", "closed", "gap", "expected"),
    [
        ([0.1, 0.9, 0.8, 0.7, 0.2, 0.3, 0.6, 0.5], [], 2, [1, 3, 6]),  # 5 is next to 6
        ([0.1, 0.9, 0.8, 0.7, 0.2, 0.3, 0.6, 0.5], [], 4, [1, 6]),
        ([0.1, 0.9, 0.8, 0.7, 0.2, 0.3, 0.6, 0.5], [], 99, [1]),
        ([0.1, 0.9, 0.8, 0.7, 0.2, 0.3, 0.6, 0.5], [], 1, [1, 3, 6]),  # never less than 2
        ([0.1, 0.9, 0.8, 0.7, 0.2, 0.3, 0.6, 0.5], [1, 4], 4, [2, 6]),  # 6 of 8 open: 3
        ([0.1, 0.9, 0.8, 0.7, 0.2, 0.3, 0.6, 0.5], [], 0, list(range(8))),
    ],
)
def test_chosen_places_stand_apart(p, closed, gap, expected):
    assert picked("spaced", places(p, closed=closed), inner=ALL, gap=gap) == expected


def test_rows_have_gaps_of_their_own():
    chosen = torch.tensor([[True, True, True, True], [True, True, True, True], [False, True, False, True]])
    rank = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0], [9, 1, 9, 0]])
    kept = thinned(chosen, rank, torch.tensor([2, 3, 9]))
    assert kept.tolist() == [[True, False, True, False], [True, False, False, True], [False, False, False, True]]


@pytest.mark.parametrize("inner", ["quota", "dream", "klass", ALL, {"name": "credit", "threshold": 0.2}, "pc_sampler"])
@pytest.mark.parametrize("options", [{}, {"steps": 8}, {"blocks": "whole"}])
def test_a_gap_of_0_is_the_inner_selection(inner, options):
    assert trace(options, selection={"name": "spaced", "inner": inner, "gap": 0}) == trace(options, selection=inner)


def test_it_differs_from_the_inner_selection_and_never_writes_neighbours():
    steps = trace(selection={"name": "spaced", "inner": ALL, "gap": 2})
    assert steps not in (trace(), trace(selection=ALL))
    for at, _, _ in steps:
        for row in (0, 1):
            offsets = sorted(offset for r, offset in at if r == row)
            assert all(b - a >= 2 for a, b in zip(offsets, offsets[1:], strict=False))


def test_it_measures_as_the_inner_one_does():
    assert Spaced(inner="entropy_bound").score == "entropy"
    assert Spaced(inner="dream").may_wait is False
    with pytest.raises(UserError):
        Spaced(inner="quotas")
