"""Numbers made of answers, by hand."""

import itertools
import math

import pytest

from unmask.errors import UserError
from unmask.evaluate import Answer, Evaluation, pass_at_k


def answers(*rights, grades=None):
    """One list of right and wrong for each problem."""
    return [
        Answer(
            source=f"p{i}", prompt="", text=f"{i}{s}", expected="", is_right=bool(right), problem=i, sample=s, tokens=6,
            forwards=4, seconds=0.5, grades=dict(grades or {}),
        )
        for i, row in enumerate(rights)
        for s, right in enumerate(row)
    ]  # fmt: skip


@pytest.mark.parametrize(("samples", "right"), [(5, 0), (5, 1), (5, 3), (6, 5), (4, 4)])
def test_pass_at_k_is_the_mean_over_all_choices_of_k(samples, right):
    is_right = [i < right for i in range(samples)]
    for k in range(1, samples + 1):
        chosen = list(itertools.combinations(is_right, k))
        assert pass_at_k(samples, right, k) == pytest.approx(sum(map(any, chosen)) / len(chosen))


def test_pass_at_k_is_unbiased():
    """Over all ways in which 4 answers of chance 0.3 come out, pass@2 is 1 - 0.7^2 on average."""
    chances = [math.comb(4, c) * 0.3**c * 0.7 ** (4 - c) for c in range(5)]
    assert sum(p * pass_at_k(4, c, 2) for c, p in enumerate(chances)) == pytest.approx(1 - 0.7**2)


def test_several_samples():
    found = Evaluation(answers=answers([1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]), samples=4)
    assert found.problems == 3
    assert found.right_by_problem == [1, 4, 0]
    assert found.accuracy == pytest.approx(5 / 12)
    assert found.pass_at(1) == pytest.approx(found.accuracy)
    assert found.pass_at(2) == pytest.approx((0.5 + 1 + 0) / 3)
    summary = found.summary()
    assert list(summary["pass"]) == ["1", "2", "4"]
    assert summary["pass"]["4"]["rate"] == pytest.approx(2 / 3, abs=1e-4)
    assert summary["pass"]["4"]["interval"] == [0.0, 1.0]
    low, high = summary["interval"]
    assert low <= found.accuracy <= high
    assert summary["forwards"] == 48
    assert summary["tokens_per_forward"] == 1.5
    assert summary["decoding_seconds"] == 6.0
    with pytest.raises(UserError, match="pass@5: expected 1 to 4"):
        found.pass_at(5)


def test_three_samples_show_pass_at_three():
    assert list(Evaluation(answers=answers([1, 0, 0]), samples=3).summary()["pass"]) == ["1", "2", "3"]


def test_grades_of_the_task_are_averaged():
    found = Evaluation(answers=answers([1], [0], grades={"cells": 0.25}))
    assert found.summary()["grades"] == {"cells": 0.25}
    assert "pass" not in found.summary()


def test_the_fingerprint_is_that_of_the_texts():
    one, other = answers([1], [0]), answers([0], [1])
    assert Evaluation(answers=one).fingerprint == Evaluation(answers=other).fingerprint
    assert Evaluation(answers=one).fingerprint != Evaluation(answers=one[:1]).fingerprint
