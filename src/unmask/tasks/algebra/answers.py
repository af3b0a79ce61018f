r"""Reads an answer: a value with its unit, a list, a tuple, a set, relations, words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from .expression import FUNCTIONS, GREEK, expression, is_word
from .tokens import Token, Unreadable, depths, tokens_of
from .units import MONEY, SYMBOLS, Unit, unit_of
from .values import same_value

_RELATIONS = {"=": "=", "<": "<", ">": ">", "\\leq": "<=", "\\geq": ">=", "\\neq": "!=", "\\in": "in", "\\approx": "~"}
_SETS = {"\\cup": "|", "\\cap": "&", "\\setminus": "-"}
_KNOWN = {"R": sp.S.Reals, "Z": sp.S.Integers, "N": sp.S.Naturals, "Q": sp.S.Rationals, "C": sp.S.Complexes}
_ALL_REAL = re.compile(r"(?:all|any|every) real(?: numbers?)?|(?:all )?reals|real numbers", re.IGNORECASE)
_MOST = 16  # readings of plus or minus


@dataclass(frozen=True)
class Value:
    """An expression with its unit; ``rounded``: it was written with a decimal point; ``word`` is how it was written."""

    value: Any
    unit: Unit = field(default_factory=Unit)
    rounded: bool = False
    word: str = ""


@dataclass(frozen=True)
class Words:
    """A text."""

    text: str


@dataclass(frozen=True)
class Based:
    """A number in another base than ten."""

    digits: str
    base: int


@dataclass(frozen=True)
class Clock:
    """A time of day, or another count of minutes and seconds."""

    text: str
    unit: Unit


@dataclass(frozen=True)
class Ratio:
    """A ratio of two or more."""

    parts: tuple[Any, ...]


@dataclass(frozen=True)
class Listed:
    """Several answers; ``kind`` is how they stand: ``()``, ``[]``, ``(]``, ``[)``, ``{}``, or nothing around them."""

    kind: str
    items: tuple[Any, ...]


@dataclass(frozen=True)
class Relation:
    """One relation; ``name`` is what stands left of an equals sign, if it is no more than a name."""

    sign: str
    left: Any
    right: Any
    name: str = ""


@dataclass(frozen=True)
class Joined:
    """Relations that all hold (``and``) or of which one does (``or``)."""

    word: str
    items: tuple[Any, ...]


@dataclass(frozen=True)
class Region:
    """A set of numbers."""

    numbers: sp.Set


def answer_of(text: str, letters: frozenset[str] = frozenset()) -> Any:
    """Read a spelled answer.

    Args:
        text: the answer.
        letters: letters that are units after a number, even in italics.

    Raises:
        Unreadable: there is something in it that is not understood.
    """
    return _Reader(letters).listed(tokens_of(text))


class _Reader:
    def __init__(self, letters: frozenset[str]) -> None:
        self.letters = letters

    def listed(self, tokens: Sequence[Token]) -> Any:
        """Read what stands between commas, "and" and "or"."""
        if _ALL_REAL.fullmatch(" ".join(token.text for token in tokens)):
            return Region(sp.S.Reals)
        parts, words = _split(tokens, (",", ";", "and", "or", "\\lor", "\\land"))
        for place in range(len(words) - 1, 0, -1):
            if not parts[place] and words[place] in ("and", "or") and words[place - 1] == ",":  # 1, 2, and 3
                parts.pop(place)
        items = [item for part in parts for item in self._signed(part)]
        if len(items) == 1:
            return items[0]
        joining = {"\\lor": "or", "\\land": "and"}.get(words[-1], words[-1]) if words else ""
        if joining in ("and", "or") and all(isinstance(i, Relation | Joined) and not _is_equation(i) for i in items):
            return Joined(joining, tuple(items))
        return Listed("", tuple(items))

    def _signed(self, tokens: Sequence[Token]) -> list[Any]:
        r"""Read an element for every reading of its \pm: all of them, or the upper and lower signs where there is a \mp."""
        places = [i for i, token in enumerate(tokens) if token.text in ("\\pm", "\\mp")]
        if not places or tokens[0].text == "\\{":
            return [self._element(tokens)]
        upper = {"\\pm": "+", "\\mp": "-"}
        if any(tokens[i].text == "\\mp" for i in places):
            choices = [[upper[tokens[i].text] for i in places], ["+-"[upper[tokens[i].text] == "+"] for i in places]]
        else:
            choices = [
                ["+-"[number >> k & 1] for k in range(len(places))] for number in range(2 ** min(len(places), 5))
            ]
        if len(choices) > _MOST:
            raise Unreadable("plus or minus")
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
        parts, signs = _split(tokens, _RELATIONS)
        if signs:
            return self._related(parts, [_RELATIONS[sign] for sign in signs])
        parts, signs = _split(tokens, _SETS)
        if signs:
            numbers = [self._region(part) for part in parts]
            whole = numbers[0]
            for sign, other in zip(signs, numbers[1:], strict=True):
                whole = whole | other if sign == "\\cup" else whole & other if sign == "\\cap" else whole - other
            return Region(whole)
        if (bracketed := self._bracketed(tokens)) is not None:
            return bracketed
        if tokens[0].text.startswith("\\mathbb") and len(tokens) == 1:
            return Region(_KNOWN[tokens[0].text[8]])
        if tokens[0].text == "\\emptyset" and len(tokens) == 1:
            return Region(sp.S.EmptySet)
        return self._plain(tokens)

    def _plain(self, tokens: Sequence[Token]) -> Any:
        if all(token.text.isalpha() or token.text in ("-", "'", ".") for token in tokens):
            if (words := _words(tokens)) is not None:
                return words
        if (based := _based(tokens)) is not None:
            return based
        tokens, unit = self._without_unit(tokens)
        parts, signs = _split(tokens, (":",))
        if signs:
            return self._ratio(tokens, parts, unit)
        tokens = _repeating(tokens)
        rounded = any("." in token.text.rstrip(".") and token.text[-1].isdigit() for token in tokens)
        word = "".join(token.text for token in tokens) if all(token.text.isalpha() for token in tokens) else ""
        return Value(expression(tokens), unit, rounded, word)

    def _ratio(self, tokens: Sequence[Token], parts: list[list[Token]], unit: Unit) -> Any:
        written = "".join(token.text for token in tokens)
        if re.fullmatch(r"\d{1,2}(?::[0-5]\d){1,2}", written):
            return Clock(written.lstrip("0") if written[0] == "0" else written, unit)
        if unit != Unit():
            raise Unreadable("a ratio with a unit")
        return Ratio(tuple(expression(part) for part in parts))

    def _without_unit(self, tokens: Sequence[Token]) -> tuple[Sequence[Token], Unit]:
        """Split off a currency before and the longest unit after an expression."""
        start = 1 if tokens[0].text in ("-", "+") else 0
        if start < len(tokens) and (name := MONEY.get(tokens[start].text)):
            rest, more = self._without_unit([*tokens[:start], *tokens[start + 1 :]])
            unit = Unit(((name, 1),))
            if more not in (Unit(), unit):
                raise Unreadable("two units")
            return rest, unit
        for place in range(start + 1, len(tokens)):
            if _may_follow(tokens[place - 1], tokens[place]):
                tail = tokens[place:] if tokens[place].text != "-" else tokens[place + 1 :]  # 5-foot
                angle = tail[0].text == "\\degree" and any(
                    token.text.removeprefix("\\") in FUNCTIONS for token in tokens
                )
                letters = self.letters if tokens[place].spaced else frozenset()
                unit = unit_of([token.text for token in tail], [token.upright for token in tail], letters)
                if unit is not None and not angle:
                    return tokens[:place], unit
        return _ordinal(tokens), Unit()

    def _bracketed(self, tokens: Sequence[Token]) -> Any:
        """Read a tuple, an interval or a set; None: these are no brackets around a list."""
        opening, closing = tokens[0].text, tokens[-1].text
        if opening not in ("(", "[", "\\{", "\\langle") or closing not in (")", "]", "\\}", "\\rangle"):
            return None
        if 0 in depths(tokens)[:-1]:
            return None
        inside = tokens[1:-1]
        if opening == "\\{":
            return self._set(inside) if closing == "\\}" else None
        parts, signs = _split(inside, (",", ";"))
        if not signs:
            if opening == "(" and _split(inside, [*_RELATIONS, *_SETS])[1]:
                return self.listed(inside)
            return None
        items = tuple(item for part in parts for item in self._signed(part))
        kind = "()" if opening == "\\langle" else opening + closing
        return Listed(kind, items)

    def _set(self, inside: Sequence[Token]) -> Any:
        if not inside:
            return Region(sp.S.EmptySet)
        for mark in ("|", ":"):
            parts, signs = _split(inside, (mark,))
            if len(signs) == 1 and _split(parts[1], _RELATIONS)[1]:
                return self.listed(parts[1])
        read = self.listed(inside)
        if isinstance(read, Listed) and not read.kind:
            return Listed("{}", read.items)
        return Listed("{}", (read,))

    def _region(self, tokens: Sequence[Token]) -> sp.Set:
        read = self._element(tokens)
        numbers = region_of(read)
        if numbers is None:
            raise Unreadable("no set")
        return numbers

    def _related(self, parts: list[list[Token]], signs: list[str]) -> Any:
        if signs == ["in"]:
            return Relation("in", self._element(parts[0]), self._element(parts[1]), _name(parts[0]))
        equal = set(signs) <= {"=", "~"}
        if equal and len(parts) == 2 and not _name(parts[0]) and _name(parts[1]):  # 5 = x
            parts = parts[::-1]
        name = _name(parts[0]) if equal else ""
        sides = [self._element(part) for part in parts[1:]]
        try:
            sides.insert(0, self._element(parts[0]))
        except Unreadable:
            if not name:
                raise
            sides.insert(0, None)
        if equal and not name and all(isinstance(s, Value) and not s.value.free_symbols for s in sides):
            return _last(sides, signs)
        if equal:
            return Relation("=", sides[0], _last(sides[1:], signs[1:]), name)
        if "=" in signs or "in" in signs or "~" in signs:
            raise Unreadable("a chain of relations")
        links = [Relation(sign, *pair) for sign, pair in zip(signs, zip(sides, sides[1:], strict=False), strict=True)]
        return links[0] if len(links) == 1 else Joined("and", tuple(links))


def region_of(read: Any) -> sp.Set | None:
    """Return the numbers that an interval, a set or a relation describes; None: it describes none."""
    if isinstance(read, Region):
        return read.numbers
    if isinstance(read, Value) and read.unit == Unit():
        return sp.FiniteSet(read.value)
    if isinstance(read, Listed) and len(read.items) == 2 and read.kind in ("()", "[]", "(]", "[)"):
        ends = [item.value for item in read.items if isinstance(item, Value)]
        if len(ends) == 2 and all(end.is_extended_real for end in ends):
            return sp.Interval(*ends, read.kind[0] == "(", read.kind[1] == ")")
    if isinstance(read, Listed) and read.kind in ("{}", "") and all(isinstance(item, Value) for item in read.items):
        return sp.FiniteSet(*(item.value for item in read.items))
    if isinstance(read, Relation) and read.sign == "in":
        return region_of(read.right)
    if isinstance(read, Joined):
        regions = [region_of(item) for item in read.items]
        if None in regions or len(variables(read)) != 1:
            return None
        return sp.Union(*regions) if read.word == "or" else sp.Intersection(*regions)
    if isinstance(read, Relation) and isinstance(read.left, Value) and isinstance(read.right, Value):
        return _solved(read)
    return None


def _solved(read: Relation) -> sp.Set | None:
    signs = {"<": sp.Lt, ">": sp.Gt, "<=": sp.Le, ">=": sp.Ge, "!=": sp.Ne}
    left, right = read.left.value, read.right.value
    names = left.free_symbols | right.free_symbols
    if read.sign not in signs or len(names) != 1:
        return None
    name, x = names.pop(), sp.Symbol("x", real=True)
    relation = signs[read.sign](left.subs(name, x), right.subs(name, x))
    if relation in (True, False):
        return sp.S.Reals if relation else sp.S.EmptySet
    return relation.as_set()


def variables(read: Any) -> set[str]:
    """Return the names of the letters in what was read."""
    if isinstance(read, Value):
        return {symbol.name for symbol in getattr(read.value, "free_symbols", ())}
    if isinstance(read, Listed | Joined):
        return set().union(*map(variables, read.items))
    if isinstance(read, Relation):
        return variables(read.left) | variables(read.right) | ({read.name} if read.name else set())
    return set()


def _last(sides: list[Any], signs: list[str]) -> Any:
    """Return what a chain of equals signs says, if it does not contradict itself.

    Raises:
        Unreadable: it does.
    """
    for (left, right), sign in zip(zip(sides, sides[1:], strict=False), signs, strict=True):
        if not isinstance(left, Value) or not isinstance(right, Value):
            raise Unreadable("a chain of equals signs")
        if sign == "~" and abs(sp.N(left.value - right.value)) <= abs(sp.N(left.value)) / 100:
            return left
        if sign == "~" or not same_value(left.value, right.value, left.rounded or right.rounded):
            raise Unreadable("not equal")
    return sides[-1]


def _is_equation(read: Any) -> bool:
    return isinstance(read, Relation) and read.sign == "="


def _split(tokens: Sequence[Token], at: Any) -> tuple[list[list[Token]], list[str]]:
    """Split where no bracket is open; returns the parts and what stood between them."""
    parts: list[list[Token]] = [[]]
    signs = []
    environments = 0
    for token, depth in zip(tokens, depths(tokens), strict=True):
        environments += (token.text == "\\begin") - (token.text == "\\end")
        if depth == 0 and environments == 0 and token.text in at:
            parts.append([])
            signs.append(token.text)
        else:
            parts[-1].append(token)
    return parts, signs


def _words(tokens: Sequence[Token]) -> Words | None:
    """Read words: not a product of variables, which stands in italics."""
    letters = [token for token in tokens if token.text.isalpha()]
    runs = [token.text for token in letters]
    if runs in (["infinity"], ["Infinity"]):
        return None
    if not any(
        is_word(token.text) or len(token.text) > 1 and (token.upright or token.text.isupper()) for token in letters
    ):
        return None
    return Words(" ".join(runs[1:] if len(runs) > 1 and runs[0].lower() in ("a", "an", "the") else runs))


def _based(tokens: Sequence[Token]) -> Based | Value | None:
    r"""Read 52_8, 1A3_{16} or "52 base 8"."""
    written = "".join(token.text for token in tokens)
    found = re.fullmatch(
        r"([0-9A-Z]+)(?:_\{?\(?|\(?base-?)(\d{1,2}|two|three|four|five|six|seven|eight|nine|ten)\)?\}?", written
    )
    if not found:
        return None
    names = "two three four five six seven eight nine ten".split()
    base = int(found[2]) if found[2].isdigit() else names.index(found[2]) + 2
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in found[1]):
        return None
    return Value(sp.Integer(int(found[1]))) if base == 10 else Based(found[1].lstrip("0") or "0", base)


def _repeating(tokens: Sequence[Token]) -> list[Token]:
    r"""Replace 0.1\overline{6} and 0.1(6) by the fractions that they are."""
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


_ONE = (
    r"(?:[A-Za-z]{1,40}|\\(?:overline|vec|overrightarrow|m?angle|triangle|hat)\{?[A-Za-z']+\}?"
    r"|\\(?!sqrt|frac|pm|mp|sin|cos|tan|cot|sec|csc|arc|ln|log|lg|exp)[A-Za-z]+)(?:_(?:\w|\{[^{}]*\}))?'*"
)
_NAME = re.compile(
    rf"{_ONE}(?:\([^()=]*\)|(?:[-+]{_ONE})*)|m?\\angle[A-Z]+|\((?:{_ONE},)+{_ONE}\)|\|{_ONE}\||\[[A-Z]+\]"
)
_NO_NAME = re.compile(r"(?:not?|sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt|arc\w+)(?![a-z])")


def _name(tokens: Sequence[Token]) -> str:
    r"""Return the left side of ``x =``, ``f(x) =``, ``AB =``, ``m + n =``; empty: it is not just a name."""
    written = "".join(token.text for token in tokens)
    return written if _NAME.fullmatch(written) and not _NO_NAME.match(written) else ""


def _may_follow(before: Token, first: Token) -> bool:
    """Say whether a unit may begin here: after a number, a letter that is not its neighbour, or a closing bracket."""
    if not (first.text[0].isalpha() or first.text in ("\\degree", "\\frac", "-") or first.text in SYMBOLS):
        return False
    if before.text[0] == "\\":
        return before.text[1:] in GREEK or before.text in ("\\pi", "\\infty")
    if before.text.isalpha():
        return first.spaced and len(before.text) == 1
    return before.text[-1].isdigit() or before.text[-1] in ")}]|!."


def _ordinal(tokens: Sequence[Token]) -> Sequence[Token]:
    """Read 5th as 5."""
    ending = "".join(token.text for token in tokens[1:])
    return tokens[:1] if tokens[0].text.isdigit() and re.fullmatch(r"\^?\{?(?:th|st|nd|rd)\}?", ending) else tokens
