"""Whole answers of models, labelled by hand, and where in them the answer stands."""

import json

import pytest

from unmask.errors import UserError
from unmask.tasks import AIME24, Math500
from unmask.tasks.extract import fences, last_box, last_phrase, last_tag
from unmask.tasks.gsm8k import GSM8K
from unmask.tasks.published import source_of

BOXES = {
    r"\boxed{3}": "3",
    r"\boxed{1} then \boxed{2}": "2",
    r"\boxed{\frac{1}{2}}.": r"\frac{1}{2}",
    r"\boxed{\{1, 2\}}": r"\{1, 2\}",
    r"\boxed {4}": "4",
    r"\boxed 5": "5",
    r"\fbox{6}": "6",
    r"\boxed{7} and \boxed{...}": "7",
    r"\boxed{8} and \boxed{9": "8",
    r"\boxed{\text{so } x = \boxed{1}}": "1",
    r"\boxed{}": None,
    r"\boxed{": None,
    r"\boxed": None,
    "boxed{3}": None,
    "": None,
}


@pytest.mark.parametrize(("text", "inside"), BOXES.items(), ids=repr)
def test_last_box(text, inside):
    assert last_box(text) == inside


@pytest.mark.parametrize(
    "piece", ["\\boxed{", "\\boxed{}", "```python\n", "answer is ", "<answer>", "$", "1 ", "{", "1,000"]
)
def test_a_text_without_end_is_read_in_bounded_time(piece, tmp_path):
    task, problem = load(Math500, tmp_path, problem="?", solution="!", answer="42")
    assert not task.is_right(piece * 100_000, problem)


def test_tags_phrases_and_fences():
    assert last_tag("<answer>1</answer> <answer> 2 </answer>") == "2"
    assert last_tag("<answer>cut off") == "cut off"
    assert last_tag("<answer></answer>") is None
    assert last_phrase("The final answer is: **12**.") == "12"
    assert last_phrase("Answer: $x^2$") == "x^2"
    assert last_phrase("no such words") is None
    assert fences("a\n```python\nx\n```\nb\n```\ny") == [("python", "x\n"), ("", "y")]


def load(task, tmp_path, **row):
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps(row))
    task = task(path=str(path if task is not GSM8K else tmp_path))
    return task, task.problems("test", 1, 0)[0]


MATH = [
    ("42", "Thus $\\boxed{42}$.", True),
    ("42", "\\boxed{41}, no: \\boxed{42}", True),
    ("42", "\\boxed{42}, no: \\boxed{41}", False),
    ("42", "The answer is 42.", True),
    ("42", "The answer is 42 apples", True),
    ("42", "<answer>42</answer>", True),
    ("42", "42", False),
    ("42", "\\boxed{42", False),
    ("42", "The answer is \\boxed{43}; 42", False),
    ("\\frac{1}{2}", "the answer is $\\frac{1}{2}$.", True),
    ("(1,2)", "$$\\boxed{\\left(1,2\\right)}$$", True),
    ("\\text{even}", "\\boxed{even}", True),
    ("x^2", "\\boxed{f(x)=x^2}", True),
    ("3", "\\boxed{9**9**9}", False),
    ("3", "\\boxed{\\frac{6}{2}}", True),
    ("3", "\\boxed{\\frac{6}{2}", False),
    ("3", "\\boxed{\\frac{3}}", False),
    ("\\frac{14}{3}", "$\\boxed{4\\frac{2}{3}}$", True),
    ("10", "\\boxed{10\\text{ units}}", True),
]


@pytest.mark.parametrize(("answer", "text", "is_right"), MATH)
def test_math500(answer, text, is_right, tmp_path):
    task, problem = load(Math500, tmp_path, problem="?", solution="!", answer=answer)
    assert task.is_right(text, problem) == is_right


def test_math500_tells_boxed_answers(tmp_path):
    task, problem = load(Math500, tmp_path, problem="Why?", solution="!", answer="42")
    assert problem.prompt.startswith("Why?\n\nReason step by step")
    assert task.grades("The answer is 42.", problem) == {"boxed": 0.0}
    assert task.grades("\\boxed{42.0}", problem) == {"boxed": 1.0}


AIME = [
    ("33", "\\boxed{33}", True),
    ("33", "\\boxed{033}", True),
    ("33", "\\boxed{33.0}", True),
    ("33", "\\boxed{33.}", True),
    ("33", "\\boxed{\\text{33}}", True),
    ("33", "\\boxed{m+n=33}", True),
    ("33", "$\\boxed{33^\\circ}$", True),
    ("33", "\\boxed{3 + 10 + 20 = 33}", True),
    ("33", "The answer is 33.", True),
    ("33", "**Answer: 33**", True),
    ("33", "\\boxed{33\\text{ ways}}", True),
    ("33", "The answer is 33 square units.", True),
    ("33", "\\boxed{33\\text{ or }34}", False),
    ("33", "\\boxed{3 3}", False),
    ("33", "\\boxed{33 pi}", False),
    ("33", "\\boxed{33x}", False),
    ("33", "\\boxed{330}", False),
    ("33", "\\boxed{3}", False),
    ("33", "\\boxed{33.5}", False),
    ("33", "\\boxed{-33}", False),
    ("33", "\\boxed{33} or \\boxed{34}", False),
    ("33", "33", False),
    ("33", "\\boxed{33, 34}", False),
    ("33", "", False),
    ("33", "\\boxed{\\frac{33}{1}", False),
    ("33", "\\boxed{9**9**9}", False),
    ("5", "\\boxed{005}", True),
]


@pytest.mark.parametrize(("answer", "text", "is_right"), AIME)
def test_aime(answer, text, is_right, tmp_path):
    task, problem = load(AIME24, tmp_path, question="?", answer=answer)
    assert task.is_right(text, problem) == is_right


def test_aime_asks_for_whole_numbers(tmp_path):
    with pytest.raises(UserError, match=r"test.jsonl:1: expected a whole number under 'answer', found '3/4'"):
        load(AIME24, tmp_path, question="?", answer="3/4")
    assert load(AIME24, tmp_path, problem="?", answer=33)[1].answer == "33"


GRADE_SCHOOL = [
    ("#### 72", True, True),
    ("72", True, False),
    ("The answer is 72.", True, False),
    ("It's $72.00", True, False),
    ("\\boxed{72}", True, False),
    ("#### $72", True, True),
    ("#### 72 apples", True, True),
    ("#### 7 2", False, False),
    ("#### 71\n#### 72", False, False),
    ("#### -72", False, False),
    ("\N{MINUS SIGN}72", False, False),
    ("#### 720", False, False),
    ("12 * 6 = 72", True, False),
    ("72 days in 2 weeks", False, False),
    ("", False, False),
    ("#### 72.5", False, False),
]


@pytest.mark.parametrize(("text", "is_right", "is_strict"), GRADE_SCHOOL)
def test_gsm8k(text, is_right, is_strict, tmp_path):
    task, problem = load(GSM8K, tmp_path, question="?", answer="#### 72")
    assert task.is_right(text, problem) == is_right
    assert task.grades(text, problem) == {"strict": float(is_strict)}


def test_the_file_of_a_split_is_found(tmp_path):
    (tmp_path / "HumanEval.jsonl.gz").touch()
    (tmp_path / "README.md").touch()
    assert source_of(str(tmp_path), "test") == str(tmp_path / "HumanEval.jsonl.gz")
    (tmp_path / "test.csv").touch()
    assert source_of(str(tmp_path), "test") == str(tmp_path / "test.csv")
    with pytest.raises(
        UserError, match=r"expected a file train.jsonl, found HumanEval.jsonl.gz, test.csv; write the path"
    ):
        source_of(str(tmp_path), "train")
