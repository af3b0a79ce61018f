"""Whether two expressions have the same value: exactly; a decimal may be rounded where no decimal is exact."""

from typing import Any

import sympy as sp

from .functions import LOG_BASE

_TOLERANCE = sp.Rational(1, 10**6)
_DIGITS = 200  # what agrees to as many digits is equal
_LONGEST_DECIMAL = 15
_POINTS = tuple(
    tuple(map(sp.Rational, point.split()))
    for point in ("1.37 2.11 0.73 3.19 0.41", "-1.61 2.83 -0.57 1.93 3.37", "2.29 -0.87 1.49 -3.01 0.91")
)


def same_value(expected: Any, found: Any, rounded: bool) -> bool:
    """Compare two expressions, or matrices entry by entry.

    Args:
        expected: a sympy expression or matrix.
        found: another.
        rounded: whether either was written with a decimal point, so that it may be rounded (1e-6 of its size).

    Returns:
        Whether they are equal; expressions with letters are compared at three points.
    """
    matrices = [isinstance(value, sp.MatrixBase) for value in (expected, found)]
    if all(matrices):
        pairs = zip(expected.flat(), found.flat(), strict=False)
        return expected.shape == found.shape and all(same_value(a, b, rounded) for a, b in pairs)
    if any(matrices):
        return False
    if any(value.has(sp.nan, sp.zoo) for value in (expected, found)):
        return False
    if expected == found:
        return True
    if LOG_BASE in expected.free_symbols ^ found.free_symbols:  # a \log without a base may be natural or decimal
        based = [[value.subs(LOG_BASE, base) for value in (expected, found)] for base in (1, sp.log(10))]
        return any(same_value(a, b, rounded) for a, b in based)
    if expected.is_Rational and found.is_Rational:
        if not rounded or (_is_decimal(expected) and _is_decimal(found)):
            return False  # they are not equal
        return bool(abs(expected - found) <= _TOLERANCE * max(abs(expected), abs(found)))
    if sp.oo in (abs(expected), abs(found)):
        return False
    return _agree(expected, found, _TOLERANCE if rounded else None)


def _is_decimal(value: sp.Rational) -> bool:
    """Return whether a fraction has a decimal that is short enough to be written."""
    return bool(10**_LONGEST_DECIMAL % value.q == 0)


def _agree(a: sp.Expr, b: sp.Expr, tolerance: sp.Rational | None) -> bool:
    """Return whether two expressions agree, to hundreds of digits, at points where both are defined."""
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    difference = a - b
    if difference.is_Rational:
        return bool(difference == 0)
    seen = 0
    for number, point in enumerate(_POINTS if symbols else ((),)):
        at = _at_point(symbols, point)
        left, right = (sp.N(value.subs(at), 20) for value in (a, b))
        if not (left.is_number and right.is_number and left.is_finite and right.is_finite):
            continue
        if number and not (left.is_real and right.is_real):  # roots and logarithms have branches
            continue
        seen += 1
        size = max(abs(left), abs(right))
        if abs(left - right) > size * sp.Rational(1, 10**4):  # no need to look closer
            return False
        distance = _size(sp.N(difference.subs(at), 5, maxn=_DIGITS))
        if distance > (size * tolerance if tolerance else 0):
            return False
    return seen > 0


def _size(difference: sp.Expr) -> sp.Expr:
    """Return the absolute value of a difference; 0 where no digit is certain after hundreds of digits."""
    terms = difference.as_real_imag()
    return max(abs(term) if term.is_comparable else sp.Integer(0) for term in terms)


def _at_point(symbols: list[sp.Symbol], point: tuple[sp.Rational, ...]) -> dict[sp.Symbol, sp.Rational]:
    return {symbol: point[i % len(point)] + i // len(point) for i, symbol in enumerate(symbols)}


def proportional(a: sp.Expr, b: sp.Expr, positive: bool = False) -> bool:
    """Compare two expressions that are set to zero.

    Args:
        a: an expression.
        b: another.
        positive: whether the constant has to be positive.

    Returns:
        Whether one is a constant multiple of the other, so that both are zero at the same points.
    """
    if a == 0 or b == 0:
        return bool(a == b)
    at = _at_point(sorted(a.free_symbols | b.free_symbols, key=str), _POINTS[0])
    ratio = a.subs(at) / b.subs(at)
    if not ratio.is_finite or not ratio.is_nonzero or positive and not ratio.is_positive:
        return False
    return same_value(a, ratio * b, rounded=False)
