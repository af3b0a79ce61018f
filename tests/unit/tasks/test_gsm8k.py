import json
import time

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
    # Currencies and dots (lm-eval#3214).
    "#### Rs.27": "27",
    "#### Rs. 27 in 2 days": "27",
    "#### US$27": "27",
    "#### 27 USD for 2": "27",
    "#### USD 27 for 2": "27",
    "#### \N{EURO SIGN}27.50 for 2": "27.50",
    "#### \N{POUND SIGN} 27 for 2": "27",
    "#### -\N{EURO SIGN}27": "-27",
    "#### \N{EURO SIGN}-27": "-27",
    "#### $.50": ".50",
    "#### **$27** for 2": "27",
    "#### Answer: 27 for 2": "27",
    "it is Rs.27": "27",
    "so we get ...27": "27",
    "so we get \N{HORIZONTAL ELLIPSIS}27": "27",
    "see No.27": "27",
    "pi is 3.14": "3.14",
    "x=.5": ".5",
    "#### Step 1\n#### 27": "27",
    "1\N{NO-BREAK SPACE}200": "1200",
    # Fractions and mixed numbers (lm-eval#3254).
    "#### 27/2": "13.5",
    "#### 27 / 3 each of 5": "9",
    "#### 1/3": "0.3333333333333333",
    "#### 2 1/2 of 7": "2.5",
    "#### 2 and 1/2": "2.5",
    "#### -1/2": "-0.5",
    "#### $1/2": "0.5",
    "#### 27/2 = 13.5": "13.5",
    "#### 5/6/2024": "5",
    "#### 1/0": None,
    r"#### \frac{3}{4} of 7": "0.75",
    r"\boxed{\frac{3}{4}} of 7": "0.75",
    r"\boxed{\dfrac34}": "0.75",
    r"\boxed{2\frac{3}{4}}": "2.75",
    r"\boxed{-\frac{3}{4}}": "-0.75",
    r"\boxed{\frac{1,200}{5}}": "240",
    r"\boxed{- 3}": "-3",
    r"I used \boxed notation: 27": "27",
    "it is 3/4": "0.75",
    "it is 2 3/4": "2.75",
    "it is 2\N{VULGAR FRACTION THREE QUARTERS}": "2.75",
    "it is \N{VULGAR FRACTION ONE HALF}": "0.5",
    "in 2010 7/2": "3.5",
    "<answer>3/4</answer> of 7": "0.75",
    "#### - 3": "-3",
    "#### \N{MINUS SIGN} 3": "-3",
    "#### - $3": "-3",
    "#### x = - 3": "-3",
    "so x = - 3": "-3",
    "10 - 3": "3",
    "- 3 apples": "3",
    "<answer>- 3</answer>": "-3",
    # Phrases, thinking (lm-eval#3145).
    "The answer is 27, since 2 of them are left.": "27",
    "**Final Answer**\n\n$27$\n\nThat took 2 days.": "27",
    "The answer is 3 * 9 = 27": "27",
    "The answer is 27 in 2 days": "2",
    "The answer is easy: 27": "27",
    "<think>#### 26</think>\n#### 27": "27",
    "#### 26</think>27": "27",
    "27 <think>#### 26</think>": "27",
    "<think>#### 27": None,
    "1/" * 50_000: "1",
    # Numbers as other languages and programs write them.
    "#### 2e4": "20000",
    "#### 7,5": "7.5",
    "#### 2.450,75": "2450.75",
    "#### 2 450": "2450",
    "#### 2'450": "2450",
    "#### 2_450": "2450",
    "#### minus 9": "-9",
    "#### \u2013 9": "-9",
    "#### 21\u00f74": "5.25",
    "from 4\u20139 days": "9",
    "\\boxed{7,5}": "7.5",
    "#### 7, 5": "7",
    "#### 7,512": "7512",
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
    assert many.source.endswith("test.jsonl:1")


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


def test_a_text_of_line_ends_is_read_in_bounded_time():
    start = time.monotonic()
    assert final_number("\n" * 100_000 + "5") == "5"
    assert time.monotonic() - start < 20
