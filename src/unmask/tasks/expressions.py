"""Arithmetic as people write it, parsed with a small grammar and evaluated exactly. Nothing is ever run."""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

_LONGEST = 200
_LATEX = {
    r"\times": "*", r"\cdot": "*", r"\ast": "*", r"\div": "/", r"\left": "", r"\right": "", r"\,": "", "$": "",
    "\N{MULTIPLICATION SIGN}": "*", "\N{MIDDLE DOT}": "*", "\N{DOT OPERATOR}": "*", "\N{ASTERISK OPERATOR}": "*",
    "\N{DIVISION SIGN}": "/", "\N{DIVISION SLASH}": "/", "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "[": "(", "]": ")",
}  # fmt: skip
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_TIMES = re.compile(r"(?<=[\d)] )[xX](?= [\d(])")
_SUM = re.compile(r"[\d+\-*/() ]+", re.ASCII)
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def evaluate(text: str) -> tuple[Fraction, list[int]] | None:
    r"""Return the value of an expression and the numbers in it; None for anything else, such as powers, names and 1/0.

    >>> evaluate(r"(8 − 2) \times 3 ÷ 4")
    (Fraction(9, 2), [8, 2, 3, 4])
    >>> evaluate("9**9**9"), evaluate("7 // 2"), evaluate("1 / (2 - 2)")
    (None, None, None)
    """
    text = _simplified(text)
    if len(text) > _LONGEST or not _SUM.fullmatch(text):
        return None
    numbers: list[int] = []
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, numbers), numbers
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _simplified(text: str) -> str:
    if len(text) > 4 * _LONGEST:
        return text
    while (inner := _FRACTION.sub(r"((\1)/(\2))", text)) != text:
        text = inner
    for sign, plain in _LATEX.items():
        text = text.replace(sign, plain)
    return _TIMES.sub("*", text)


def _value(node: ast.expr, numbers: list[int]) -> Fraction:
    match node:
        case ast.Constant(value=int(number)):
            numbers.append(number)
            return Fraction(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, numbers)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](_value(left, numbers), _value(right, numbers))
    raise ValueError("not a sum")
