"""Where the code stands in an answer, and whether it may be run."""

import gzip
import json

import pytest

from unmask.errors import UserError
from unmask.tasks import MBPP, HumanEval
from unmask.tasks.code import code_of, source_of_answer
from unmask.tasks.sandbox.confine import what_is_missing

on_linux = pytest.mark.skipif(what_is_missing() is not None, reason="no sandbox here")
START = 'from typing import List\n\n\ndef add(x: int) -> int:\n    """ Add one. """\n'
ROW = {
    "task_id": "HumanEval/0",
    "prompt": START,
    "entry_point": "add",
    "canonical_solution": "    return x + 1\n",
    "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(1) == 2\n"
    "    assert candidate(-1) == 0\n",
}


@pytest.fixture
def humaneval(tmp_path):
    path = tmp_path / "HumanEval.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write(json.dumps(ROW) + "\n")
    return HumanEval(path=str(tmp_path), execute="sandbox")


WHOLE = "def add(x):\n    return x + 1\n"
RIGHT = {
    "fenced": f"Sure!\n```python\n{WHOLE}```\nThis adds one.",
    "fenced and cut off": f"```python\n{WHOLE}",
    "fenced without a language": f"```\n{WHOLE}```",
    "python after a shell": f"```bash\npip install x\n```\n```python\n{WHOLE}```",
    "the last of two": f"```python\ndef add(x): return 0\n```\nNo:\n```python\n{WHOLE}```",
    "what it needs first": "```python\nfrom operator import add as plus\n```\nand\n"
    "```python\ndef add(x):\n    return plus(x, 1)\n```",
    "an example first": f"Call it so:\n```python\nprint(add(1))\n```\nwhere\n```python\n{WHOLE}```",
    "with imports": f"```python\nimport math\nfrom typing import *\n\n{WHOLE}```",
    "indented fence": "  ```python\ndef add(x):\n    return x + 1\n  ```",
    "fenced body": "```python\n    return x + 1\n```",
    "body": "    return x + 1\n",
    "body that goes on": "    return x + 1\n\n\ndef other():\n    broken(\n",
    "body with a print behind it": "    return x + 1\n\nprint(add(1))\nassert False\n",
    "body of lines": "    y = x\n    y += 1\n    return y\n",
    "body whose first line lost its place": "y = x\n    return y + 1\n",
    "body that lost its place": "y = x\nif y:\n    y += 0\nreturn y + 1",
    "bare function": WHOLE,
    "bare function with words around": f"Here you are:\n\n{WHOLE}\n# Example\nadd(1)",
    "bare function and a sentence": f"{WHOLE}\nThis function adds one to its argument.",
    "bare function and a test": f"{WHOLE}\nassert add(1) == 3",
    "a helper first": "```python\ndef one():\n    return 1\n\ndef add(x):\n    return x + one()\n```",
    "more than is asked": f"```python\n{WHOLE}\nif __name__ == '__main__':\n    print(add(int(input())))\n```",
}
TREE = "class Node:\r\n  def __init__(s, v):\r\n    s.v = v\r\n    s.left = None\r\n"
TREE += "def total(n):\r\n  return n.v + n.left.v"
WRONG = {
    "empty": "",
    "blank": " \n",
    "words": "I don't know.",
    "off by one": "    return x + 2\n",
    "another name": "```python\ndef sub(x): return x + 1\n```",
    "no code": "```python\n```",
    "not Python": "```python\nreturn x + \n```",
    "pass": "    pass\n",
    "exit": "    import os; os._exit(0)\n",
}


@on_linux
@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_code_is_found(humaneval, text):
    problem = humaneval.problems("test", None, 0)[0]
    assert humaneval.is_right(text, problem), source_of_answer(text, problem)


@on_linux
@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_is_no_right_code_is_wrong(humaneval, text):
    assert not humaneval.is_right(text, humaneval.problems("test", None, 0)[0])


@on_linux
def test_an_answer_may_not_replace_the_helpers_of_its_tests(tmp_path):
    start = 'def poly(x):\n    return x - 3\n\n\ndef find_zero():\n    """ Find it. """\n'
    row = {
        **ROW,
        "prompt": start,
        "canonical_solution": "    return 3\n",
        "entry_point": "find_zero",
        "test": "def check(candidate):\n    assert poly(candidate()) == 0\n",
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    task = HumanEval(path=str(tmp_path), execute="sandbox", words=False)
    problem = task.problems("test", None, 0)[0]
    assert problem.prompt == start
    assert task.is_right("    return 3\n", problem)
    assert not task.is_right("    return 4\n\n", problem)
    assert not task.is_right("```python\ndef poly(x): return 0\ndef find_zero(): return 4\n```", problem)


@on_linux
def test_mbpp_takes_classes_setups_and_the_imports_of_its_reference(tmp_path):
    rows = [
        {"task_id": 10, "text": "few-shot", "code": "def f(): pass", "test_list": ["assert f()"]},
        {
            "task_id": 11,
            "text": "Sum a tree.",
            "test_setup_code": "a = Node(1)\r\na.left = Node(2)",
            "test_list": ["assert total(a) == 3"],
            "code": TREE,
        },
        {
            "task_id": 12,
            "text": "Size.",
            "code": "import sys\ndef size(x): return sys.getsizeof(x)",
            "test_list": ["assert size('a') == sys.getsizeof('a')"],
        },
        {
            "task_id": 13,
            "text": "Own sum.",
            "code": "def sum(a, b): return a + b",
            "test_list": ["assert sum(1, 2) == 3", "assert abs(sum(1, -2)) == 1"],
        },
        {"task_id": 601, "text": "train", "code": "def f(): return 1", "test_list": ["assert f() == 1"]},
    ]
    (tmp_path / "mbpp.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = MBPP(path=str(tmp_path), execute="sandbox")
    problems = task.problems("test", None, 0)
    assert [p.source.rpartition(":")[2] for p in problems] == ["2", "3", "4"]
    assert all(task.is_right(p.solution, p) for p in problems)
    assert not task.is_right("```python\ndef sum(a, b): return 3\nabs = lambda x: 1\n```", problems[2])
    assert task.is_right("def sum(a, b):\n    return b + a\n[DONE]", problems[2])
    assert [p.prompt.partition("\n")[0] for p in task.problems("train", None, 0)] == ["train"]


# One row each, whose own reference must pass, and a wrong answer.
ROWS = {
    "sanitised (inspect_ai#324)": (
        {"prompt": "Half a turn.", "code": "def turn(n):\n    return n * 3.141592653589793",
         "test_imports": ["import math"], "test_list": ["assert math.isclose(turn(1), math.pi)"]},
        "def turn(n): return n",
    ),
    "a lambda": ({"code": "triple = lambda x: 3 * x", "test_list": ["assert triple(2) == 6"]}, "triple = lambda x: x"),
    "a partial": (
        {"code": "import functools\nten = functools.partial(pow, 10)", "test_list": ["assert ten(2) == 100"]},
        "ten = abs",
    ),
    "in place": ({"code": "def flip(a):\n    a.reverse()", "test_list": ["a = [1, 2]\nflip(a)\nassert a == [2, 1]"]},
                 "def flip(a): return a[::-1]"),
    "names of the test alone": (
        {"code": "x = 1\ndef f(a):\n    return a + x", "test_list": ["x = [2]\nassert f(x[0]) == 3"]},
        "def f(a): return a",
    ),
    "a class of the test": (
        {"code": "def far(p):\n    return p.x + p.size()", "test_list": ["assert far(Point(3)) == 4"],
         "test_setup_code": "class Point:\n    def __init__(s, x): s.x = x\n    def size(s): return 1"},
        "def far(p): return p.x",
    ),
    "a class of the test, changed": (
        {"code": "def move(p):\n    p.x += 1", "test_setup_code": "class Point:\n    x = 1",
         "test_list": ["p = Point()\nmove(p)\nassert p.x == 2"]},
        "def move(p): return 2",
    ),
}  # fmt: skip


@on_linux
@pytest.mark.parametrize(("row", "wrong"), ROWS.values(), ids=ROWS)
def test_a_reference_of_mbpp_passes_its_own_tests(row, wrong, tmp_path):
    (tmp_path / "mbpp.json").write_text(json.dumps([{"task_id": 12, "text": "?", **row}]))
    task = MBPP(path=str(tmp_path), execute="sandbox")
    problem = task.problems("test", None, 0)[0]
    assert all(line in problem.prompt for line in row.get("test_imports", []))
    assert task.is_right(problem.solution, problem)
    assert not task.is_right(f"```python\n{wrong}\n```", problem)


def test_nothing_is_run_unless_somebody_says_so(tmp_path):
    (tmp_path / "HumanEval.jsonl").write_text(json.dumps(ROW))
    with pytest.raises(UserError, match=r"humaneval: judging runs code .* write \{name: humaneval, execute: sandbox\}"):
        HumanEval(path=str(tmp_path)).problems("test", None, 0)
    row = {"task_id": 601, "text": "One.", "code": "def f(): return 1", "test_list": ["assert f() == 1"]}
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row))
    silence_libraries = MBPP(path=str(tmp_path / "mbpp.jsonl"))
    with pytest.raises(UserError, match=r"mbpp: judging runs code that a model wrote"):
        silence_libraries.problems("test", None, 0)
    problem = silence_libraries.problems("train", None, 0)[0]  # to train on it runs nothing
    with pytest.raises(UserError, match="judging runs code that a model wrote"):
        silence_libraries.is_right(problem.solution, problem)


def test_text_without_code_is_no_code():
    assert code_of("I would add one.") == ""
    assert code_of("return x + 1", ["add"], is_begun=True) == "return x + 1"
