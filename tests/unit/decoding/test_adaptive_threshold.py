import pytest
from places import picked, places, trace


@pytest.mark.parametrize(
    ("certainty", "expected"),
    [
        ([1.0, 1.0, 1.0], [0, 1]),  # tau = .5
        ([0.0, 0.0, 0.0], [0]),  # tau = .9
        ([0.5, 0.75, 0.25], [0, 1]),  # mean doubt .5: tau = .7
        ([0.2, 0.3, 0.25], [0]),  # mean doubt .75: tau = .8
    ],
)
def test_the_threshold_falls_as_the_block_grows_certain(certainty, expected):
    candidates = places([0.95, 0.7, 0.3], certainty=certainty)
    assert picked("swordsman", candidates, low=0.5, high=0.9) == expected


def test_only_open_places_are_averaged():
    candidates = places([0.9, 0.7, 0.3], closed=[0], certainty=[0.0, 1.0, 1.0])
    assert picked("swordsman", candidates, low=0.6, high=0.9) == [1]


def test_equal_ends_are_the_threshold():
    for tau in (0.0, 0.3, 0.9, 1.1):
        assert trace(selection={"name": "swordsman", "low": tau, "high": tau}) == trace(threshold=tau)


def test_it_differs_from_quota_and_from_both_ends():
    adaptive = trace(selection={"name": "swordsman", "low": 0.1, "high": 0.7})
    assert adaptive != trace()
    assert adaptive != trace(threshold=0.1)
    assert adaptive != trace(threshold=0.7)
