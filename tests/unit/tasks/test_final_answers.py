"""What MATH500 takes for the answer of a text. Beside some: the report of another tool that has the fault."""

import pytest

from unmask.tasks.extract import boxed, last_box, last_phrase
from unmask.tasks.math500 import final_answer

FOUND = {
    # A box that is spoken of (lm-eval#3477).
    "I'll put the result in \\boxed \n\nThe answer is 31.": "31",
    "Thus \\boxed{31}. That is the \\boxed format you wanted.": "31",
    "Thus \\boxed{31}, and \\boxed is what you asked for.": "31",
    "Thus \\boxed{31}. (`\\boxed` as asked)": "31",
    "I will use \\boxed 2 times at most. The answer is 31.": "31",
    "I must write \\boxed{your answer}. The answer is 31.": "31",
    "I must write \\boxed{\\text{final answer here}}. The answer is 31.": "31",
    "I must write \\boxed{?}. The answer is 31.": "31",
    "\\boxed{31} (\\boxed{...} as asked)": "31",
    "$\\boxed 31$ it is": "31",
    "so \\boxed x.": "x",
    "so $\\boxed\\pi$.": "\\pi",
    "\\boxed{east}": "east",
    "\\boxed{\\text{Ada}}": "\\text{Ada}",
    "\\boxed\n{31}": "31",
    # Several boxes (lm-eval#3652).
    "It is $\\boxed{2}$ or $\\boxed{9}$.": "2, 9",
    "\\boxed{2}, \\boxed{9}, and \\boxed{11}": "2, 9, 11",
    "$\\boxed{2} \\text{ and } \\boxed{9}$": "2, 9",
    "\\(\\boxed{2}\\); \\(\\boxed{9}\\)": "2, 9",
    "**\\boxed{2}** and **\\boxed{9}**": "2, 9",
    "$x=\\boxed{2}$ or $x=\\boxed{9}$": "2, 9",
    "$x_1 = \\boxed{2}$ and $x_2 = \\boxed{9}$": "2, 9",
    "x=\\boxed{2} and y=\\boxed{9}": "9",
    "\\boxed{2}, and with y=\\boxed{9}": "9",
    "\\boxed{2}\n\nFinal: \\boxed{9}": "9",
    "\\boxed{2}, no: \\boxed{9}": "9",
    "\\boxed{2}. \\boxed{9}": "9",
    "\\boxed{2} or rather \\boxed{9}": "9",
    "The first is \\boxed{2} and the other one is \\boxed{9}.": "9",
    "\\boxed{4}, \\boxed{4}": "4",
    "$\\boxed{\\frac{1}{2}}$ or $\\boxed{0.5}$": "0.5",
    "\\boxed{2} or \\boxed{9}, so all in all \\boxed{11}": "11",
    # Headings and phrases (Math-Verify#76).
    "**Final Answer**\n\n$$31$$": "31",
    "**Final Answer**\n\n\\[\n31\n\\]\n": "31",
    "**Final Answer:**\n\n$31$": "31",
    "### Final Answer\n31": "31",
    "## Final answer: $31$": "31",
    "**Answer**: $31$": "31",
    "**Answer:** 31": "31",
    "Final Answer\n\n**31**": "31",
    "__Final Answer__\n\n`31`": "31",
    "**The final answer**\n\n31.": "31",
    "**Final Answer**\n\nThe final answer is $31$. I hope it is correct.": "31",
    "the answer is\n\n$$\n31\n$$": "31",
    "The answer is 31, since 30 + 1 = 31.": "31",
    "The answer is 31 since 30 + 1 = 31.": "31",
    "The answer is 31 because of 1.": "31",
    "The answer is $31$, because 1 is odd.": "31",
    "The answer is 31, which is 30 + 1.": "31",
    "The answer is 31, as required.": "31",
    "The answer is 31 (since 30 + 1 = 31).": "31",
    "The answer is 31 \N{EM DASH} not 32.": "31",
    "The answer is 31; see above.": "31",
    "The answer is therefore 31.": "31",
    "The answer is equal to 31.": "31",
    "The answer should be 31.": "31",
    "The answer to the problem is 31.": "31",
    "The answer is: 31": "31",
    "The answer is **31**.": "31",
    "The answer is **31.**": "31",
    "The answer is `31`.": "31",
    'The answer is "31".': "31",
    "The answer is \\(31\\), so we are done.": "31",
    "The answer is 31. I checked: the answer is correct.": "31",
    "The answer is 31. So the answer is not 32.": "31",
    "The answer is $3$ and $5$.": "$3$ and $5$",
    "The answer is 3, 5 and 7.": "3, 5 and 7",
    "The answer is 3 or 5, or 7": "3 or 5, or 7",
    "The answer is (3, infinity).": "(3, infinity)",
    "The answer is $(3, x)$.": "(3, x)",
    "The answer is 5 (mod 7).": "5 (mod 7)",
    "The answer is 3 - x.": "3 - x",
    "The answer is Ada.": "Ada",
    "The answer is 3.5.": "3.5",
    "The answer is $31$ apples.": "31 apples",
    "31": None,
    "I have no answer": None,
    "The answer is": None,
    # Thinking (lm-eval#3145).
    "<think>maybe \\boxed{30}</think>\n<answer>31</answer>": "31",
    "<think>The answer is 30.</think>\\boxed{31}": "31",
    "maybe \\boxed{30}</think>\nThe answer is 31.": "31",
    "\\boxed{31}<think>or \\boxed{30}?</think>": "31",
    "<think>\\boxed{31}": None,
    "<reasoning>\\boxed{30}</reasoning><answer>31</answer>": "31",
    # Remarks without a comma, marks of other kinds, other languages.
    "The answer is 31 as 30 + 1 = 31.": "31",
    "The answer is 31 which is odd.": "31",
    "The answer is 31 so we stop here.": "31",
    "The answer is 31 and not 13.": "31",
    "The answer is 31 by the lemma.": "31",
    "The answer is 31, I believe.": "31",
    "The answer is __31__.": "31",
    "The answer is <b>31</b>.": "31",
    "The answer is option D.": "D",
    "The answer is choice (D).": "(D)",
    "**Final Answer** $31$": "31",
    "Final Answer\n=====\n31": "31",
    "<answer>The answer is 31</answer>": "31",
    "So $31$ is the answer.": "31",
    "Hence 31 is our final answer.": "31",
    "\u6240\u4ee5\u7b54\u6848\u662f\uff1a31\u3002": "31",
    "La respuesta es 31.": "31",
    "Die Antwort lautet $31$.": "31",
    "\u041e\u0442\u0432\u0435\u0442: 31": "31",
    "<analysis>\\boxed{30}</analysis>The answer is 31": "31",
}  # fmt: skip


@pytest.mark.parametrize(("text", "answer"), FOUND.items(), ids=repr)
def test_final_answer(text, answer):
    assert final_answer(text) == answer


def test_a_last_box_is_one():
    assert last_box("\\boxed{2} and \\boxed{9}") == "9"
    assert boxed("\\boxed{2} and \\boxed{9}") == "2, 9"
    assert boxed("\\boxed{\\text{so } x = \\boxed{1}}") == "1"
    assert boxed("\\boxed{1}, " * 100).count("1") == 1
    assert last_phrase("The ANSWER is 4") == "4"
