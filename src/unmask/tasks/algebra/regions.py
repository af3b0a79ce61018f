"""The set of numbers that an answer describes."""

from collections.abc import Callable
from typing import Any

import sympy as sp

from .shapes import Joined, Listed, Region, Relation, Value
from .units import Unit

_FLIPPED = str.maketrans("<>", "><")
_RAYS: dict[str, Callable[[Any], sp.Set]] = {
    "<": lambda end: sp.Interval.open(-sp.oo, end),
    "<=": lambda end: sp.Interval(-sp.oo, end),
    ">": lambda end: sp.Interval.open(end, sp.oo),
    ">=": lambda end: sp.Interval(end, sp.oo),
}


def region_of(read: Any) -> sp.Set | None:
    """Return the set of numbers that an interval, a set or a relation describes; None if it describes none."""
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
    if left == name and right.is_extended_real and read.sign in _RAYS:
        return _RAYS[read.sign](right)
    if right == name and left.is_extended_real and read.sign in _RAYS:
        return _RAYS[read.sign.translate(_FLIPPED)](left)
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
