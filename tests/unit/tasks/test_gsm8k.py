import json

import pytest

from unmask.errors import UserError
from unmask.tasks import GSM8K
from unmask.tasks.gsm8k import final_number

NUMBERS = {
    "#### 72": "72",
    "#### 1,200": "1200",
    "#### $1,200.": "1200",
    "#### -5": "-5",
    "#### -$5": "-5",
    "####7": "7",
    "#### 0.25": "0.25",
    "1 #### 2 and 3": "2",
    "#### many, so 7": "7",
    r"\boxed{18} in 2 days": "18",
    r"\boxed{\$1,234,567.50}": "1234567.50",
    r"\boxed{-3}": "-3",
    "The answer is 72.": "72",
    "in 3-5 days": "5",
    "10-7=3": "3",
    "so x = (-3)": "-3",
    "he owes -$12": "-12",
    "costs .5": ".5",
    "2, 3": "3",
    "1,000,000 people": "1000000",
    "": None,
    "none": None,
    "####": None,
    r"\boxed{x}": None,
    r"\boxed{1{,}200} in 2 days": "1200",
    r"\boxed{1,\!200} in 2 days": "1200",
    r"\boxed{1\,200} in 2 days": "1200",
    r"\boxed{3}? No: \boxed{4}, in 2 days": "4",
    r"#### 3, not #### 4 or \boxed{5}": "3",
    r"#### \boxed{7} in 2 days": "7",
    r"\boxed{\text{18}} in 2 days": "18",
    r"\boxed{x = 18} in 2 days": "18",
    r"\boxed{3 \times 6 = 18} in 2 days": "18",
    "#### 3 * 6 = $18 in 2 days": "18",
    "#### **18** in 2 days": "18",
    "#### 18 = 3 dozen less 18": "18",
    "<answer>18</answer> after 2 tries": "18",
    "<answer>none</answer> but 2": "2",
    "#### " + "1+ " * 50_000: "1",
}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items(), ids=lambda value: repr(value)[:40])
def test_final_number(text, number):
    assert final_number(text) == number


@pytest.fixture
def task(tmp_path):
    rows = [
        {"question": "How many?", "answer": "2*600=<<2*600=1200>>1200 in all.\n#### 1,200"},
        {"question": "How much?", "answer": "It falls.\n#### -2.5"},
    ]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return GSM8K(path=str(tmp_path))


def test_problems(task):
    many, much = task.problems("test", None, 0)
    assert many.prompt == "How many?"
    assert many.solution == "2*600=1200 in all.\n#### 1,200"
    assert (many.answer, much.answer) == ("1200", "-2.5")
    assert many.place.endswith("test.jsonl:1")


def test_numbers_are_compared_by_value(task):
    many, much = task.problems("test", 2, 0)
    assert all(task.is_right(text, many) for text in ("1200", "1,200.00", "#### $1200", "it is 1200."))
    assert not any(task.is_right(text, many) for text in ("12,00", "1200.5", "-1200", "#### 1201 1200", "9" * 400))
    assert task.is_right("#### -2.50", much)
    assert not task.is_right("2.5", much)


def test_an_answer_without_a_number_names_its_row(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps({"question": "Why?", "answer": "Because."}) + "\n")
    with pytest.raises(UserError, match=r"test.jsonl:1: expected an answer that ends with '#### number', found no num"):
        GSM8K(path=str(tmp_path)).problems("test", None, 0)


def test_a_broken_row_names_itself(tmp_path):
    (tmp_path / "test.jsonl").write_text('{"question": "Why?", "answer": "#### 1"}\n{"question": "What?"}\n')
    with pytest.raises(UserError, match=r"test.jsonl:2: expected text under .*; mend it, or leave the row out"):
        GSM8K(path=str(tmp_path)).problems("test", None, 0)
