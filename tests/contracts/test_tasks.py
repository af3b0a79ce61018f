"""What every task promises."""

import json

import pytest

from unmask.errors import UserError
from unmask.tasks import TASKS

QUESTIONS = {"train": range(1, 41), "test": range(101, 141)}


@pytest.fixture(params=sorted(TASKS))
def task(request, tmp_path):
    """Each registered task; those that read files get small ones."""
    if request.param != "gsm8k":
        return TASKS[request.param]()
    for split, numbers in QUESTIONS.items():
        rows = [{"question": f"What is {n} and {n}?", "answer": f"{n}+{n}=<<{n}+{n}={2 * n}>>{2 * n}\n#### {2 * n}"}
                for n in numbers]  # fmt: skip
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return TASKS["gsm8k"](path=str(tmp_path))


def test_a_gold_solution_is_right(task):
    for split in ("train", "test"):
        for problem in task.problems(split, 20, 0):
            assert task.is_right(problem.solution, problem)
            assert task.is_right(f" {problem.solution}\n", problem)


def test_what_is_not_the_answer_is_wrong(task):
    for problem in task.problems("test", 20, 0):
        answer = problem.answer
        near = [answer[:-1] + str((int(answer[-1]) + 1) % 10), answer + "0", "1" + answer, "-" + answer]
        for text in ("", " ", "\n", "no", "|", "=", "####", "|=####", "?" * 300):
            assert not task.is_right(text, problem)
        for wrong in near:
            assert not task.is_right(wrong, problem)
            assert not task.is_right(problem.solution[: -len(answer)] + wrong, problem)


def test_the_same_arguments_give_the_same_problems(task):
    assert task.problems("test", 10, 3) == task.problems("test", 10, 3)
    assert task.problems("test", 10, 3) == task.problems("test", 20, 3)[:10]


def test_problems_differ_and_splits_never_overlap(task):
    train = [p.prompt for seed in range(3) for p in task.problems("train", 40, seed)]
    test = [p.prompt for seed in range(3, 6) for p in task.problems("test", 40, seed)]
    assert not set(train) & set(test)
    one = task.problems("train", 40, 0)
    assert len({p.key for p in one}) == len({p.prompt for p in one}) == 40


def test_more_problems_than_there_are_are_refused_in_one_line(task):
    small = {"sorting": {"shortest": 2, "longest": 2}, "arithmetic": {"terms": 2, "largest": 99}}
    task = TASKS[task.name](**small[task.name]) if task.name in small else task
    with pytest.raises(UserError, match=r"expected \d+ .*problems, found") as error:
        task.problems("test", 5_000, 0)
    assert "\n" not in str(error.value)
    assert "ask for" in str(error.value)


def test_splits_are_train_and_test(task):
    with pytest.raises(UserError, match="split: expected train or test, found 'dev'"):
        task.problems("dev", 5, 0)


def test_rows_to_train_on(task):
    problem = task.problems("train", 1, 0)[0]
    assert (problem.record.prompt, problem.record.completion) == (problem.prompt, problem.solution)
    assert problem.record.place == problem.place
