"""What every task promises."""

import json
import sys

import pytest

from unmask.errors import UserError
from unmask.tasks import TASKS
from unmask.testing import check_task
from unmask.testing.tasks import one_off

NUMBERS = {"train": range(1, 41), "test": range(101, 141)}
TEST_ONLY = {"aime24", "aime25", "humaneval", "math500", "questions"}
FINAL = {"gsm8k": "#### {}", "math500": "\\boxed{{{}}}", "aime24": "\\boxed{{{}}}", "aime25": "\\boxed{{{}}}"}
CODE = ("humaneval", "mbpp")
NEEDS = {**dict.fromkeys(CODE, {"execute": "limits"}), "questions": {"answer": "exact"}}


def gsm8k(n):
    return {"question": f"What is {n} and {n}?", "answer": f"{n}+{n}=<<{n}+{n}={2 * n}>>{2 * n}\n#### {2 * n}"}


def math500(n):
    return {"problem": f"What is ${n}+{n}$?", "solution": f"So $\\boxed{{{2 * n}}}$.", "answer": str(2 * n)}


def aime(n):
    return {"question": f"What is ${n}+{n}$?", "answer": str(2 * n)}


def humaneval(n):
    check = f"def check(candidate):\n    assert candidate(1) == {n + 1}\n"
    start = f'def add_{n}(x: int) -> int:\n    """ Add {n}. """\n'
    return {"prompt": start, "canonical_solution": f"    return x + {n}\n", "entry_point": f"add_{n}", "test": check}


def mbpp(n):
    number = n + 600 if n < 101 else n
    code = f"def add_{n}(x):\r\n    return x + {n}"
    return {"text": f"Add {n}.", "code": code, "task_id": number, "test_list": [f"assert add_{n}(1) == {n + 1}"]}


def questions(n):
    return {"question": f"What is {n} and {n}?", "answer": str(2 * n)}


ROWS = {
    "questions": questions,
    "gsm8k": gsm8k,
    "math500": math500,
    "aime24": aime,
    "aime25": aime,
    "humaneval": humaneval,
    "mbpp": mbpp,
}


def reading(name, folder):
    """A task that reads small files, in the formats as published."""
    rows = {split: [ROWS[name](n) for n in numbers] for split, numbers in NUMBERS.items()}
    if name == "mbpp":
        rows = {"mbpp": rows["train"] + rows["test"]}
    for split, some in rows.items():
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, some)))
    path = folder / "test.jsonl" if name in TEST_ONLY else folder
    return TASKS[name](path=str(path), **NEEDS.get(name, {}))


@pytest.fixture(params=sorted(TASKS))
def task(request, tmp_path):
    """Each registered task; those that read files get small ones."""
    if request.param in CODE and sys.platform != "linux":
        pytest.skip("code is run on Linux only")
    return reading(request.param, tmp_path) if request.param in ROWS else TASKS[request.param]()


def splits(task):
    return ("test",) if task.name in TEST_ONLY else ("train", "test")


def few(task):
    """Running code takes its time."""
    return 3 if task.name in CODE else 20


def near_misses(task):
    """Texts that are one character away from right, of the tasks that do not end in their bare answer."""
    if task.name in CODE:
        changes = (("return x +", "return x -"), ("def add", "def ad"))
        return lambda problem: [problem.solution.replace(*change) for change in changes]
    if task.name in FINAL:

        def final(problem):
            near = [one_off(problem.answer), problem.answer + "0", "1" + problem.answer, "-" + problem.answer]
            return [*near, *(FINAL[task.name].format(wrong) for wrong in near)]

        return final
    return None


def test_what_every_task_promises(task):
    check_task(task, splits=splits(task), size=few(task), near_misses=near_misses(task))


class Lenient(TASKS["sorting"]):
    """Takes any order of the digits."""

    def is_right(self, text, problem):
        return sorted(text.strip().rpartition("|")[2]) == sorted(problem.answer)


class Overlapping(TASKS["sorting"]):
    """Tests on what it trains on."""

    def problems(self, split, size, seed=0):
        return super().problems("test", size, 0)


def test_a_check_says_what_is_broken():
    with pytest.raises(AssertionError, match=r"sorting:\d+: judged right, though wrong: '\d+\|"):
        check_task(Lenient(), near_misses=lambda problem: [problem.solution[:-8] + problem.answer[::-1]])
    with pytest.raises(AssertionError, match="a prompt is in both splits"):
        check_task(Overlapping())


def test_more_problems_than_there_are_are_refused_in_one_line(task, tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_text(json.dumps({"input": "1,2,3", "output": "6"}))
    small = {
        "sorting": {"shortest": 2, "longest": 2},
        "arithmetic": {"terms": 2, "largest": 99},
        "sudoku": {"fewest": 1, "most": 1},
        "countdown": {"path": str(few)},
        "edits": {"length": 4, "commands": 1, "letters": 2},
    }
    task = TASKS[task.name](**small[task.name]) if task.name in small else task
    with pytest.raises(UserError, match=r"expected \d+ .*problems, found") as error:
        task.problems("test", 5_000, 0)
    assert "\n" not in str(error.value)
    assert "ask for" in str(error.value)


def test_splits_are_train_and_test(task):
    with pytest.raises(UserError, match="split: expected train or test, found 'dev'"):
        task.problems("dev", 5, 0)
    if task.name in TEST_ONLY:
        with pytest.raises(
            UserError, match=f"split: expected test, found 'train'; {task.name} has problems to be tested"
        ):
            task.problems("train", 5, 0)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_row_without_an_answer_names_its_file_and_line(name, tmp_path):
    task = reading(name, tmp_path)
    column = {"mbpp": "code", "humaneval": "canonical_solution"}.get(name, "answer")
    path = tmp_path / ("mbpp.jsonl" if name == "mbpp" else "test.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    place = len(rows) - 5
    for missing in ("", None):
        rows[place - 1][column] = missing
        path.write_text("\n".join(map(json.dumps, rows)))
        with pytest.raises(UserError, match=rf"{path.name}:{place}: expected .*(mend|leave)") as error:
            task.problems("test", None, 0)
        assert "\n" not in str(error.value)
