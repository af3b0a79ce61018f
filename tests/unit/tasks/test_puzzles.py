"""Countdown, Sudoku and edits by hand."""

import json
from fractions import Fraction

import pytest

from unmask.config.components import InvalidConfigError
from unmask.errors import UserError
from unmask.tasks import Countdown, Edits, Sudoku, edits, sudoku
from unmask.tasks.countdown import solve
from unmask.tasks.expressions import evaluate

SUMS = {
    "1+2*3": (7, [1, 2, 3]),
    "(1+2)*3": (9, [1, 2, 3]),
    "7/2": (Fraction(7, 2), [7, 2]),
    "1/3*3": (1, [1, 3, 3]),
    "-5+7": (2, [5, 7]),
    "8 − 2": (6, [8, 2]),
    "6 × 7": (42, [6, 7]),
    "6 ÷ 4": (Fraction(3, 2), [6, 4]),
    r"6 \times 7": (42, [6, 7]),
    "6 x 7": (42, [6, 7]),
    "6 ⋅ 7": (42, [6, 7]),
    "6 ∗ (7 ∕ 7)": (6, [6, 7, 7]),
    "x + 7": None,
    r"6 \cdot 7": (42, [6, 7]),
    r"\frac{6}{4}": (Fraction(3, 2), [6, 4]),
    r"\left(6 - 4\right) \div 2": (1, [6, 4, 2]),
    "[6-4]*2": (4, [6, 4, 2]),
    "$1+1$": (2, [1, 1]),
    "9**9**9": None,
    "9^9": None,
    "7//2": None,
    "7%2": None,
    "1/0": None,
    "1/(2-2)": None,
    "": None,
    "(": None,
    "1+": None,
    "2(3)": None,
    "1.5+1": None,
    "0x10": None,
    "1_0": None,
    "a+1": None,
    "__import__('os')": None,
    "f(1)": None,
    "1,2": None,
    "(" * 5_000 + "1" + ")" * 5_000: None,
    "(" * 99 + "1" + ")" * 99: (1, [1]),
    "-" * 199 + "1": (-1, [1]),
    "1 if 1 else 2": None,
    "1<2": None,
    "[1]": (1, [1]),
    "[]": None,
    "٣+1": None,
    "1" * 201: None,
    "07+1": None,
    "{1}": None,
}


@pytest.mark.parametrize(("text", "value"), SUMS.items(), ids=lambda value: repr(value)[:30])
def test_sums_are_evaluated_exactly(text, value):
    assert evaluate(text) == value


@pytest.fixture
def countdown(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps({"input": "30,100,93", "output": "23"}))
    task = Countdown(path=str(tmp_path))
    return task, task.problems("test", None, 0)[0]


COUNTDOWN = [
    ("\\boxed{30-(100-93)}", True),
    ("\\boxed{93 - 100 + 30}", True),
    ("30+93-100", True),
    ("So:\n30+93-100\n", True),
    ("30+93-100 = 23", True),
    ("23 = 30+93-100", True),
    ("24 = 30+93-100", False),
    ("\\boxed{30+93-100=23}.", True),
    ("<answer>30+93-100</answer>", True),
    ("$30 + 93 - 100$", True),
    ("**30 + 93 - 100**", True),
    ("`30 + 93 - 100`.", True),
    ("The answer is 30+93-100. Done.", True),
    ("**Answer:** 30+93-100 = 23", True),
    ("Here it is:\n```\n30+93-100\n```\nIt comes to 23.", True),
    ("The answer is 30+93-100.\n```\n30+100-93\n```", False),
    ("30**1+93-100", False),
    ("30+93-100 = 24", False),
    ("30+93-100 = 30 - 7 = 23", True),
    ("\\boxed{23}", False),
    ("\\boxed{30-7}", False),
    ("\\boxed{30+93-100+0}", False),
    ("\\boxed{30+93-100-93+93}", False),
    ("30+100-93", False),
    ("\\boxed{30+93-100} or \\boxed{1}", False),
    ("9**9**9", False),
    ("", False),
    ("30+93-100 and done", False),
    ("\\boxed{3 0+93-100}", False),
    ("\\boxed{30+93-10**2}", False),
    ("\\boxed{30+93-100.0}", False),
]


@pytest.mark.parametrize(("text", "is_right"), COUNTDOWN)
def test_countdown(countdown, text, is_right):
    task, problem = countdown
    assert task.is_right(text, problem) == is_right


def test_countdown_tells_valid_from_right(countdown):
    task, problem = countdown
    assert problem.prompt.startswith("Use the numbers 30, 100, 93 to make 23.")
    assert task.grades("30+100-93", problem) == {"valid": 1.0}
    assert task.grades("30+100", problem) == {"valid": 0.0}


def test_repeated_numbers_must_be_used_as_often_as_given(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"input": "90,43,90", "output": "43"}))
    task = Countdown(path=str(path), words=False)
    problem = task.problems("test", None, 0)[0]
    assert problem.prompt == "90,43,90=43:"
    assert task.is_right("43+90-90", problem)
    assert not task.is_right("43+90-43", problem)
    assert not task.is_right("43", problem)


def test_solutions_are_written_with_the_parentheses_they_need():
    for numbers, target in [
        ((30, 100, 93), 23),
        ((8, 3, 2), 1),
        ((2, 3, 4), Fraction(2, 12)),
        ((12, 2, 3), 18),
        ((5, 3, 9), 7),
    ]:
        text = solve(numbers, target)
        assert text is None or evaluate(text)[0] == target
    assert solve((3, 7, 12), 22) == "3+7+12"
    assert solve((1, 1), 7) is None


@pytest.mark.parametrize("count", [3, 4, 5])
def test_drawn_problems_are_whole_and_solved(count):
    for problem in Countdown(numbers=count, words=False).problems("train", 100, 0):
        value, numbers = evaluate(problem.solution)
        assert value == problem.target
        assert 1 <= value <= 99
        assert sorted(numbers) == sorted(problem.numbers)


def test_rows_of_countdown_are_checked(tmp_path):
    path = tmp_path / "test.jsonl"
    for row, found in [
        ({"input": "1,1", "output": "7"}, "expected numbers that reach 7, found 1,1; leave the row out"),
        (
            {"input": "1;1", "output": "7"},
            "expected two to six numbers and a target, found '1;1' and '7'; mend the row",
        ),
        ({"input": "1,1"}, "expected text under 'output' or 'target', found nothing; mend it"),
    ]:
        path.write_text(json.dumps({"input": "1,2", "output": "3"}) + "\n" + json.dumps(row))
        with pytest.raises(UserError, match=f"test.jsonl:2: {found}"):
            Countdown(path=str(path)).problems("test", None, 0)


@pytest.mark.parametrize(
    "row",
    [
        {"nums": [19, 36, 55, 7], "target": 65},
        {"target": "65", "nums": "[19, 36, 55, 7]"},
        {"nums": "19,36,55,7", "target": 65},
        {"input": "19, 36, 55, 7", "output": 65},
    ],
)
def test_rows_of_countdown_as_published(row, tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps(row))
    task = Countdown(path=str(path))
    problem = task.problems("test", None, 0)[0]
    assert (problem.numbers, problem.target) == ((19, 36, 55, 7), 65)
    assert task.is_right("<think>19+36</think><answer>55 + 36 - 19 - 7</answer>", problem)
    assert not task.is_right("<answer>55 + 36 - 19</answer>", problem)


@pytest.mark.parametrize("nums", [[], [1], ["a", 2], [1.5, 2], [[1], 2], None, 7])
def test_rows_of_countdown_without_numbers_are_named(nums, tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps({"nums": nums, "target": 3}))
    with pytest.raises(UserError, match=r"test.jsonl:1: expected (two to six numbers and a target|text under)"):
        Countdown(path=str(path)).problems("test", None, 0)


PUZZLE, SOLVED = "3102200002100320", "3142243142131324"


@pytest.fixture
def grid(tmp_path):
    (tmp_path / "test.csv").write_text(f"Puzzle,Solution\n{PUZZLE},{SOLVED}\n")
    task = Sudoku(path=str(tmp_path))
    return task, task.problems("test", None, 0)[0]


SUDOKU = [
    (SOLVED, True, 1.0),
    (f"\\boxed{{{SOLVED}}}", True, 1.0),
    (f"<answer>{SOLVED}</answer>", True, 1.0),
    ("3 1 4 2\n2 4 3 1\n4 2 1 3\n1 3 2 4", True, 1.0),
    ("```\n3142\n2431\n4213\n1324\n```", True, 1.0),
    ("|3|1|4|2|\n|2|4|3|1|\n|4|2|1|3|\n|1|3|2|4|", True, 1.0),
    (f"1234123412341234, no: {SOLVED}", True, 1.0),
    ("[[3, 1, 4, 2], [2, 4, 3, 1], [4, 2, 1, 3], [1, 3, 2, 4]]", True, 1.0),
    ("+---+---+\n|3 1|4 2|\n|2 4|3 1|\n+---+---+\n|4 2|1 3|\n|1 3|2 4|\n+---+---+", True, 1.0),
    ("3 1 4 2\n2 4 3 1\n4 2 1 3\n1 3 2 4\n\n1. Each row holds all four.", True, 1.0),
    ("3 1 4 2 2 4 3 1 4 2 1 3 1 3 2 4 4", False, 0.0),
    ("4 3 1 4 2 2 4 3 1 4 2 1 3 1 3 2 4", False, 0.0),
    ("\\boxed{3 1 4 2\n2 4 3 1\n4 2 1 3\n1 3 2 4\n1 2 3 4}", False, 0.0),
    (SOLVED[:-1] + "1", False, 7 / 8),
    (SOLVED[:-1], False, 7 / 8),
    (SOLVED + "4", False, 0.0),
    ("", False, 0.0),
    (PUZZLE, False, 0.0),
    ("no idea", False, 0.0),
    ("1234341221434321", False, 2 / 8),
]


@pytest.mark.parametrize(("text", "is_right", "cells"), SUDOKU)
def test_sudoku(grid, text, is_right, cells):
    task, problem = grid
    assert task.is_right(text, problem) == is_right
    assert task.grades(text, problem) == {"cells": cells}


def test_there_are_288_grids():
    assert len(sudoku.grids()) == len(set(sudoku.grids())) == 288
    assert SOLVED in sudoku.grids()
    assert sudoku.solutions(PUZZLE) == [SOLVED]
    assert len(sudoku.solutions("0" * 16)) == 288


def test_drawn_puzzles_have_one_solution_and_the_holes_asked_for():
    problems = Sudoku(fewest=5, most=7).problems("train", 200, 0)
    assert {p.puzzle.count("0") for p in problems} == {5, 6, 7}
    assert all(sudoku.solutions(p.puzzle) == [p.answer] for p in problems)
    with pytest.raises(InvalidConfigError, match="expected fewest up to most=6, found 7"):
        Sudoku(fewest=7, most=6)


def test_another_right_grid_of_an_open_puzzle_is_right(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"Puzzle,Solution\n{'0' * 16},{SOLVED}\n")
    task = Sudoku(path=str(path))
    problem = task.problems("test", None, 0)[0]
    assert task.is_right("1234341221434321", problem)
    assert task.grades("1234341221434321", problem) == {"cells": 1.0}


@pytest.mark.parametrize("row", ["3102,3142", f"{PUZZLE},{SOLVED[::-1]}", f"{SOLVED},{SOLVED}", f"{PUZZLE}5,{SOLVED}"])
def test_rows_of_sudoku_are_checked(row, tmp_path):
    path = tmp_path / "test.csv"
    path.write_text(f"Puzzle,Solution\n{PUZZLE},{SOLVED}\n{row}\n")
    with pytest.raises(UserError, match=r"test.csv:3: expected a puzzle of 16 digits and its solution, found"):
        Sudoku(path=str(path)).problems("test", None, 0)


def test_edits_are_written_out():
    problem = edits.make_problem("abcde", ["r", "d2", "s13", "t4"])
    assert problem.prompt == "abcde:r,d2,s13,t4="
    assert problem.solution == "edcba|ecba|bcea|bceaa"
    assert problem.answer == "bceaa"
    task = Edits()
    assert all(task.is_right(text, problem) for text in ("bceaa", "x|bceaa", problem.solution))
    assert not any(task.is_right(text, problem) for text in ("bcea", "bceaa|", "bceaa|ecba", "bceaaa", ""))


def test_edits_fit_the_small_alphabet():
    from unmask.models.tokenizers import ALPHABETS

    for task in (
        Edits(),
        Edits(length=8, commands=4),
        Sudoku(),
        Countdown(words=False),
        Countdown(words=False, numbers=5),
    ):
        text = "".join(p.prompt + p.solution for p in task.problems("train", 100, 0))
        assert set(text) <= set(ALPHABETS["digits"])


def test_the_length_of_words_is_checked():
    with pytest.raises(InvalidConfigError, match=r"expected length at least commands \+ 2 = 6, found 5"):
        Edits(length=5, commands=4)
