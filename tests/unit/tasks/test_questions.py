"""Questions of one's own: rows of many shapes, the rules that judge answers, and what is said of mistakes."""

import json
import time
from pathlib import Path

import pytest

from unmask.config.components import InvalidConfigError
from unmask.errors import UserError
from unmask.tasks import TASKS, choose_task, grades
from unmask.tasks.references import check_references
from unmask.tasks.rules import ANSWER_RULES, answer_rule

EXAMPLES = Path(__file__).parents[3] / "examples/questions"


def questions(tmp_path, *rows, answer="exact", name="questions.jsonl", **fields):
    path = tmp_path / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return TASKS["questions"](path=str(path), answer=answer, **fields)


def only(task):
    (problem,) = task.problems("test", None, 0)
    return problem


def judged(tmp_path, rule, expected, *texts):
    task = questions(tmp_path, {"question": "?", "answer": expected}, answer=rule)
    return [task.is_right(text, only(task)) for text in texts]


@pytest.mark.parametrize("row", [
    {"question": "2+2?", "answer": "4"},
    {"prompt": "2+2?", "completion": 4},
    {"instruction": "2+2?", "input": "", "output": "4"},
    {"problem": "2+2?", "target": ["4"]},
    {"input": "2+2?", "label": "4"},
    {"prompt": [{"role": "user", "content": "2+2?"}], "expected": "4"},
    {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]},
    {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]},
])  # fmt: skip
def test_columns_are_recognised(tmp_path, row):
    problem = only(questions(tmp_path, row))
    assert (problem.query, problem.accepted, problem.source) == ("2+2?", ("4",), f"{tmp_path}/questions.jsonl:1")


def test_csv_columns_of_other_names_and_an_instruction(tmp_path):
    task = questions(
        tmp_path, "ask,gold", "2+2?,4", name="q.csv", columns={"question": "ask", "expected": "gold"},
        instruction="Only the number.",
    )  # fmt: skip
    assert (only(task).query, only(task).accepted) == ("2+2?\n\nOnly the number.", ("4",))


def test_a_conversation_is_put_whole_and_its_last_answer_is_expected(tmp_path):
    turns = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "2+2?"), ("assistant", "4")]
    messages = [{"role": role, "content": content} for role, content in turns]
    problem = only(questions(tmp_path, {"messages": messages}))
    assert problem.query == messages[:-1]
    assert problem.accepted == ("4",)
    assert problem.record.first_answer == 4
    assert problem.record.messages[-1]["content"] == "4"
    # A column outranks the last turn, which is still not shown to the model.
    assert only(questions(tmp_path, {"messages": messages, "expected": "four"})).accepted == ("four",)
    other = [*messages[:3], {"role": "user", "content": "3+3?"}]
    assert only(questions(tmp_path, {"messages": other, "answer": "6"})).key != problem.key


def test_a_system_prompt_for_all_and_one_of_a_row(tmp_path):
    rows = [{"question": "a", "answer": "1"}, {"question": "b", "answer": "2", "system": "Mine."}]
    first, second = questions(tmp_path, *rows, system="Ours.").problems("test", None, 0)
    assert [first.query[0]["content"], second.query[0]["content"]] == ["Ours.", "Mine."]
    assert first.query[1] == {"role": "user", "content": "a"}


@pytest.mark.parametrize(("row", "said"), [
    ({"question": "2+2?"}, "jsonl:2: expected an answer under 'expected', 'answer'"),
    ({"question": "2+2?", "answer": None}, "jsonl:2: expected an answer under"),
    ({"question": "2+2?", "answer": []}, "jsonl:2: expected an answer under"),
    ({"ask": "2+2?", "answer": "4"}, "jsonl:2: expected a question under .*found ask, answer"),
    ({"question": "  ", "answer": "4"}, "jsonl:2: expected a question under 'question', found empty text"),
    ({"question": "2+2?", "answer": {"a": 1}}, "jsonl:2: expected text under 'answer', found an object with a"),
    ({"question": 'a', "answer": "b", "tools": [{"name": "f"}]}, "jsonl:2: expected questions without tools"),
    ({"messages": [{"role": "assistant", "content": "4"}]}, "jsonl:2: expected a last turn of the user"),
    ("{", "jsonl:2: expected one JSON object"),
])  # fmt: skip
def test_a_row_that_is_no_question_is_refused_with_its_line(tmp_path, row, said):
    with pytest.raises(UserError, match=said) as error:
        questions(tmp_path, {"question": "1+1?", "answer": "2"}, row).problems("test", None, 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("rule", "expected", "said"), [
    ("number", "none", "expected a number for the rule number, found 'none'"),
    ("regex", "(", "expected a regular expression .* for the rule regex, found '\\('"),
    ({"name": "exact", "ignore_punctuation": True}, "?!", "expected text that is more than punctuation"),
])  # fmt: skip
def test_an_expected_answer_that_the_rule_cannot_use_is_refused(tmp_path, rule, expected, said):
    with pytest.raises(UserError, match=f"jsonl:1: {said}"):
        questions(tmp_path, {"question": "?", "answer": expected}, answer=rule).problems("test", None, 0)


def test_exact(tmp_path):
    assert judged(tmp_path, "exact", "New York", " New \n York ", "new york", "New York.") == [True, False, False]
    rule = {"name": "exact", "ignore_case": True, "ignore_punctuation": True}
    assert judged(tmp_path, rule, "New York", "new york.", "NEW-YORK", "newyork") == [True, True, False]
    assert judged(tmp_path, "exact", ["a", "b"], "b", "c", "<think>c</think>a") == [True, False, True]


def test_number(tmp_path):
    texts = ("$1,200.00", "12 packs of 100 are 1200", "#### 1200 (not 7)", "1201", "none", "")
    assert judged(tmp_path, "number", 1200, *texts) == [True, True, True, False, False, False]
    assert judged(tmp_path, {"name": "number", "tolerance": 0.5}, "3", "3.4", "3.6") == [True, False]


def test_math(tmp_path):
    texts = ("so \\boxed{\\frac{2}{4}}", "The answer is 0.5.", "1/2", "half", "\\boxed{2}")
    assert judged(tmp_path, "math", "\\frac12", *texts) == [True, True, True, False, False]


def test_contains(tmp_path):
    texts = ("It is a cat.", "concatenate", "cat", "Cat", "cats", "concat, then cat")
    assert judged(tmp_path, "contains", "cat", *texts) == [True, False, True, False, False, True]
    assert judged(tmp_path, {"name": "contains", "words": False}, "cat", "concatenate") == [True]
    assert judged(tmp_path, {"name": "contains", "ignore_case": True}, "Straße", "die STRASSE") == [True]
    assert judged(tmp_path, "contains", "北京", "答案是北京。") == [True]  # no spaces between words


def test_regex(tmp_path):
    assert judged(tmp_path, "regex", "^yes\\b", " yes, it is", "oh yes", "yesterday") == [True, False, False]
    one = {"name": "regex", "pattern": "^\\d+$"}
    task = questions(tmp_path, {"question": "?"}, answer=one)
    assert [task.is_right(text, only(task)) for text in ("12", "twelve")] == [True, False]


def test_a_pattern_without_end_is_ended_and_said(tmp_path, caplog):
    began = time.monotonic()
    rule = {"name": "regex", "seconds": 0.2}
    assert judged(tmp_path, rule, "^(a|aa|a?)+$", "a" * 60 + "b") == [False]
    assert time.monotonic() - began < 5
    assert "questions.jsonl:1: the pattern '^(a|aa|a?)+$' took longer than 0.2 s" in caplog.text


FUNCTIONS = """
def share(answer, row):
    return len(answer) / row["length"]

def same(answer, row):
    return answer == row["answer"]

def fails(answer, row):
    raise KeyError("no")

def says(answer, row):
    return "yes"

calls = []

def counted(answer, row):
    calls.append(answer)
    return True
"""


@pytest.fixture
def functions(tmp_path):
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    return lambda name: f"python:{tmp_path}/functions.py:{name}"


def test_a_function_of_ones_own(tmp_path, functions):
    row = {"question": "?", "answer": "abcd", "length": 4}
    task = questions(tmp_path, row, answer=functions("share"))
    assert [task.is_right(text, only(task)) for text in ("abcd", "ab")] == [True, False]
    assert grades(task, "ab", only(task)) == {"grade": 0.5}
    same = questions(tmp_path, row, answer=functions("same"))
    assert [same.is_right(text, only(same)) for text in ("abcd", "ab", "<think>x</think>abcd")] == [True, False, True]
    assert same.files == (str(tmp_path / "functions.py"),)


def test_a_function_is_called_once_for_a_verdict_and_a_grade(tmp_path, functions):
    task = questions(tmp_path, {"question": "?"}, answer=functions("counted"))
    problem = only(task)
    assert task.is_right("a", problem)
    assert grades(task, "a", problem) == {"grade": 1.0}
    calls = task.answer._judge.__globals__["calls"]
    assert calls == ["a"]


@pytest.mark.parametrize(("name", "said"), [
    ("fails", "jsonl:1: .*functions.py:fails failed on the answer 'b': KeyError: 'no'; mend the function"),
    ("says", "jsonl:1: expected True, False or a number from 0 to 1 of .*functions.py:says, found 'yes'"),
    ("share", "jsonl:1: expected True, False or a number from 0 to 1 .*found 2.0"),
])  # fmt: skip
def test_a_function_that_judges_badly_is_named_with_the_row(tmp_path, functions, name, said):
    task = questions(tmp_path, {"question": "?", "length": 0.5}, answer=functions(name))
    with pytest.raises(UserError, match=said):
        task.is_right("b", only(task))


@pytest.mark.parametrize(("answer", "said"), [
    ("python:nowhere.py:f", "plugin '.*nowhere.py': no such file"),
    ("python:json:lods", "json: expected a function 'lods', found none; did you mean 'loads'"),
    ("python:no_such_module:f", "no module 'no_such_module'"),
])  # fmt: skip
def test_a_function_that_is_not_there_is_refused_before_a_question_is_read(tmp_path, answer, said):
    with pytest.raises(UserError, match=said):
        TASKS["questions"](path=str(tmp_path / "none.jsonl"), answer=answer).problems("test", None, 0)


@pytest.mark.parametrize(("spec", "said"), [
    ("numbr", "answer: expected a rule by which answers are right, found 'numbr'; did you mean 'number'"),
    ("", "found none; known: contains, exact"),
    ("python:f", "answer.function: expected FILE.py:FUNCTION|answer: function: expected FILE.py:FUNCTION"),
    ({"name": "number", "tolerence": 1}, "answer.tolerence: unknown key; did you mean 'tolerance'"),
    ({"name": "regex", "pattern": "("}, "pattern: expected a regular expression"),
    ({"name": "judge", "url": "localhost", "model": "m"}, "url: expected http://"),
    ({"name": "judge", "url": "http://localhost", "model": "m", "question": "?"}, r"question: expected \{answer\}"),
])  # fmt: skip
def test_a_rule_that_is_none_is_refused(spec, said):
    with pytest.raises(InvalidConfigError, match=said):
        TASKS["questions"](path="q.jsonl", answer=spec)


def test_a_rule_made_in_python_and_one_by_name():
    rule = ANSWER_RULES["number"](tolerance=1)
    assert TASKS["questions"](path="q.jsonl", answer=rule).answer is rule
    assert answer_rule("number") == ANSWER_RULES["number"]()


@pytest.mark.parametrize(("file", "answer", "without"), [
    ("exact.jsonl", "exact", 0), ("number.jsonl", "number", 0), ("math.jsonl", "math", 0),
    ("contains.csv", "contains", 0), ("regex.jsonl", "regex", 0),
    ("python.jsonl", f"python:{EXAMPLES}/rules.py:colours", 0),
    ("python.jsonl", f"python:{EXAMPLES}/rules.py:is_exactly", 0),
])  # fmt: skip
def test_the_examples_are_right_by_their_own_rule(file, answer, without):
    task = choose_task(f"{{name: questions, path: '{EXAMPLES / file}', answer: '{answer}'}}")
    found = check_references(task, task.problems("test", None, 0), "test")
    assert (list(found.failed), found.without) == ([], without)
    assert not any(task.is_right(text, problem) for problem in task.problems("test", None, 0) for text in ("", "?"))


def test_there_is_an_example_for_each_rule():
    assert {path.stem for path in EXAMPLES.glob("*.*") if path.suffix in (".jsonl", ".csv")} == set(ANSWER_RULES)


def test_a_pattern_alone_has_no_reference(tmp_path):
    task = questions(tmp_path, {"question": "?", "answer": "a+"}, answer="regex")
    found = check_references(task, task.problems("test", None, 0), "test")
    assert (found.problems, found.without, list(found.failed)) == (0, 1, [])


def test_there_is_no_training_split_and_not_more_than_there_is(tmp_path):
    task = questions(tmp_path, {"question": "?", "answer": "a"})
    with pytest.raises(UserError, match="questions has problems to be tested on only"):
        task.problems("train", None, 0)
    with pytest.raises(UserError, match="expected 2 problems, found 1"):
        task.problems("test", 2, 0)
