"""Whether two answers that were read are the same; the expected one decides which order, unit and base are wanted."""

from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp

from .answers import answer_of
from .regions import region_of, variables
from .shapes import Based, Clock, Joined, Listed, Ratio, Region, Relation, Value, Words
from .tokens import tokens_of
from .units import Unit
from .values import proportional, same_value

_HALF = {"(]", "[)"}
_ORDERED = {"()", "[]"} | _HALF


def same_answer(expected: str, found: str) -> bool:
    """Return whether two answers in plain LaTeX are the same; ``Unreadable`` is raised if one is not understood."""
    gold, other = tokens_of(expected), tokens_of(found)
    upright = frozenset(token.text for token in (*gold, *other) if token.upright)
    return any(
        is_same(answer_of(gold, loosely, upright), answer_of(other, loosely, upright)) for loosely in (True, False)
    )


def is_same(gold: Any, found: Any) -> bool:
    """Return whether two answers that were read whole are the same."""
    equations = isinstance(gold, Relation | Joined), isinstance(found, Relation | Joined)
    if equations == (False, True) and _is_named(found):  # 5 and x = 5
        return is_same(gold, found.right)
    if equations == (True, False) and _is_named(gold):
        return is_same(gold.right, found)
    for kinds, same in _COMPARED:
        if isinstance(gold, kinds[0]) and isinstance(found, kinds[1]):
            return same(gold, found) or _same_regions(gold, found)
    return _same_regions(gold, found)


def _is_named(read: Any) -> bool:
    return isinstance(read, Relation) and read.sign in ("=", "in") and read.name != ""


def _same_texts(gold: Any, found: Any) -> bool:
    return _text(gold) == _text(found) != ""


def _text(read: Any) -> str:
    return (read.text if isinstance(read, Words) else read.word).casefold()


def _same_values(gold: Value, found: Value) -> bool:
    if _is_in_radians(gold) and _in_degrees(found, gold) or _is_in_radians(found) and _in_degrees(gold, found):
        return True
    if not gold.unit.fits(found.unit):
        return False
    rounded = gold.rounded or found.rounded
    if same_value(gold.value, found.value, rounded):
        return True
    percent = Unit((("percent", 1),))
    if gold.unit == percent != found.unit:  # 50% is 50, and is a half
        return same_value(gold.value / 100, found.value, rounded)
    if found.unit == percent != gold.unit:
        return same_value(gold.value, found.value / 100, rounded)
    return False


def _is_in_radians(read: Value) -> bool:
    return read.unit == Unit((("radian", 1),)) or read.unit == Unit() and read.value.has(sp.pi)


def _in_degrees(degrees: Value, radians: Value) -> bool:
    """Return whether an angle in degrees equals one in radians: a right angle is half of pi."""
    is_degree = degrees.unit == Unit((("degree", 1),))
    return is_degree and same_value(radians.value, degrees.value * sp.pi / 180, degrees.rounded or radians.rounded)


def _same_ratios(gold: Any, found: Any) -> bool:
    sides = []
    for read in (gold, found):
        if isinstance(read, Clock) and read.unit == Unit():
            sides.append([sp.Integer(term) for term in read.text.split(":")])
        elif isinstance(read, Ratio):
            sides.append(list(read.terms))
        elif isinstance(read, Value):
            sides.append([read.value, sp.Integer(1)])
        else:
            return False
    a, b = sides
    if not (a[-1] and b[-1]):
        return False
    return len(a) == len(b) and all(same_value(x * b[-1], y * a[-1], rounded=False) for x, y in zip(a, b, strict=True))


def _same_lists(gold: Listed, found: Listed) -> bool:
    """Return whether two lists are the same, in order where the expected one has an order; a set is no tuple."""
    kinds = (gold.kind, found.kind)
    short = len(gold.items) < 3  # more than two numbers are no interval, whatever is around them
    if gold.kind in _ORDERED:
        if "{}" in kinds or gold.kind != found.kind and kinds != ("()", "") and (short or _HALF & set(kinds)):
            return False
        items = found.items if found.kind else _by_name(found.items)
        return len(items) == len(gold.items) and all(map(is_same, gold.items, items))
    if gold.kind == "{}" and found.kind in _ORDERED or found.kind in _HALF or found.kind == "[]" and short:
        return False
    if "{}" in kinds:
        return _matched(_distinct(gold.items), _distinct(found.items))
    return _matched(gold.items, found.items)


def _by_name(items: Sequence[Any]) -> Sequence[Any]:
    """Return equations such as y = 2, x = 1 in the order of their names."""
    if all(isinstance(item, Relation) and len(item.name) == 1 for item in items):
        return sorted(items, key=lambda item: item.name)
    return items


def _distinct(items: Sequence[Any]) -> list[Any]:
    out: list[Any] = []
    for item in items:
        if not any(is_same(other, item) for other in out):
            out.append(item)
    return out


def _matched(gold: Sequence[Any], found: Sequence[Any]) -> bool:
    """Return whether every answer has its own counterpart."""
    if len(gold) != len(found):
        return False
    left = list(found)
    for item in gold:
        place = next((i for i, other in enumerate(left) if is_same(item, other)), None)
        if place is None:
            return False
        left.pop(place)
    return True


def _same_as_list(value: Value, listed: Listed) -> bool:
    """Return whether a vector equals a tuple, or a value a set of one."""
    if isinstance(value.value, sp.MatrixBase):
        entries = [Value(entry, rounded=value.rounded) for entry in value.value.flat()]
        return value.value.shape[1] == 1 and listed.kind in ("()", "[]") and _same_lists(
            Listed("()", tuple(entries)), Listed("()", listed.items)
        )  # fmt: skip
    return listed.kind in ("{}", "") and len(listed.items) == 1 and is_same(value, listed.items[0])


def _same_relations(gold: Relation, found: Relation) -> bool:
    if gold.name and gold.name == found.name and gold.sign == found.sign:
        return is_same(gold.right, found.right)
    sides = (gold.left, gold.right, found.left, found.right)
    if not all(isinstance(side, Value) and not isinstance(side.value, sp.MatrixBase) for side in sides):
        return gold.sign == found.sign and is_same(gold.left, found.left) and is_same(gold.right, found.right)
    a, b = gold.left.value - gold.right.value, found.left.value - found.right.value
    if gold.sign in ("=", "!="):
        return gold.sign == found.sign and proportional(a, b)
    flipped = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
    if gold.sign == found.sign:
        return proportional(a, b, positive=True)
    return flipped.get(gold.sign) == found.sign and proportional(a, -b, positive=True)


def _same_regions(gold: Any, found: Any) -> bool:
    names = [variables(read) for read in (gold, found) if isinstance(read, Relation | Joined)]
    if len(names) == 2 and names[0] != names[1]:
        return False
    if not any(isinstance(read, Region | Relation | Joined) for read in (gold, found)):
        return False
    first, second = region_of(gold), region_of(found)
    if first is None or second is None:
        return False
    return first == second or bool(first.symmetric_difference(second).is_empty)


def _same_joined(gold: Joined, found: Joined) -> bool:
    return gold.word == found.word and _matched(gold.items, found.items)


_COMPARED: tuple[tuple[tuple[Any, Any], Callable[[Any, Any], bool]], ...] = (
    ((Value, Value), _same_values),
    ((Words | Value, Words | Value), _same_texts),
    ((Based, Based), lambda gold, found: gold == found),
    ((Clock, Clock), lambda gold, found: gold.text == found.text and gold.unit.fits(found.unit)),
    ((Clock, Ratio), lambda *_: False),  # 6:30 may be a time
    ((Clock | Ratio, Value | Ratio), _same_ratios),
    ((Value | Ratio, Clock | Ratio), _same_ratios),
    ((Listed, Listed), _same_lists),
    ((Value, Listed), _same_as_list),
    ((Listed, Value), lambda gold, found: _same_as_list(found, gold)),
    ((Relation, Relation), _same_relations),
    ((Joined, Joined), _same_joined),
)
