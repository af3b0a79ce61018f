"""Sudoku 4x4: fill a grid so that rows, columns and quarters hold 1 to 4."""

import random
import re
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from unmask.config.components import component
from unmask.errors import UserError
from unmask.tasks.base import TASKS, Chat, Problem, check_split, draw
from unmask.tasks.extract import fences, last_box, last_tag
from unmask.tasks.published import Row, problems_of, source_of, text_of

_BETWEEN = r"[\s|,;&\\\[\]()+-]*"
_RUN = re.compile(rf"(?<![\d-])(?<!\d[ |,;&])[1-4](?:{_BETWEEN}[1-4]){{15}}(?![ \t|,;&]*\d)")
_DIGITS = re.compile(rf"\d(?:{_BETWEEN}\d)*")
_GROUPS = tuple(
    group
    for i in range(4)
    for group in (
        tuple(range(4 * i, 4 * i + 4)),
        tuple(range(i, 16, 4)),
        tuple(8 * (i // 2) + 2 * (i % 2) + k for k in (0, 1, 4, 5)),
    )
)


@dataclass(frozen=True, kw_only=True)
class Grid(Problem):
    """A puzzle of 16 digits, row by row, 0 where a cell is empty; ``answer`` is its solution."""

    puzzle: str


@TASKS.register("sudoku")
@component
class Sudoku:
    r"""Sudoku with 4x4 cells; a grid that follows the rules and keeps the given digits is right.

    The 16 digits are looked for in this order: the last balanced ``\boxed{}``, the last ``<answer>`` tag, the first
    fenced block, the last run of 16 digits; spaces, commas, bars, brackets and new lines between them do not count.
    ``cells`` is the share of the originally empty cells that are right; of an answer that is too short, the missing
    ones are wrong, and one that is too long has none right.

    Args:
        path: a file with ``Puzzle`` and ``Solution`` (16 digits, 0 = empty), or a folder with ``test.csv`` (and
            ``train.csv``); a file itself is the test split. None: puzzles with one solution are drawn.
        fewest: empty cells, of drawn puzzles.
        most: empty cells, of drawn puzzles.
        words: ask in words and box the answer; else ``3102200002100320=`` is answered by the bare digits.
    """

    path: str | None = None
    fewest: Annotated[int, Field(ge=1, le=12)] = 6
    most: Annotated[int, Field(ge=1, le=12)] = 10
    words: bool = False
    chat: Chat = None
    default_problems: ClassVar[int | None] = 256

    @model_validator(mode="after")
    def _ordered(self) -> "Sudoku":
        if self.fewest > self.most:
            raise ValueError(f"expected fewest up to most={self.most}, found {self.fewest}")
        return self

    def problems(self, split: str, size: int | None, seed: int = 0) -> list[Problem]:
        """Return the first ``size`` puzzles of the file (None: all), or ``size`` drawn from ``seed`` (None: 1000)."""
        if self.path:
            source = source_of(self.path, split)
            check_split(split, only_test="sudoku with a file" if source == self.path else None)
            return list(problems_of(source, self._read, size=size))
        rng = random.Random(f"{split}/{seed}")

        def make() -> tuple[str, Problem]:
            while True:
                solution = list(rng.choice(grids()))
                for cell in rng.sample(range(16), rng.randint(self.fewest, self.most)):
                    solution[cell] = "0"
                puzzle = "".join(solution)
                solved = solutions(puzzle)
                if len(solved) == 1:
                    return puzzle, self._problem(puzzle, solved[0], f"sudoku:{puzzle}")

        return draw(make, split=split, size=size or 1000, remedy="ask for fewer, or raise most of the task")

    def _read(self, source: str, row: Row) -> Problem:
        puzzle, solution = text_of(row, source, "Puzzle", "puzzle"), text_of(row, source, "Solution", "solution")
        puzzle, solution = puzzle.strip(), solution.strip()
        fits = re.fullmatch("[0-4]{16}", puzzle) and is_solution(solution, puzzle) and "0" in puzzle
        if not fits:
            found = f"'{puzzle[:20]}' and '{solution[:20]}'"
            raise UserError(f"{source}: expected a puzzle of 16 digits and its solution, found {found}; mend the row")
        return self._problem(puzzle, solution, source)

    def _problem(self, puzzle: str, solution: str, source: str) -> Problem:
        rows = "\n".join(puzzle[i : i + 4] for i in range(0, 16, 4))
        question = (
            f"Solve this 4x4 Sudoku; 0 stands for an empty cell. Each row, each column and each 2x2 quarter holds "
            f"1, 2, 3 and 4 once.\n{rows}\nWrite the 16 digits of the solved grid, row by row, within \\boxed{{}}."
        )
        return Grid(
            prompt=question if self.words else f"{puzzle}=",
            solution=f"\\boxed{{{solution}}}" if self.words else solution,
            answer=solution,
            source=source,
            puzzle=puzzle,
        )

    def is_right(self, text: str, problem: Problem) -> bool:
        """Return whether the grid follows the rules and keeps the given digits."""
        return is_solution(digits_of(text), _puzzle(problem))

    def grades(self, text: str, problem: Problem) -> dict[str, float]:
        """Return ``cells``: the share of originally empty cells that are right, from 0 to 1."""
        puzzle, found = _puzzle(problem), digits_of(text)
        empty = [cell for cell in range(16) if puzzle[cell] == "0"]
        kept = found.ljust(16, "0") if len(found) <= 16 else "0" * 16
        expected = kept if is_solution(kept, puzzle) else problem.answer
        return {"cells": sum(kept[cell] == expected[cell] for cell in empty) / len(empty)}


def _puzzle(problem: Problem) -> str:
    if not isinstance(problem, Grid):
        raise TypeError(f"expected a Sudoku, found {problem.source}")
    return problem.puzzle


def digits_of(text: str) -> str:
    r"""Return the digits of a grid in a text, row by row; empty where there are none.

    >>> digits_of("Solved:\n1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1")
    '1234341221434321'
    """
    fenced = fences(text)
    inside = last_box(text) or last_tag(text) or (fenced[0][1] if fenced else None)
    if inside is not None:
        runs = [run for run in map(_bare, _DIGITS.findall(inside)) if len(run) == 16]
        return runs[0] if len(runs) == 1 else _bare(inside)
    runs = _RUN.findall(text)
    if runs:
        return _bare(runs[-1])
    bare = text.strip()
    return bare if re.fullmatch("[0-9]+", bare) else ""


def _bare(text: str) -> str:
    return re.sub(r"\D", "", text)


def is_solution(grid: str, puzzle: str) -> bool:
    """Return whether a grid of 16 digits follows the rules and keeps the digits of the puzzle."""
    if not re.fullmatch("[1-4]{16}", grid):
        return False
    kept = all(given in ("0", digit) for given, digit in zip(puzzle, grid, strict=True))
    return kept and all(len({grid[cell] for cell in group}) == 4 for group in _GROUPS)


@cache
def grids() -> tuple[str, ...]:
    """Return all 288 solved grids, row by row."""
    rows = ["".join(row) for row in permutations("1234")]
    found = []
    for first in rows:
        for second in rows:
            if set(first[:2]) & set(second[:2]):
                continue
            found += [
                first + second + third + fourth
                for third in rows
                for fourth in rows
                if is_solution(first + second + third + fourth, "0" * 16)
            ]
    return tuple(found)


def solutions(puzzle: str) -> list[str]:
    """Return the grids that solve a puzzle; none if it has no solution."""
    fitting = (1 << len(grids())) - 1
    for cell, digit in enumerate(puzzle):
        if digit != "0":
            fitting &= _having(cell, digit)
    return [grid for index, grid in enumerate(grids()) if fitting >> index & 1] if fitting else []


@cache
def _having(cell: int, digit: str) -> int:
    """Return which grids have a digit in a cell: bit i is set if grid i has it."""
    return sum(1 << index for index, grid in enumerate(grids()) if grid[cell] == digit)
