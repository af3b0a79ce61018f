import pytest
import torch
from places import picked, places, trace

from unmask.decoding import Factor
from unmask.errors import UserError


@pytest.mark.parametrize(
    ("scores", "factor", "expected"),
    [
        ([0.75, 0.5, 0.9], 1.0, [0, 2]),  # .9: 2 * .1; .75: 3 * .25 = .75 <= 1; .5: 4 * .5 = 2
        ([0.75, 0.5, 0.9], 0.75, [0, 2]),  # <=: exactly the bound
        ([0.75, 0.5, 0.9], 0.74, [2]),
        ([0.75, 0.5, 0.9], 2.0, [0, 1, 2]),
        ([0.2, 0.1], 1.0, [0]),  # the best one always, failing or not
        ([1.0, 1.0, 0.9], 0.0, [0, 1]),  # p = 1 costs nothing
        ([0.9, 0.9, 0.9], float("inf"), [0, 1, 2]),
        ([0.5], 1.0, [0]),
    ],
)
def test_the_longest_prefix_of_the_ranking(scores, factor, expected):
    assert picked("factor", places(scores), factor=factor) == expected


def test_a_failing_last_place_is_not_accepted():
    """The released loop cannot tell "never failed" from "failed at the last" and takes it."""
    assert picked("factor", places([0.95, 0.9, 0.6])) == [0, 1]  # .6: 4 * .4 = 1.6 > 1
    assert picked("factor", places([0.95, 0.6])) == [0]  # 3 * .4 = 1.2 > 1


def test_closed_places_do_not_count():
    assert picked("factor", places([1.0, 0.7, 0.7], closed=[0])) == [1, 2]  # 2 * .3, 3 * .3
    assert picked("factor", places([1.0, 0.7], closed=[0, 1])) == []


def test_the_count_never_exceeds_the_true_prefix():
    scores = torch.rand(50, generator=torch.Generator().manual_seed(0)).sqrt().tolist()
    ordered = sorted(scores, reverse=True)
    for factor in (0.1, 0.5, 1.0, 3.0):
        longest = next((n for n, c in enumerate(ordered) if (n + 2) * (1 - c) > factor), 50)
        assert len(picked("factor", places(scores), factor=factor)) == max(longest, 1)


def test_zero_is_quota_and_infinity_is_a_block_a_forward():
    assert trace({"selection": {"name": "factor", "factor": 0}}) == trace()
    everything = trace({"selection": {"name": "factor", "factor": float("inf")}})
    assert everything == trace(threshold=0.0)
    assert len(everything) == 4


def test_it_differs_from_quota():
    assert trace(selection={"name": "factor", "factor": 2.5}) != trace()


@pytest.mark.parametrize("factor", [-1, float("nan")])
def test_bad_factors_are_refused(factor):
    with pytest.raises(UserError, match="factor"):
        Factor(factor=factor)
