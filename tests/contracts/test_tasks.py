"""What every task promises."""

import json
import sys

import pytest

from unmask.errors import UserError
from unmask.tasks import TASKS, grades

NUMBERS = {"train": range(1, 41), "test": range(101, 141)}
TEST_ONLY = {"aime24", "aime25", "humaneval", "math500"}
FINAL = {"gsm8k": "#### {}", "math500": "\\boxed{{{}}}", "aime24": "\\boxed{{{}}}", "aime25": "\\boxed{{{}}}"}
CODE = ("humaneval", "mbpp")
NOTHING = ("", " ", "\n", "no", "|", "=", "####", "|=####", "?" * 300, "\\boxed{}", "\\boxed{", "```python\n```")


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


ROWS = {"gsm8k": gsm8k, "math500": math500, "aime24": aime, "aime25": aime, "humaneval": humaneval, "mbpp": mbpp}


def reading(name, folder):
    """A task that reads small files, in the formats as published."""
    rows = {split: [ROWS[name](n) for n in numbers] for split, numbers in NUMBERS.items()}
    if name == "mbpp":
        rows = {"mbpp": rows["train"] + rows["test"]}
    for split, some in rows.items():
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, some)))
    path = folder / "test.jsonl" if name in TEST_ONLY else folder
    return TASKS[name](path=str(path), **({"execute": "limits"} if name in CODE else {}))


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


def test_a_gold_solution_is_right(task):
    for split in splits(task):
        for problem in task.problems(split, few(task), 0):
            assert task.is_right(problem.solution, problem)
            assert task.is_right(f" {problem.solution}\n", problem)


def test_what_is_not_the_answer_is_wrong(task):
    for problem in task.problems("test", few(task), 0):
        for text in NOTHING:
            assert not task.is_right(text, problem)
        for wrong in near_misses(task, problem):
            assert not task.is_right(wrong, problem)


def near_misses(task, problem):
    """Texts that are one character away from right."""
    answer, solution = problem.answer, problem.solution
    if task.name in CODE:
        return [solution.replace("return x +", "return x -"), solution.replace("def add", "def ad")]
    near = [one_off(answer), answer + "0", "1" + answer, "-" + answer]
    if task.name in FINAL:
        return [*near, *(FINAL[task.name].format(wrong) for wrong in near)]
    return [*near, *(solution.replace(answer, wrong) for wrong in near)]


def one_off(answer):
    """Change the last digit or letter."""
    at = max(i for i, char in enumerate(answer) if char.isalnum())
    return answer[:at] + str((int(answer[at], 36) + 1) % 10) + answer[at + 1 :]


def test_grades_are_shares_under_the_same_names(task):
    for problem in task.problems("test", few(task), 0):
        right, wrong = grades(task, problem.solution, problem), grades(task, "", problem)
        assert right.keys() == wrong.keys()
        assert all(score == 1 for score in right.values())
        assert all(score == 0 for score in wrong.values())


def test_the_same_arguments_give_the_same_problems(task):
    assert task.problems("test", 10, 3) == task.problems("test", 10, 3)
    assert task.problems("test", 10, 3) == task.problems("test", 20, 3)[:10]


def test_problems_differ_and_splits_never_overlap(task):
    train, test = set(), set()
    for seed in range(3):
        test |= {p.prompt for p in task.problems("test", 40, seed + 3)}
        train |= set() if task.name in TEST_ONLY else {p.prompt for p in task.problems("train", 40, seed)}
    assert not train & test
    for split in splits(task):
        one = task.problems(split, 40, 0)
        assert len({p.key for p in one}) == len({p.prompt for p in one}) == 40


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


def test_rows_to_train_on(task):
    problem = task.problems(splits(task)[0], 1, 0)[0]
    assert (problem.record.prompt, problem.record.completion) == (problem.prompt, problem.solution)
    assert problem.record.place == problem.place


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
