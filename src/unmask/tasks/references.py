"""Whether the solutions that come with a task are right by the task's own judgement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unmask.errors import UserError
from unmask.tasks.base import Problem, Task


@dataclass(frozen=True, kw_only=True)
class References:
    """How the solutions of one split were judged.

    Args:
        split: ``train`` or ``test``.
        problems: how many were judged.
        failed: sources of the problems whose solution is not right.
        without: how many problems more have no solution to judge, such as questions with a pattern as their answer.
    """

    split: str
    problems: int
    failed: Sequence[str]
    without: int = 0


def splits_of(task: Task, size: int | None) -> dict[str, Sequence[Problem]]:
    """Return the problems of each split that a task has.

    Args:
        task: whose problems to read.
        size: problems of each split; None: all.

    Returns:
        Problems by split; a task for testing only has no ``train``.

    Raises:
        UserError: the problems can't be read, or code may not be run.
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
        task: the task that judges.
        problems: problems of one split.
        split: name of the split.
        on_done: called after each problem with how many are judged.

    Returns:
        How many were judged, and which solutions are not right.
    """
    failed, without = [], 0
    for number, problem in enumerate(problems, 1):
        if not problem.solution:
            without += 1
        elif not task.is_right(problem.solution, problem):
            failed.append(problem.source)
        if on_done:
            on_done(number)
    return References(split=split, problems=len(problems) - without, failed=failed, without=without)
