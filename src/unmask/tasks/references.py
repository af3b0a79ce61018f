"""Whether the solutions that come with a task are right by its own judgement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unmask.errors import UserError
from unmask.tasks.base import Problem, Task


@dataclass(frozen=True, kw_only=True)
class References:
    """What came of a split.

    Args:
        split: ``train`` or ``test``.
        problems: how many.
        failed: places of those whose solution is not right.
    """

    split: str
    problems: int
    failed: Sequence[str]


def splits_of(task: Task, size: int | None) -> dict[str, Sequence[Problem]]:
    """Return the problems of each split that a task has.

    Raises:
        UserError: its problems can't be read, or code may not be run.
    """
    found = {"test": task.problems("test", size, 0)}
    try:
        found["train"] = task.problems("train", size, 0)
    except UserError as error:
        if not str(error).startswith("split:"):  # it has a test split only
            raise
    return {split: problems for split, problems in found.items() if problems}


def check_references(
    task: Task, problems: Sequence[Problem], split: str, on_done: Callable[[int], None] | None = None
) -> References:
    """Judge the solution of each problem.

    Args:
        task: whose problems they are.
        problems: of one split.
        split: its name.
        on_done: called with how many are judged.
    """
    failed = []
    for number, problem in enumerate(problems, 1):
        if not task.is_right(problem.solution, problem):
            failed.append(problem.source)
        if on_done:
            on_done(number)
    return References(split=split, problems=len(problems), failed=failed)
