"""Reads an answer from its tokens: a value with its unit, a list, a tuple, a set, relations, words."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import accumulate, product
from typing import Any

import sympy as sp

from .expression import expression
from .functions import FUNCTIONS
from .regions import region_of
from .shapes import Clock, Joined, Listed, Ratio, Region, Relation, Value
from .splitting import based, may_follow, name_of, split, with_repeating, without_ordinal, words
from .tokens import Token, Unreadable, depths
from .units import MONEY, Unit, unit_of
from .values import same_value

_RELATIONS = {"=": "=", "<": "<", ">": ">", "\\leq": "<=", "\\geq": ">=", "\\neq": "!=", "\\in": "in", "\\approx": "~"}
_SETS = {"\\cup": sp.Union, "\\cap": sp.Intersection, "\\setminus": sp.Complement}
_KNOWN = {
    "\\mathbb{R}": sp.S.Reals, "\\mathbb{Z}": sp.S.Integers, "\\mathbb{N}": sp.S.Naturals,
    "\\mathbb{Q}": sp.S.Rationals, "\\mathbb{C}": sp.S.Complexes, "\\emptyset": sp.S.EmptySet,
}  # fmt: skip
_ALL_BUT = re.compile(r"(?:all|any|every) real(?: numbers?)? (?:except|but|other than)(?: for)?(?= )", re.IGNORECASE)
_NONE = re.compile(r"no (?:real )?solutions?|(?:the )?(?:empty|null) set", re.IGNORECASE)
_ALL_REAL = re.compile(r"(?:all|any|every) real(?: numbers?)?|(?:all )?reals|real numbers", re.IGNORECASE)
_LETTERS = frozenset("msghlLNJWV")  # units that may be set in italics
_MOST = 4  # signs of plus or minus


def answer_of(tokens: Sequence[Token], loosely: bool = True, upright: frozenset[str] = frozenset()) -> Any:
    """Read an answer from its tokens; ``Unreadable`` is raised if anything in it is not understood.

    Args:
        tokens: the answer.
        loosely: whether a letter in italics, after a number and a space, is a unit if it can be one: 5 m.
        upright: the letters that are units wherever they follow a number.

    Returns:
        A value with its unit, words, a list, a relation, a set of numbers, … (the classes of ``shapes.py``).
    """
    return _Reader(loosely, upright).listed(tokens)


class _Reader:
    def __init__(self, loosely: bool, upright: frozenset[str]) -> None:
        self.loosely, self.upright = loosely, upright

    def listed(self, tokens: Sequence[Token]) -> Any:
        """Return the answer or the list that stands between commas, "and" and "or"."""
        if (region := self._in_words(tokens)) is not None:
            return region
        terms, marks = split(tokens, (",", ";", "and", "or", "\\lor", "\\land"))
        for place in range(len(marks) - 1, 0, -1):
            if not terms[place] and marks[place] in ("and", "or") and marks[place - 1] == ",":  # 1, 2, and 3
                terms.pop(place)
        items = [item for term in terms for item in self._signed(term)]
        if len(items) == 1:
            return items[0]
        joining = {"\\lor": "or", "\\land": "and"}.get(marks[-1], marks[-1]) if marks else ""
        return _joined(joining, tuple(items))

    def _in_words(self, tokens: Sequence[Token]) -> Region | None:
        """Return the set that "all real numbers", "all real numbers except 2" or "no solution" names; else None."""
        written = " ".join(token.text for token in tokens)
        if _ALL_REAL.fullmatch(written):
            return Region(sp.S.Reals)
        if _NONE.fullmatch(written):
            return Region(sp.S.EmptySet)
        exception = _ALL_BUT.match(written)
        if exception is None:
            return None
        rest = self.listed(tokens[len(exception[0].split()) :])
        left_out = region_of(rest.right if _is_equation(rest) else rest)
        if left_out is None:
            raise Unreadable("no set")
        return Region(sp.S.Reals - left_out)

    def _signed(self, tokens: Sequence[Token]) -> list[Any]:
        r"""Return an element for every choice of its signs; with a \mp these are the upper and the lower ones."""
        sets = list(accumulate((token.text == "\\{") - (token.text == "\\}") for token in tokens))
        places = [i for i, token in enumerate(tokens) if token.text in ("\\pm", "\\mp") and not sets[i]]
        if not places:
            return [self._element(tokens)]
        if len(places) > _MOST:
            raise Unreadable("plus or minus")
        upper = ["+" if tokens[i].text == "\\pm" else "-" for i in places]
        choices: Iterable[Sequence[str]] = product("+-", repeat=len(places))
        if "-" in upper:
            choices = (upper, ["-" if sign == "+" else "+" for sign in upper])
        out = []
        for signs in choices:
            chosen = list(tokens)
            for place, sign in zip(places, signs, strict=True):
                chosen[place] = Token(sign, tokens[place].spaced)
            out.append(self._element(chosen))
        return out

    def _element(self, tokens: Sequence[Token]) -> Any:
        if not tokens:
            raise Unreadable("nothing between two commas")
        terms, signs = split(tokens, _RELATIONS)
        if signs:
            return self._related(terms, [_RELATIONS[sign] for sign in signs])
        terms, signs = split(tokens, _SETS)
        if signs:
            return self._combined(terms, signs)
        if (bracketed := self._bracketed(tokens)) is not None:
            return bracketed
        if len(tokens) == 1 and tokens[0].text in _KNOWN:
            return Region(_KNOWN[tokens[0].text])
        return self._unsigned(tokens)

    def _combined(self, terms: list[list[Token]], signs: list[str]) -> Region:
        """Return the set that unions, intersections and differences describe."""
        regions = [region_of(self._element(term)) for term in terms]
        whole = regions[0]
        for sign, other in zip(signs, regions[1:], strict=True):
            if whole is None or other is None:
                raise Unreadable("no set")
            whole = _SETS[sign](whole, other)
        return Region(whole)

    def _unsigned(self, tokens: Sequence[Token]) -> Any:
        if (read := words(tokens) or based(tokens)) is not None:
            return read
        tokens, unit = self._without_unit(tokens)
        terms, signs = split(tokens, (":",))
        if signs:
            return self._ratio(tokens, terms, unit)
        tokens = with_repeating(tokens)
        rounded = any("." in token.text.rstrip(".") and token.text[-1].isdigit() for token in tokens)
        word = "".join(token.text for token in tokens) if all(token.text.isalpha() for token in tokens) else ""
        return Value(expression(tokens), unit, rounded, word)

    def _ratio(self, tokens: Sequence[Token], terms: list[list[Token]], unit: Unit) -> Any:
        written = "".join(token.text for token in tokens)
        if re.fullmatch(r"\d{1,2}(?::[0-5]\d){1,2}", written):
            return Clock(written.lstrip("0") if written[0] == "0" else written, unit)
        if unit != Unit():
            raise Unreadable("a ratio with a unit")
        return Ratio(tuple(expression(term) for term in terms))

    def _without_unit(self, tokens: Sequence[Token]) -> tuple[Sequence[Token], Unit]:
        """Return the tokens without a currency before and the longest unit after them, and that unit."""
        start = 1 if tokens[0].text in ("-", "+") else 0
        if start < len(tokens) and (currency := MONEY.get(tokens[start].text)):
            after = start + 2 if [token.text for token in tokens[start : start + 2]] == ["Rs", "."] else start + 1
            rest, unit = self._without_unit([*tokens[:start], *tokens[after:]])
            return rest, Unit(((currency, 1),)).times(unit)
        angles = any(token.text.removeprefix("\\") in FUNCTIONS for token in tokens)
        for place in range(start + 1, len(tokens)):
            if not may_follow(tokens[place - 1], tokens[place]) or angles and tokens[place].text == "\\degree":
                continue
            tail = tokens[place + 1 :] if tokens[place].text == "-" else tokens[place:]  # 5-foot
            loose = [not token.upright and (len(token.text) == 1) > self._is_unit(token) for token in tail]
            if (found := unit_of([token.text for token in tail], loose)) is not None:
                return tokens[:place], found
        return without_ordinal(tokens), Unit()

    def _is_unit(self, token: Token) -> bool:
        """Return whether a letter in italics may be a unit: after a space, or where the other answer has it upright."""
        return token.text in self.upright or self.loosely and token.spaced and token.text in _LETTERS

    def _bracketed(self, tokens: Sequence[Token]) -> Any:
        """Return a tuple, an interval or a set; None where these are no brackets around a list."""
        opening, closing = tokens[0].text, tokens[-1].text
        if opening not in ("(", "[", "\\{", "\\langle") or closing not in (")", "]", "\\}", "\\rangle"):
            return None
        if 0 in depths(tokens)[:-1]:
            return None
        inside = tokens[1:-1]
        if opening == "\\{":
            return self._set(inside) if closing == "\\}" else None
        terms, signs = split(inside, (",", ";"))
        if not signs:
            if opening == "(" and split(inside, [*_RELATIONS, *_SETS])[1]:
                return self.listed(inside)
            return None
        items = tuple(item for term in terms for item in self._signed(term))
        kind = "()" if opening == "\\langle" else opening + closing
        return Listed(kind, items)

    def _set(self, inside: Sequence[Token]) -> Any:
        if not inside:
            return Region(sp.S.EmptySet)
        for mark in ("|", ":"):
            terms, signs = split(inside, (mark,))
            if len(signs) == 1 and split(terms[1], _RELATIONS)[1]:
                return self.listed(terms[1])
        read = self.listed(inside)
        if isinstance(read, Listed) and not read.kind:
            return Listed("{}", read.items)
        return Listed("{}", (read,))

    def _related(self, terms: list[list[Token]], signs: list[str]) -> Any:
        if signs == ["in"]:
            return Relation("in", self._element(terms[0]), self._element(terms[1]), name_of(terms[0]))
        equal = set(signs) <= {"=", "~"}
        if equal and len(terms) == 2 and not name_of(terms[0]) and name_of(terms[1]):  # 5 = x
            terms = terms[::-1]
        name = name_of(terms[0]) if equal else ""
        sides = [None if name else self._element(terms[0]), *map(self._element, terms[1:])]
        if name:
            with suppress(Unreadable):  # f(x), m\angle ABC
                sides[0] = self._element(terms[0])
        if equal and not name and all(isinstance(s, Value) and not s.value.free_symbols for s in sides):
            return _last(sides, signs)
        if equal:
            return Relation("=", sides[0], _last(sides[1:], signs[1:]), name)
        if "=" in signs or "in" in signs or "~" in signs:
            raise Unreadable("a chain of relations")
        links = [Relation(sign, *pair) for sign, pair in zip(signs, zip(sides, sides[1:], strict=False), strict=True)]
        return links[0] if len(links) == 1 else Joined("and", tuple(links))


def _last(sides: list[Any], signs: list[str]) -> Any:
    """Return the right side of a chain of equals signs that does not contradict itself.

    Args:
        sides: what stands between the signs.
        signs: ``=`` or ``~`` (about equal).

    Returns:
        The last side; of "about equal", the side before the sign.

    Raises:
        Unreadable: two sides differ, or one is not a value.
    """
    for (left, right), sign in zip(zip(sides, sides[1:], strict=False), signs, strict=True):
        if not isinstance(left, Value) or not isinstance(right, Value):
            raise Unreadable("a chain of equals signs")
        if sign == "~" and abs(sp.N(left.value - right.value)) <= abs(sp.N(left.value)) / 100:
            return left
        if sign == "~" or not same_value(left.value, right.value, left.rounded or right.rounded):
            raise Unreadable("not equal")
    return sides[-1]


def _joined(word: str, items: tuple[Any, ...]) -> Any:
    """Return as one answer what stands between commas, "and" and "or"."""
    if all(isinstance(item, Relation | Joined) and not _is_equation(item) for item in items):
        if word in ("and", "or"):
            return Joined(word, items)
        both = region_of(Joined("and", items)) if word == "," else None
        if both is not None:  # x < 1, x > 2 is one of them; x > 1, x < 2 is both
            return Joined("or" if both.is_empty else "and", items)
    regions = [region_of(item) for item in items] if word == "or" and any(map(_is_interval, items)) else [None]
    return Listed("", items) if None in regions else Region(sp.Union(*regions))


def _is_interval(read: Any) -> bool:
    """Return whether what was read is an interval and not a point."""
    if not isinstance(read, Listed) or len(read.items) != 2 or read.kind not in ("()", "[]", "(]", "[)"):
        return False
    return read.kind != "()" or any(isinstance(end, Value) and abs(end.value) == sp.oo for end in read.items)


def _is_equation(read: Any) -> bool:
    return isinstance(read, Relation) and read.sign == "="
