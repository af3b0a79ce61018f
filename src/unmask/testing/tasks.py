"""What every task promises: its gold solutions are right, near misses are wrong, and splits never overlap."""

from collections.abc import Callable, Iterable, Sequence

from unmask.errors import UserError
from unmask.tasks import Problem, Task, grades

NOTHING = ("", " ", "\n", "no", "|", "=", "####", "|=####", "?" * 300, "\\boxed{}", "\\boxed{", "```python\n```")
"""Texts that answer no problem."""
Misses = Callable[[Problem], Iterable[str]]


def check_task(
    task: Task,
    *,
    splits: Sequence[str] = ("train", "test"),
    size: int = 20,
    near_misses: Misses | None = None,
) -> None:
    """Check that a task keeps what every task promises.

    An ``AssertionError`` names the promise that is broken, and the problem.

    Args:
        task: with at least 40 problems in each split.
        splits: those that it has; ``test`` is one of them.
        size: problems of each split whose judgements are checked.
        near_misses: texts that are nearly the answer to a problem, and wrong; None: answers with one digit or letter
            changed, in front, or behind, and solutions that end in them.
    """
    for split in splits:
        for problem in task.problems(split, size, 0):
            for text in (problem.solution, f" {problem.solution}\n"):
                assert task.is_right(text, problem), f"{problem.source}: the solution is judged wrong: {text!r}"
    for problem in task.problems("test", size, 0):
        for text in (*NOTHING, *(near_misses or usual_misses)(problem)):
            assert not task.is_right(text, problem), f"{problem.source}: judged right, though wrong: {text!r}"
        _check_grades(task, problem)
    _check_problems(task, splits)
    _check_rows(task, splits[0])


def usual_misses(problem: Problem) -> list[str]:
    """Return texts that are one character away from right."""
    answer, solution = problem.answer, problem.solution
    near = [one_off(answer), answer + "0", "1" + answer, "-" + answer]
    return [*near, *(solution.replace(answer, wrong) for wrong in near)]


def one_off(answer: str) -> str:
    """Return the answer with its last digit or letter changed.

    >>> one_off("x = 19.")
    'x = 10.'
    """
    at = max(i for i, char in enumerate(answer) if char.isalnum())
    return answer[:at] + str((int(answer[at], 36) + 1) % 10) + answer[at + 1 :]


def _check_grades(task: Task, problem: Problem) -> None:
    right, wrong = grades(task, problem.solution, problem), grades(task, "", problem)
    assert right.keys() == wrong.keys(), (
        f"{problem.source}: grades {list(right)} of a solution, {list(wrong)} of no text"
    )
    assert all(grade == 1 for grade in right.values()), f"{problem.source}: a solution has the grades {right}"
    assert all(grade == 0 for grade in wrong.values()), f"{problem.source}: an empty text has the grades {wrong}"


def _check_problems(task: Task, splits: Sequence[str]) -> None:
    """Check that problems repeat by their arguments, differ, and are never in both splits."""
    assert task.problems("test", 10, 3) == task.problems("test", 10, 3), "the same arguments give other problems"
    fewer, more = task.problems("test", 10, 3), task.problems("test", 20, 3)
    assert fewer == more[:10], "ten problems are not the first ten of twenty"
    seen = {split: {p.prompt for s in range(3) for p in task.problems(split, 40, s)} for split in splits}
    for split in splits:
        one = task.problems(split, 40, 0)
        different = len({p.key for p in one})
        assert different == 40, f"40 problems of {split} are {different} different ones"
    both = set.intersection(*seen.values()) if len(splits) > 1 else set()
    assert not both, f"a prompt is in both splits: {next(iter(both))!r}"
    try:
        task.problems("dev", 5, 0)
    except UserError:
        return
    raise AssertionError("split='dev' is not refused with a UserError; see unmask.tasks.base.check_split")


def _check_rows(task: Task, split: str) -> None:
    """Check that a problem is a row to train on."""
    problem = task.problems(split, 1, 0)[0]
    record = problem.record
    assert (record.prompt, record.completion) == (problem.prompt, problem.solution), (
        "the row is not prompt and solution"
    )
    assert record.source == problem.source, f"the row is from {record.source}, its problem from {problem.source}"
