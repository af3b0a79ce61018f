import pytest
from places import picked, places, trace

INF = float("inf")


@pytest.mark.parametrize(
    ("scores", "fields", "expected"),
    [
        ([0.95, 0.92, 0.5, 0.99], {}, [0, 1]),  # what comes after the first failure waits
        ([0.1, 0.99, 0.99, 0.2], {}, [0]),  # the first is written whatever it is, but its failure ends the run
        ([0.9, 0.9], {}, [0]),  # strictly above
        ([1.0, 1.0, 1.0], {"threshold": 1.0}, [0]),
        ([0.3, 0.2, 0.0], {"threshold": 0.0}, [0, 1]),
        ([0.3, 0.2, 0.0], {"threshold": -INF}, [0, 1, 2]),
        ([0.9, 0.9, 0.9, 0.9], {"threshold": 0.7, "by": "product"}, [0, 1, 2]),  # .9, .81, .729, .6561
        ([0.9, 0.9, 0.9, 0.9], {"threshold": 0.7, "by": "each"}, [0, 1, 2, 3]),
        ([0.5, 0.99, 0.99], {"threshold": 0.7, "by": "product"}, [0]),
    ],
)
def test_the_longest_run_from_the_left(scores, fields, expected):
    assert picked("prefix", places(scores), **fields) == expected


def test_written_places_are_stepped_over():
    assert picked("prefix", places([0.0, 0.95, 0.0, 0.95, 0.3], closed=[0, 2])) == [1, 3]
    assert picked("prefix", places([0.9, 0.0, 0.9], closed=[1]), by="product", threshold=0.8) == [0, 2]
    assert picked("prefix", places([0.9], closed=[0])) == []


def test_infinity_is_left_to_right_and_the_run_is_always_contiguous():
    for by in ("each", "product"):
        steps = trace(selection={"name": "prefix", "threshold": INF, "by": by}, prompts=[(1,)])
        assert [at for at, _, _ in steps] == [[[0, offset]] for offset in range(16)]
    for at, _, _ in trace(selection={"name": "prefix", "threshold": 0.3}, prompts=[(1,)]):
        offsets = [offset for _, offset in at]
        assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))


def test_the_base_comes_back():
    assert trace(selection={"name": "prefix", "threshold": -INF}) == trace(threshold=0.0)
    assert trace(selection="prefix", block_size=1) == trace(block_size=1)


def test_it_differs_from_quota():
    assert trace(selection={"name": "prefix", "threshold": INF}) != trace()
