"""Sorting and arithmetic by hand."""

import pytest

from unmask.config.components import InvalidConfigError
from unmask.errors import UserError
from unmask.tasks import Arithmetic, Sorting, arithmetic, choose_task, sorting
from unmask.tasks.base import is_test


def test_a_merge_sort_is_written_out():
    problem = sorting.make_problem("73915284")
    assert problem.prompt == "73915284="
    assert problem.solution == "37192548|13792458|12345789"
    assert problem.answer == "12345789"
    assert sorting.passes("21") == ["12"]
    assert sorting.passes("210") == ["120", "012"]
    assert sorting.passes("9876543210") == ["8967452301", "6789234501", "2345678901", "0123456789"]


def test_only_the_last_pass_counts():
    problem = sorting.make_problem("4321")
    task = Sorting(shortest=4, longest=4)
    assert all(task.is_right(text, problem) for text in ("1234", "3412|1234", "9999|1234", " 34|1234 \n"))
    assert not any(task.is_right(text, problem) for text in ("1234|", "1234|1243", "12345", "123", "1234=", "1 234"))


def test_sums_are_written_out():
    problem = arithmetic.make_problem([17, 5, 40])
    assert (problem.prompt, problem.solution, problem.answer) == ("17+5+40=", "17+5=22;22+40=62", "62")
    task = Arithmetic()
    assert all(task.is_right(text, problem) for text in ("62", "17+5=22;22+40=62", "=62"))
    assert not any(task.is_right(text, problem) for text in ("062", "62;", "17+5=22;22+40=", "26", "62=63"))


def test_lengths_lie_in_the_range():
    assert {len(p.answer) for p in Sorting(shortest=5, longest=7).problems("train", 60, 1)} == {5, 6, 7}


def test_fields_are_checked():
    with pytest.raises(InvalidConfigError, match="expected shortest up to longest=8, found 9"):
        Sorting(shortest=9)
    with pytest.raises(InvalidConfigError, match="10,000 different problems, found 441"):
        Arithmetic(terms=2, largest=20)


def test_all_of_a_small_split_can_be_drawn():
    task = Sorting(shortest=2, longest=2)
    every = [f"{n:02}" for n in range(100)]
    expected = {f"{digits}=" for digits in every if is_test(digits)}
    assert {p.prompt for p in task.problems("test", len(expected), 0)} == expected
    with pytest.raises(
        UserError, match=rf"expected {len(expected) + 1} different test problems, found that there are "
    ):
        task.problems("test", len(expected) + 1, 0)


def test_choose_task():
    assert choose_task("sorting") == Sorting()
    assert choose_task("{name: sorting, longest: 12}") == Sorting(longest=12)
    with pytest.raises(UserError, match="--task: unknown task 'sort'; did you mean 'sorting'"):
        choose_task("sort")
