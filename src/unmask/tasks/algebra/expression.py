r"""Reads one mathematical expression, whole, into sympy: what is not understood to its end is refused.

latex2sympy2_extended is not used because it drops what it does not know and answers with the rest (Math-Verify#14,
Math-Verify#41), and its numbers are floats. Decimals are fractions here.
"""

import re
from collections.abc import Sequence
from typing import Any

import sympy as sp

from .functions import (
    AROUND,
    CALCULUS,
    CONSTANTS,
    FUNCTIONS,
    GREEK,
    MANY,
    MULTIPLES,
    NAMED,
    PAIRS,
    binomial,
    factorial,
    is_word,
    raised,
    root,
)  # fmt: skip
from .tokens import DEEPEST, Token, Unreadable, depths


def expression(tokens: Sequence[Token]) -> Any:
    """Read one expression: numbers, letters, roots, powers, functions, matrices.

    Args:
        tokens: the expression, from its first to its last token.

    Returns:
        A sympy expression or matrix.

    Raises:
        Unreadable: something in it is not understood.
    """
    parser = _Parser(tokens)
    value = parser.sum()
    if parser.peek():
        raise Unreadable(parser.peek())
    return value


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens, self.index, self.depth = tokens, 0, 0

    def peek(self, ahead: int = 0) -> str:
        """Return the text of the next token, or of one further ahead; empty after the end."""
        place = self.index + ahead
        return self.tokens[place].text if place < len(self.tokens) else ""

    def take(self, *texts: str) -> str:
        """Step over the next token if it is one of these and return it; else return an empty text."""
        text = self.peek()
        if text not in texts:
            return ""
        self.index += 1
        return text

    def need(self, text: str) -> None:
        """Step over the next token, which has to be this one, or raise ``Unreadable``."""
        if not text or not self.take(text):
            raise Unreadable(f"expected {text}, found {self.peek()}")

    def sum(self) -> Any:
        """Return the value of terms with plus and minus between them."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("too deep")
        value = self.product()
        while sign := self.take("+", "-"):
            right = self.product()
            value = value + right if sign == "+" else value - right
        self.depth -= 1
        return value

    def product(self, argument: bool = False) -> Any:
        """Return the value of a signed product; as a bare argument it ends before a dot, a slash and a function."""
        sign = 1
        while found := self.take("+", "-"):
            sign = -sign if found == "-" else sign
        value = self.power()
        while self.peek():
            if not argument and self.take("*"):
                value = value * self.signed()
            elif not argument and self.take("/"):
                value = value / self.signed()
            elif not argument and self.take("\\bmod", "\\mod"):
                value = sp.Mod(value, self.power())
            elif self._starts() and not (argument and self._function()):
                value = value * self.power()
            else:
                break
        return sign * value

    def signed(self) -> Any:
        """Return the value of a power that may have minus signs before it."""
        return -self.signed() if self.take("-") else self.power()

    def _starts(self) -> bool:
        """Return whether the next token begins a factor; two numbers side by side are no product, nor is x2."""
        text, before = self.peek(), self.tokens[self.index - 1].text
        if text[0].isdigit() or text[0] == ".":
            return before in (")", "]", "}", "!")
        if text in MULTIPLES:
            return before[-1].isdigit()
        return text[0].isalpha() or text in ("(", "[", "{") or (
            text[0] == "\\" and (text in PAIRS or text[1:] in CONSTANTS or self._function() != "" or text[1:] in GREEK
            or text[1:] in NAMED or text in ("\\frac", "\\binom", "\\begin") or text[1:] in CALCULUS)
        )  # fmt: skip

    def power(self) -> Any:
        """Return the value of an atom with its exponents, factorials and degrees."""
        value = self.atom()
        while sign := self.take("^", "!", "\\degree"):
            if sign == "!":
                value = factorial(value)
            elif sign == "\\degree":
                value = value * sp.pi / 180
            else:
                value = raised(value, self.exponent())
        return value

    def exponent(self) -> Any:
        """Return the value of an exponent: an atom that may have a sign and an exponent of its own."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("too deep")
        sign = -1 if self.take("-") else (self.take("+"), 1)[1]
        value = self.atom()
        if self.take("^"):
            value = raised(value, self.exponent())
        self.depth -= 1
        return sign * value

    def atom(self) -> Any:
        """Return the value of the smallest expression that comes next: a number, letters, brackets, a command."""
        text = self.peek()
        if not text:
            raise Unreadable("the end")
        if text[0].isdigit() or text[0] == "." and len(text) > 1:
            return self._number()
        if text == "{" and "\\choose" in (inside := [t.text for t in self._inside()]):
            place = inside.index("\\choose")
            n, k = (expression(term) for term in (self._inside()[:place], self._inside()[place + 1 :]))
            self.index += len(inside) + 2
            return binomial(n, k)
        if text in PAIRS:
            self.index += 1
            value = self.sum()
            self.need(PAIRS[text])
            return AROUND.get(text, lambda same: same)(value)
        if text in ("|", "\\|"):
            self.index += 1
            value = self.sum()
            self.need(text)
            return value.norm() if isinstance(value, sp.MatrixBase) else sp.Abs(value)
        if self._function():
            return self._applied()
        if text[0].isalpha():
            return self._letters()
        self.index += 1
        return self._command(text[1:])

    def _command(self, name: str) -> Any:
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name == "frac":
            above, below = self._digit(), self._digit()
            return above / below
        if name == "binom":
            return binomial(self._digit(), self._digit())
        if name == "begin":
            return self._matrix()
        if name in NAMED:
            return self._named(name)
        if name in GREEK:
            return self._symbol(f"\\{name}")
        if name in CALCULUS:
            return self._calculus()
        raise Unreadable(name)

    def _calculus(self) -> Any:
        """Return a sum, product, integral or limit, as latex2sympy reads the rest of the tokens."""
        from latex2sympy2_extended import latex2sympy

        rest = " ".join(token.text for token in self.tokens[self.index - 1 :])
        rest = re.sub(r"\\frac (\w) ?(\w)", r"\\frac {\1} {\2}", rest)
        self.index = len(self.tokens)
        return latex2sympy(rest, normalization_config=None).doit()

    def _number(self) -> Any:
        text = self.peek()
        self.index += 1
        if self.peek() == "_":
            raise Unreadable("a base")
        digits, _, power = text.lower().partition("e")
        if power and abs(int(power)) > 1000:
            raise Unreadable("a long number")
        value = sp.Rational(digits.rstrip(".")) * sp.Integer(10) ** int(power or 0)
        if self.peek() == "\\frac" and text.isdigit():
            place = self.index
            self.index += 1
            above, below = self._digit(), self._digit()
            if above.is_Integer and below.is_Integer and 0 < above < below:  # 1\frac{1}{2}
                return value + above / below
            self.index = place
        if (name := self.peek()) in MULTIPLES:
            self.index += 1
            value = value * sp.Integer(10) ** MULTIPLES[name]
        return value

    def _digit(self) -> Any:
        r"""Read an argument of \frac: braces, or one sign (\frac12 is a half)."""
        if (number := self.peek())[:1].isdigit():
            token = self.tokens[self.index]
            if len(number) > 1:
                self.tokens = [
                    *self.tokens[: self.index],
                    Token(number[0], token.spaced),
                    Token(number[1:]),
                    *self.tokens[self.index + 1 :],
                ]
            self.index += 1
            return sp.Integer(number[0])
        if number.isalpha() and len(number) > 1:
            raise Unreadable(number)
        return self.atom()

    def _inside(self) -> Sequence[Token]:
        """Return what stands in the braces that come next."""
        levels = depths(self.tokens)
        end = next((i for i in range(self.index + 1, len(levels)) if levels[i] < levels[self.index]), len(levels))
        return self.tokens[self.index + 1 : end]

    def _letters(self) -> Any:
        run, upright = self.peek(), self.tokens[self.index].upright
        self.index += 1
        if run in CONSTANTS:
            return CONSTANTS[run]
        if len(run) > 1 and (is_word(run) or upright):
            raise Unreadable(run)
        value = sp.Integer(1)
        for letter in run[:-1]:
            value = value * CONSTANTS.get(letter, sp.Symbol(letter))
        return self._exponented(value, run[-1])

    def _exponented(self, before: Any, letter: str) -> Any:
        """Return the product with the last letter of a run: an exponent after it belongs to it alone."""
        last = self._symbol(letter)
        while before != 1 and self.peek() in ("^", "!"):
            last = raised(last, self.exponent()) if self.take("^") else (self.take("!"), factorial(last))[1]
        return before * last

    def _symbol(self, name: str) -> Any:
        while mark := self.take("'", "_"):
            if mark == "_" and self.peek() == "{":
                inside = self._inside()
                self.index += len(inside) + 2
                name += "_" + "".join(token.text for token in inside)
            elif mark == "_":
                name += "_" + self.peek()
                self.index += 1
            else:
                name += mark
        if name.rstrip("'") in ("f", "g") and self.take("("):
            value = sp.Function(name)(self.sum())
            self.need(")")
            return value
        return CONSTANTS.get(name, sp.Symbol(name))

    def _named(self, command: str) -> Any:
        r"""Read \angle ABC: its letters are points, in order; an angle and a segment may be named from either end."""
        if self.peek() == "{":
            inside = "".join(token.text for token in self._inside())
            self.index += len(self._inside()) + 2
        else:
            inside = self.peek()
            self.index += 1
        if not inside or command == "overline" and not inside.isalpha():
            raise Unreadable(command)
        if command in ("angle", "overline", "overleftrightarrow"):
            inside = min(inside, inside[::-1])
        return sp.Symbol(f"\\{command} {inside}")

    def _function(self) -> str:
        """Return the name of the function that comes next."""
        text = self.peek()
        name = text.removeprefix("\\")
        return name if name in FUNCTIONS and not (text[0] != "\\" and len(text) < 2) else ""

    def _applied(self) -> Any:
        name = self._function()
        self.index += 1
        if name == "sqrt":
            return self._rooted()
        function, inverse, power = FUNCTIONS[name], False, None
        while mark := self.take("_", "^"):
            value = self.exponent()
            if mark == "_" and name == "log":
                function = lambda x, base=value: sp.log(x, base)  # noqa: E731
            elif mark == "^" and value == -1 and f"arc{name}" in FUNCTIONS:
                function, inverse = FUNCTIONS[f"arc{name}"], True
            elif mark == "^" and not inverse:
                power = value
            else:
                raise Unreadable(name)
        opened = self.take("(", "{", "[")
        if opened:
            arguments = [self.sum()]
            while name in MANY and self.take(","):
                arguments.append(self.sum())
            self.need(PAIRS[opened])
        else:
            arguments = [self.product(argument=True)]
        value = function(*arguments)
        return value if power is None else raised(value, power)

    def _rooted(self) -> Any:
        degree = sp.Integer(2)
        if self.take("["):
            degree = self.sum()
            self.need("]")
        return root(self.atom(), degree)

    def _matrix(self) -> Any:
        name, inside = self._environment()
        levels = depths(inside)
        rows: list[list[list[Token]]] = [[[]]]
        for token, level in zip(inside, levels, strict=True):
            if level == 0 and token.text == "\\\\":
                rows.append([[]])
            elif level == 0 and token.text == "&":
                rows[-1].append([])
            else:
                rows[-1][-1].append(token)
        if rows[-1] == [[]]:
            rows.pop()
        if not rows or len({len(row) for row in rows}) != 1:
            raise Unreadable("a matrix")
        matrix = sp.ImmutableMatrix([[expression(cell) for cell in row] for row in rows])
        return matrix.det() if name == "vmatrix" else matrix

    def _environment(self) -> tuple[str, Sequence[Token]]:
        name = "".join(token.text for token in self._inside())
        if name not in ("matrix", "pmatrix", "bmatrix", "smallmatrix", "array", "vmatrix"):
            raise Unreadable(name)
        self.index += len(self._inside()) + 2
        if name == "array" and self.peek() == "{":
            self.index += len(self._inside()) + 2
        start = self.index
        while self.peek() != "\\end":
            if not self.peek() or self.peek() == "\\begin":
                raise Unreadable("a matrix")
            self.index += 1
        end = self.index
        self.index += 1
        self.index += len(self._inside()) + 2
        return name, self.tokens[start:end]
