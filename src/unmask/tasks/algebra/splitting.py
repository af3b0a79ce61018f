"""What a run of tokens is: words, a number in another base, a name; and where a unit may begin."""

import re
from collections.abc import Container, Sequence

import sympy as sp

from .functions import GREEK, is_word
from .shapes import Based, Value, Words
from .tokens import Token, depths
from .units import SYMBOLS

_BASES = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def split(tokens: Sequence[Token], at: Container[str]) -> tuple[list[list[Token]], list[str]]:
    """Split tokens at the separators that stand outside all brackets.

    Args:
        tokens: what is split.
        at: texts of the separators.

    Returns:
        The runs of tokens between the separators, and the separators.
    """
    terms: list[list[Token]] = [[]]
    signs = []
    environments = 0
    for token, depth in zip(tokens, depths(tokens), strict=True):
        environments += (token.text == "\\begin") - (token.text == "\\end")
        if depth == 0 and environments == 0 and token.text in at:
            terms.append([])
            signs.append(token.text)
        else:
            terms[-1].append(token)
    return terms, signs


def words(tokens: Sequence[Token]) -> Words | None:
    """Return an answer in words; None for a product of variables, which stands in italics."""
    letters = [token for token in tokens if token.text.isalpha()]
    runs = [token.text for token in tokens]
    if len(letters) + sum(run in ("-", "'", ".") for run in runs) < len(runs) or runs in (
        ["infinity"],
        ["Infinity"],
        ["inf"],
    ):
        return None
    if not any(
        is_word(token.text) or len(token.text) > 1 and (token.upright or token.text.isupper()) for token in letters
    ):
        return None
    return Words(" ".join(runs[1:] if len(runs) > 1 and runs[0].lower() in ("a", "an", "the") else runs))


def based(tokens: Sequence[Token]) -> Based | Value | None:
    """Return a number in another base, such as 52_8, 1A3_{16} or "52 base 8"; None for other tokens."""
    written = "".join(token.text for token in tokens)
    found = re.fullmatch(
        rf"\(?([0-9A-Z]+)\)?(?:_\{{?\(?|(?=\(?base))(?:\(?base-?)?(\d{{1,2}}|{'|'.join(_BASES)})\)?\}}?", written
    )
    if not found:
        return None
    base = int(found[2]) if found[2].isdigit() else _BASES.index(found[2]) + 2
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in found[1]):
        return None
    return Value(sp.Integer(int(found[1]))) if base == 10 else Based(found[1].lstrip("0") or "0", base)


def with_repeating(tokens: Sequence[Token]) -> list[Token]:
    r"""Return the tokens with repeating decimals such as 0.1\overline{6} and 0.1(6) replaced by fractions."""
    out = list(tokens)
    for i in range(len(out) - 1, 0, -1):
        number, texts = out[i - 1].text, [token.text for token in out[i:]]
        if "." not in number or not number.replace(".", "").isdigit() and number != ".":
            continue
        if texts[:2] in (["\\overline", "{"], ["\\dot", "{"]) and texts[3:4] == ["}"]:
            digits, length = texts[2], 4
        elif texts[0] in ("\\overline", "\\dot") and len(texts) > 1:
            digits, length = texts[1], 2
        elif texts[0] == "(" and texts[2:3] == [")"]:
            digits, length = texts[1], 3
        else:
            continue
        if not digits.isdigit() or not digits.isascii() or len(digits) > 20:
            continue
        fixed = number.partition(".")[2]
        scale = 10 ** len(fixed)
        value = sp.Rational(number.rstrip(".") or "0") + sp.Rational(int(digits), scale * (10 ** len(digits) - 1))
        fraction = f"( {value.p} / {value.q} )".split()
        out[i - 1 : i + length] = [Token(text) for text in fraction]
    return out


_LETTER = (
    r"(?:[A-Za-z]{1,40}|\\(?:overline|vec|overrightarrow|triangle|hat|m?angle)\{?[A-Za-z']+\}?"
    r"|\\(?!sqrt|frac|pm|mp|sin|cos|tan|cot|sec|csc|arc|ln|log|lg|exp|pi$|infty|emptyset|begin|end)[A-Za-z]+)"
    r"(?:_(?:\w|\{[^{}]*\}))?'*"
)
_NAME = re.compile(
    rf"{_LETTER}|(?:n|\\Pr|[fghpquvyrtsFGHPQTSVA](?:_\w)?'*(?:\^\{{-1\}})?)\([^()=]*\)|(?:{_LETTER}[-+:])+{_LETTER}|\|{_LETTER}\||\[[A-Z]+\]"
    rf"|m?\\angle[A-Z]+|\((?:{_LETTER},)+{_LETTER}\)"
)
_NO_NAME = re.compile(r"(?:not?|sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt|arc\w+)(?![a-z])")


def name_of(tokens: Sequence[Token]) -> str:
    """Return the left side of ``x =``, ``f(x) =``, ``AB =``, ``m + n =`` if it is just a name, else an empty text."""
    written = "".join(token.text for token in tokens)
    if not _NAME.fullmatch(written) or _NO_NAME.match(written) or tokens[0].text in ("not", "no"):
        return ""
    terms = re.split(r"[-+]", written)
    if len(set(terms)) < len(terms):  # x + x = 8 is an equation
        return ""
    return "y" if written == "f(x)" else written


def may_follow(before: Token, first: Token) -> bool:
    """Return whether a unit may begin here: after a number, a letter and a space, or a closing bracket."""
    if not (first.text[0].isalpha() or first.text in ("\\frac", "-", "/") or first.text in SYMBOLS):
        return False
    if before.text[0] == "\\":
        return before.text[1:] in GREEK or before.text in ("\\pi", "\\infty")
    if before.text.isalpha():
        return first.spaced and len(before.text) == 1
    return before.text[-1].isdigit() or before.text[-1] in ")}]|!."


def without_ordinal(tokens: Sequence[Token]) -> Sequence[Token]:
    """Return the number of an ordinal: of 5th the token 5; other tokens unchanged."""
    ending = "".join(token.text for token in tokens[1:])
    return tokens[:1] if tokens[0].text.isdigit() and re.fullmatch(r"\^?\{?(?:th|st|nd|rd)\}?", ending) else tokens
