import pytest
from places import picked, places, trace

from unmask.decoding import EntropyBound
from unmask.errors import UserError

H = [0.25, 0.125, 0.0625, 2.0]  # in order: .0625, .125, .25, 2; the sums before them: 0, .0625, .1875, .4375


@pytest.mark.parametrize(
    ("entropies", "fields", "expected"),
    [
        (H, {"bound": 0.1}, [1, 2]),
        (H, {"bound": 0.1875}, [0, 1, 2]),
        (H, {"bound": 0.4375}, [0, 1, 2, 3]),  # the last one's own entropy is not counted
        (H, {"bound": 0.0}, [2]),
        ([0.0, 1.0, 0.0, 2.0], {"bound": 0.0}, [0, 1, 2]),  # all of zero entropy, and one more
        ([0.0, 1.0, 0.0, 2.0], {"bound": 0.0, "cap": 1}, [0]),
        (H, {"bound": float("inf")}, [0, 1, 2, 3]),
        (H, {"bound": float("inf"), "cap": 2}, [1, 2]),
    ],
)
def test_the_budget_is_in_nats_and_spares_the_last(entropies, fields, expected):
    assert picked("entropy_bound", places([-h for h in entropies]), **fields) == expected


def test_closed_places_do_not_count():
    assert picked("entropy_bound", places([0.0, -0.5, -0.7], closed=[0]), bound=0.4) == [1]
    assert picked("entropy_bound", places([0.0, -0.5, -0.7], closed=[0]), bound=0.6) == [1, 2]
    assert picked("entropy_bound", places([0.0], closed=[0])) == []


def test_a_cap_of_one_is_quota_by_entropy_and_infinity_is_a_block_a_forward():
    quota = {"selection": {"name": "quota", "score": "entropy"}}
    assert trace(selection={"name": "entropy_bound", "cap": 1}) == trace(quota)
    assert len(trace(selection={"name": "entropy_bound", "bound": float("inf")})) == 4


def test_it_differs_from_quota():
    assert trace(selection={"name": "entropy_bound", "bound": 1.5}) != trace(
        selection={"name": "quota", "score": "entropy"}
    )


@pytest.mark.parametrize("fields", [{"bound": -0.1}, {"bound": float("nan")}, {"cap": 0}])
def test_bad_budgets_are_refused(fields):
    with pytest.raises(UserError):
        EntropyBound(**fields)
