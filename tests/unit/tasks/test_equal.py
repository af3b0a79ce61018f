"""Answers of many shapes, labelled by hand."""

import os
import threading

import pytest

from unmask.tasks.equal import _VERIFIER, is_equal
from unmask.tasks.numbers import number_of

SAME = [
    ("7", "7.0"), ("7", "007"), ("7", "7."), ("7", "+7"), ("-7", "\N{MINUS SIGN}7"), ("1000", "1,000"),
    ("11,111,111,100", "11111111100"), ("10,\\!080", "10080"), ("1000", "1{,}000"), ("\\$18.90", "18.9"),
    ("18.90", "\\$18.90"), ("5", "$5$"), ("5", "\\(5\\)"), ("5", "\\[5\\]"), ("0.5", ".5"), ("2500", "2.5e3"),
    ("1200", "1.2\\times 10^3"), ("1200", "1.2 \\cdot 10^{3}"), ("0.0012", "1.2\\times10^{-3}"), ("42", "\\text{42}"),
    ("42", "\\mathbf{42}"), ("42", "42 \\text{ cm}"), ("12", "12\\,\\text{cm}^2"), ("5.4 \\text{ cents}", "5.4"),
    ("50\\%", "50"), ("50", "50\\%"), ("50\\%", "0.5"), ("90^\\circ", "90"), ("90", "90^{\\circ}"), ("90", "90°"),
    ("5", "x=5"), ("x=5", "5"), ("5", "n = 5"), ("y = 2x + 3", "2x+3"),
    ("\\frac{1}{2}", "0.5"), ("\\frac{1}{2}", "1/2"), ("\\frac{1}{2}", "\\dfrac{2}{4}"), ("\\frac12", "\\tfrac{1}{2}"),
    ("-\\frac{1}{2}", "\\frac{-1}{2}"), ("2\\frac{1}{2}", "2.5"), ("1\\frac{4}{5}", "\\frac{9}{5}"),
    ("\\frac{1}{3}", "0.3333333"), ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt{2}}"), ("3\\sqrt{2}", "\\sqrt{18}"),
    ("6 - 5i", "6-5i"), ("-2+7i", "7i-2"), ("288\\pi", "288 \\pi"), ("\\frac{\\pi}{2}", "\\pi/2"),
    ("(3, 4)", "(3,4)"), ("(3, 4)", "\\left(3, 4\\right)"), ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3, \\pi/2)"),
    ("(6,31,-1)", "(6, 31, -1)"), ("[0,1)", "[0, 1)"), ("x \\in [-2,7]", "[-2,7]"), ("(5,\\infty)", "(5, \\infty)"),
    ("(-\\infty,2)\\cup(3,\\infty)", "(3,\\infty) \\cup (-\\infty,2)"), ("\\{1,2\\}", "\\{2, 1\\}"), ("-2,1", "1, -2"),
    ("3, 5, 7", "3,5,7"), ("1 \\pm \\sqrt{19}", "1+\\sqrt{19}, 1-\\sqrt{19}"), ("\\infty", "\\infty"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{bmatrix} 1 \\\\ 2 \\end{bmatrix}"), ("(x+1)^2", "x^2+2x+1"),
    ("(a+5)(b+2)", "(b+2)(a+5)"), ("x^3+3x-6", "x^3 + 3x - 6"), ("\\frac{11+9a}{20}", "\\frac{9a+11}{20}"),
    ("\\text{Evelyn}", "Evelyn"), ("\\text{even}", "even"), ("\\text{(E)}", "E"), ("\\text{(E)}", "\\text{(E)}"),
    ("52_8", "52_8"), ("52_8", "52_{8}"), ("2^{10}", "1024"), ("5!", "120"), ("\\sqrt[3]{27}", "3"),
    ("10^{-2}", "0.01"), ("\\$36", "36 dollars"), ("4", "4 cm^2"), ("4", "4 \\text{ cm}^2"),
    ("[-2,7]", "-2 \\le x \\le 7"),
    ("\\frac{1}{3}", "0.\\overline{3}"), ("4.\\overline{054}", "\\frac{150}{37}"), ("-\\frac{1}{6}", "-0.1\\bar{6}"),
    ("42", "(C) 42"), ("C", "(C) 42"), ("\\frac12", "\\textbf{(B)}\\ \\frac{1}{2}"), ("\\text{(C)}", "(C)"),
    ("14 000", "14000"), ("\\text{Evelyn}", "evelyn"), ("no solution", "No solution"), ("xyz", "zyx"),
    ("1\\frac{1}{2}", "1 1/2"), ("\\frac{3}{2}", "1\\ 1/2"), ("-\\frac{3}{2}", "-1 1/2"), ("1.5, 2", "2, 1 1/2"),
    ("(3,\\infty)", "x > 3"), ("\\emptyset", "\\varnothing"), ("1,-2", "x = 1 \\text{ or } x = -2"),
]  # fmt: skip
DIFFERENT = [
    ("7", "8"), ("7", "70"), ("7", "-7"), ("7", "7.1"), ("1000", "1,0000"), ("3.14", "3.15"), ("0.5", "0.05"),
    ("7", ""),
    ("7", " "), ("7", "."), ("7", "x"), ("7", "seven hundred"), ("\\pi", "3.14"), ("\\frac{1}{3}", "0.33"),
    ("\\frac{3}{56}", "\\frac{3}{57}"), ("\\frac{1}{2}", "\\frac{2}{1}"), ("\\frac{1}{2}", "12"), ("(3,4)", "(4,3)"),
    ("(1,2)", "\\{1,2\\}"), ("\\{1,2\\}", "(1,2)"), ("(1,2)", "[1,2]"), ("[0,1)", "[0,1]"), ("(1,2,3)", "(1,2)"),
    ("1,2", "1"), ("3", "3,4"), ("\\{1,2\\}", "\\{1,2,3\\}"), ("\\text{even}", "odd"), ("\\text{(E)}", "D"),
    ("\\text{Evelyn}", "Eve"), ("x^2+1", "x^2-1"), ("p-q", "q-p"), ("2x+3", "3x+2"), ("6-5i", "6+5i"), ("52_8", "53_8"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}2\\\\1\\end{pmatrix}"), ("3\\sqrt{2}", "2\\sqrt{3}"),
    ("\\infty", "-\\infty"), ("120^\\circ", "60^\\circ"), ("2^{10}", "2^{11}"), ("1", "0.999999999"), ("10", "5+6"),
    ("2500", "2.5e4"), ("x=5", "x=6"), ("1 \\pm \\sqrt{19}", "1 + \\sqrt{19}"), ("\\$18.90", "18.09"),
    ("5", "5 million"), ("3", "3 or four"), ("3", "3 pi"), ("3", "3 x^2"), ("5", "x > 5"),
    ("(-2,7)", "-2 < x \\le 7"), ("(3,\\infty)", "x \\ge 3"), ("(0,1)", "1,0"),
    ("14", "1 4"), ("42", "(C) 41"), ("D", "(C) 42"), ("\\frac{1}{3}", "0.\\overline{4}"), ("C+2", "(D)+2"),
    ("Evelyn", "eve"), ("no solution", "No"), ("5.5", "1 1/2"), ("\\frac{11}{2}", "1 1/2"), ("\\frac{1}{2}", "1 1/2"),
]  # fmt: skip
BOMBS = [
    "9**9**9", "9^{9^{9}}", "9^{9^{9^{9}}}", "10^{10^{10}}", "100000000!", "((9!)!)!", "2^{2^{2^{2^{2^{2}}}}}",
    "\\sqrt" * 60 + "{2}",
    "1" * 5_000, "1e999999999", "10^{999999999}", "{" * 300, "(" * 350, "\\frac{" * 60, "\\frac{1}{0}", "0^{-1}",
    "\\frac{1}{",
    "\\left(", "\\begin{pmatrix}", "\\undefined{\\macro}", "$$$$", "\\", "}{", "\0", "\ud800", "\N{SNOWMAN}" * 100,
    "\\sum_{n=1}^{10^{9}} \\frac{1}{n}", "\\int_0^1 x^{x^{x}} dx", "\\prod_{k=1}^{10^8} k", "x^{" * 50 + "}" * 50,
    "\\binom{10^9}{10^8}", "\\sin(" * 80 + "1" + ")" * 80, "__import__('os').system('true')", "exec('1')",
    "+".join("abcdefgh" * 20),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "found"), SAME)
def test_the_same(expected, found):
    assert is_equal(expected, found)


@pytest.mark.parametrize(("expected", "found"), DIFFERENT)
def test_different(expected, found):
    assert not is_equal(expected, found)


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: repr(bomb[:20]))
def test_a_bomb_is_wrong_and_what_follows_is_judged_as_ever(bomb):
    assert not is_equal("42", bomb)
    assert is_equal("\\frac{1}{2}", "\\frac{3}{6}")


@pytest.mark.parametrize("bomb", BOMBS[:4])
def test_neither_is_a_bomb_expected(bomb):
    assert not is_equal(bomb, "42")
    assert is_equal(bomb, f" {bomb} ")


def test_the_process_that_compares_is_started_again():
    assert is_equal("\\frac{1}{2}", "\\frac{5}{10}")
    before = _VERIFIER._process.pid
    os.kill(before, 9)
    _VERIFIER._process.wait()
    assert is_equal("\\frac{1}{2}", "\\frac{6}{12}")
    assert _VERIFIER._process.pid != before


def test_it_may_be_asked_from_any_thread():
    found = []
    threads = [threading.Thread(target=lambda: found.append(is_equal("\\frac{1}{4}", "0.25"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 3


NUMBERS = {
    "3": 3, "-3": -3, "+3": 3, "3.": 3, ".5": 0.5, "-.5": -0.5, "1,234,567": 1234567, "$3": 3, "-$3": -3, "$-3": -3,
    "x=3": 3, "m + n = 33": 33, "1e3": 1000, "3°": 3, "\\text{3}": 3, "3\\,000": 3000, "€2.50": 2.5,
    "": None, ".": None, "-": None, "x": None, "1/2": None, "1,23": None, "3 or 4": None, "e3": None, "1e9999": None,
    "--3": None, "3-2": None, "0x10": None, "3!": None, "9" * 101: None,
    "3 4": None, "12 50": None, "3 000": 3000, "1 234 567": 1234567,
}  # fmt: skip


@pytest.mark.parametrize(("text", "number"), NUMBERS.items(), ids=repr)
def test_number_of(text, number):
    assert number_of(text) == number
