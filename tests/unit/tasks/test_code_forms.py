"""The forms that models give code in. Beside some: the report of another tool that has the fault."""

import textwrap
import time

import pytest

from unmask.tasks.code import Code, code_of, source_of_answer
from unmask.tasks.fences import fences
from unmask.tasks.sandbox import Checks
from unmask.tasks.source import binds, longest, without_examples

START = 'def half(n):\n    """Halve."""\n'
GOOD = "def half(n):\n    return n // 2\n"
BAD = "def half(n):\n    return n\n"
SHOWN = 'def half(n):\n    """\n```\nhalf(4)\n```\n"""\n    return n // 2\n'
LISTED = textwrap.indent(GOOD, "   ")
RIGHT = {
    # Fences
    "tildes": f"~~~python\n{GOOD}~~~\nDone.",
    "a longer fence": f"````python\n{GOOD}````",
    "a longer fence around a shorter one": f"````python\n{SHOWN}````",
    "tildes around backticks": f"~~~\n{SHOWN}~~~",
    "a closing fence that is longer": f"```python\n{GOOD}`````\nThis is it.",
    "in a list item": f"- Write:\n\n  ```python\n{textwrap.indent(GOOD, '  ')}  ```\n",
    "in a numbered item, then the next": f"1. Write:\n   ```python\n{LISTED}   ```\n2. Call it.",
    "behind the mark of a list item": f"1. ```python\n{LISTED}   ```\n2. Call it.",
    "in a quotation": "> ```python\n> def half(n):\n>     return n // 2\n> ```",
    "closed without its indentation": f"1. Write:\n   ```python\n{LISTED}```\nSo it goes.",
    "in a docstring": '```python\ndef half(n):\n    """\n    ```python\n    half(4)\n    ```\n    """\n'
    '    return n // 2\n```',
    "in a docstring, not indented": f"```python\n{SHOWN}```\nSo it goes.",
    "with an attribute": f'```python title="half.py"\n{GOOD}```',
    "with braces": f"```{{python}}\n{GOOD}```",
    "capital": f"```Python\n{GOOD}```",
    "python3": f"``` python3\n{GOOD}```",
    "carriage returns": f"```python\n{GOOD}```\n".replace("\n", "\r\n"),
    "on one line (SpecForge#548)": "```python def half(n): return n // 2 ```",
    "on one line without a language": "```def half(n): return n // 2```",
    "a span of code": "It is `half = lambda n: n // 2`, in short.",
    "closed behind the last line": "```python\ndef half(n):\n    return n // 2```\nSo it goes.",
    "closed behind the last of several": "```py\ndef half(n):\n    if n:\n        n //= 2\n    return n```\nSo.",
    "code behind the opening fence": "```python def half(n):\n    return n // 2\n```",
    "only closed (lm-eval#3710)": f"{GOOD}```\nThis halves.",
    "only closed, then an example": f"{GOOD}```\nSo:\n```python\nhalf(4)\n```",
    "only opened": f"Here:\n```python\n{GOOD}",
    "only opened, then prose": f"```python\n{GOOD}\nThis halves its argument.",
    "labelled otherwise": f"```text\n{GOOD}```",
    # Several blocks
    "a draft first (evalscope#1167)": f"```python\n{BAD}```\nWrong. Rather:\n```python\n{GOOD}```",
    "an example last": f"```python\n{GOOD}```\nCall it:\n```python\nprint(half(4))\nx = half(2)\n```",
    "a test that imports it last": f"```python\n{GOOD}```\n```py\nfrom a import half\nassert half(4) == 3\n```",
    "a broken one last": f"```python\n{GOOD}```\n```python\ndef half(n) return n\n```",
    "another language last": f"```python\n{GOOD}```\n```js\nfunction half(n) {{ return n / 2 }}\n```",
    "output last": f"```python\n{GOOD}```\n```\nhalf(4) = 2\n```",
    "a helper in another": "```python\nTWO = 2\ndef by(n, m):\n    return n // m\n```\n```python\ndef half(n):\n"
    "    return by(n, TWO)\n```",
    "a helper in the draft": f"```python\nimport math\n{BAD}raise SystemExit\n```\n```python\ndef half(n):\n"
    f"    return math.floor(n / 2)\n```",
    "a helper that needs a helper": "```py\nfrom math import *\n```\n```py\ndef by(n):\n    return floor(n / 2)\n```\n"
    "```python\ndef half(n):\n    return by(n)\n```",
    # How it is bound (evalplus)
    "a lambda": "```python\nhalf = lambda n: n // 2\n```",
    "under if": "```python\nif True:\n    def half(n):\n        return n // 2\n```",
    "under try": "```python\ntry:\n    import none_such\nexcept ImportError:\n    def half(n):\n"
    "        return n // 2\n```",
    "a partial": "```python\nfrom functools import partial\nfrom operator import rshift\n"
    "half = lambda n: rshift(n, 1)\n```",
    "with an annotation": "```python\nfrom typing import Callable\nhalf: Callable = lambda n: n // 2\n```",
    "decorated": "```python\nimport functools\n\n@functools.cache\ndef half(n):\n    return n // 2\n```",
    "among others": "```python\ntwice, half = (lambda n: n * 2), (lambda n: n // 2)\n```",
    "a class that is called": "```python\nclass half(int):\n    def __new__(cls, n):\n        return n // 2\n```",
    # Without a fence (lm-eval#2648)
    "prose behind": f"{GOOD}\nExplanation:\nIt halves.",
    "prose behind, no blank line": f"{GOOD}This halves.",
    "bold behind": f"{GOOD}\n**Note** that it floors.",
    "a heading behind": f"{GOOD}\n## Why\nIt floors.",
    "another alphabet behind": f"{GOOD}\n返回一半。",
    "a question behind": f"{GOOD}\nQuestion: and doubling?\nAnswer:",
    "words that parse behind": f"{GOOD}\nDone\nNote: halves\n",
    "prose around": f"Sure, here you are:\n\n{GOOD}\nfrom which you see it.",
    "an import before": f"Use this:\nimport math\n\n{GOOD}\nGood luck!",
    "prose that starts like code": f"from the text I conclude\nif so, this:\n{GOOD}",
    "indented as code": f"So it is\n\n{textwrap.indent(GOOD, '    ')}\nas you see.",
    "a second function behind": f"{GOOD}\ndef third(n):\n    return n // 3\n\nI added another.",
    "a lambda alone": "half = lambda n: n // 2",
    "the start again": f"{START}    return n // 2\n",
    # Bodies
    "a body": "    return n // 2\n",
    "a body and prose": "    return n // 2\n\nThis halves.",
    "a body and a fence": "    return n // 2\n```\nThis halves.",
    "a body and a loose end": "    if n:\n        return n // 2\n    return 0\n    else",
    "a body, then the function again": f"    return n // 2\n\n\n{BAD}",
    "a body behind prose": "The body is:\n\n    return n // 2\n",
    "a body with a long string": '    text = """\nleft\n"""\n    return n // 2\n',
    "a fenced body in prose": "Just\n```python\nreturn n // 2\n```\nas you see.",
    "a fenced body, then a call": "```python\n    return n // 2\n```\nCall:\n```python\nprint(half(3))\n```",
    # Examples behind it are no part of it
    "a wrong assertion": f"```python\n{GOOD}\nassert half(4) == 1\n```",
    "asks for input": f"```python\n{GOOD}\nn = int(input())\nprint(half(n))\n```",
    "asks for input at once": f"```python\n{GOOD}\nresult = half(int(input()))\nprint(result)\n```",
    "tests in a loop": f"```python\n{GOOD}\nfor n, m in [(4, 1)]:\n    assert half(n) == m\n```",
    "a main": f"```python\n{GOOD}\nif __name__ == '__main__':\n    print(half(int(input())))\n```",
    "a table filled behind": "```python\ntable = {}\ndef half(n):\n    return table[n]\ndef fill():\n"
    "    for n in range(-9, 9): table[n] = n // 2\nfill()\n```",
    # Thinking (lm-eval#3145)
    "a draft in the thinking": f"<think>\n```python\n{BAD}```\n</think>\n```python\n{GOOD}```",
    "a draft before the thinking ends": f"```python\n{BAD}```\n</think>\n{GOOD}",
    "a draft behind": f"```python\n{GOOD}```\n<think>\n```python\n{BAD}```",
    "a mark in the code": "<think>x</think>\n```python\ndef half(n):\n    '</think>'\n    return n // 2\n```",
    # Prompts, helpers behind, loose ends
    "at Python's prompt": "```pycon\n>>> def half(n):\n...     return n // 2\n>>> half(4)\n2\n```",
    "at Python's prompt, no fence": ">>> def half(n):\n...     return n // 2\n...\n>>> half(4)\n2\n",
    "a helper in a later block": "```python\ndef half(n):\n    return div(n)\n```\nwith\n"
    "```python\ndef div(n):\n    return n // 2\n```",
    "asks for ever": f"```python\n{GOOD}\nwhile True:\n    n = int(input())\n    print(half(n))\n```",
    "a fence within a sentence": "Use ```python def half(n): return n // 2 ``` here.",
    "a body and a glued fence": "    m = n\n    return m // 2```",
    "a body and a mark of the end": "    return n // 2<|im_end|>",
    "a body of three spaces": "   m = n\n   return m // 2",
    "a body of two spaces": "  if n:\n    return n // 2\n  return 0",
    "from the future": f"```python\nfrom __future__ import annotations\n{GOOD}```",
}  # fmt: skip
WRONG = {
    "a draft last": f"```python\n{GOOD}```\n```python\n{BAD}```",
    "only thought": f"<think>\n```python\n{GOOD}```",
    "another name": f"```python\n{GOOD.replace('half', 'halve')}```",
    "another name, several lines": f"```python\n{START.replace('half', 'halve')}    return n // 2\n```",
    "another name, no fence": f"{START.replace('half', 'halve')}\n    m = n\n    return m // 2\n",
    "within another function": f"```python\ndef outer():\n{textwrap.indent(GOOD, '    ')}```",
    "within a class": f"```python\nclass A:\n{textwrap.indent(GOOD, '    ')}```",
    "in a comment": "```python\n# half = lambda n: n // 2\n```",
    "in a string": "```python\nx = 'half = lambda n: n // 2'\n```",
    "only called": "```python\nhalf(4)\n```",
    "prose": "To halve, return n // 2.",
    "an annotation alone": "```python\nhalf: int\n```",
}


def given(text):
    """Whether the code that is found halves. The texts are ours, so they are run here."""
    checks = Checks(names=("half",), code="")
    problem = Code(prompt="?", solution="!", answer="", source="p", before=START, checks=checks)
    names = {"__name__": "answer"}
    try:
        exec(source_of_answer(text, problem), names)
        return [names["half"](n) for n in (4, 7, -1)] == [2, 3, -1]
    except (Exception, SystemExit):
        return False


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_right_code_is_found(text):
    assert given(text)


@pytest.mark.parametrize("text", [text for name, text in RIGHT.items() if "body" not in name], ids=str)
def test_without_a_start_too(text):
    assert binds(code_of(text, ["half"]), ["half"])


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_is_not_given_is_not_found(text):
    assert not given(text)


def test_fences():
    assert fences("~~~\n```\nx\n```\n~~~") == [("", "```\nx\n```\n")]
    assert fences("````py\n```\n````\n```\ny\n```") == [("py", "```\n"), ("", "y\n")]
    assert fences("```\n    ```\nx\n   ```\ny") == [("", "    ```\nx\n")]
    assert fences("- ```\n  x\n    y\n  ```\n") == [("", "x\n  y\n")]
    assert fences("``` py x `y` ```") == []
    assert fences("```c++ x\ny\n```") == [("c++", "y\n")]
    assert fences("`` `\n``` a`b\n") == []
    assert fences("> - ```\n>   x\n>\n>     y\n>   ```\n") == [("", "x\n\n  y\n")]
    assert fences("> ```\n> >>> x\n> ```\n> > ```\n> > > y") == [("", ">>> x\n"), ("", "> y")]
    assert fences("") == []


def test_the_longest_part():
    assert longest("x = 1\ny = (\nx = 2\nz = 3\nw = 4", ["x"]) == "x = 2\nz = 3\nw = 4"
    assert longest("x == 1", ["x"]) == ""
    assert longest("so x = 1", ["x"]) == ""


def test_what_is_of_use_stays():
    source = (
        "import sys\nsys.setrecursionlimit(10)\ndef f(): return g()\ndef g(): return 1\nf.cache = {}\ng()\nf()\n'x'"
    )
    assert without_examples(source, ["f"]).split("\n")[:6] == source.split("\n")[:6]
    assert without_examples(source, ["f"]).split("\n")[6:] == ["", ""]
    assert without_examples("def f(): pass; f()", ["f"]) == "def f(): pass; f()"


@pytest.mark.parametrize(
    "piece",
    ["```python\n", "def f(:\n", "def f():\n", "x = (\n", "`", "``` ", "    x\n", "try:\n", "(", "-", "> ", "1. "],
)
def test_a_text_without_end_is_searched_in_bounded_time(piece):
    start = time.monotonic()
    for is_begun in (False, True):
        code_of(piece * 30_000, ["f"], is_begun=is_begun)
    assert time.monotonic() - start < 60
