"""What the commands and words of an expression mean, as functions of sympy."""

from collections.abc import Callable
from typing import Any

import sympy as sp

from .tokens import Unreadable

_LARGEST = 20_000  # bits of a power
LOG_BASE = sp.Symbol("base of log", positive=True)  # of a \\log that does not say


def root(x: sp.Expr, n: sp.Expr) -> sp.Expr:
    """Return the n-th root: the real one where there is one."""
    if n.is_Integer and n % 2 and x.is_negative:
        return -sp.root(-x, n)
    return sp.root(x, n)


_CIRCULAR = ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth")
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(sp, name) for name in _CIRCULAR},
    **{f"arc{name}": getattr(sp, f"a{name}") for name in _CIRCULAR},
    **{f"ar{name}": getattr(sp, f"a{name}") for name in _CIRCULAR if name.endswith("h")},
    **{f"a{name}": getattr(sp, f"a{name}") for name in ("sin", "cos", "tan", "cot")},
    "arctg": sp.atan,
    "exp": sp.exp, "ln": sp.log, "log": lambda x: sp.log(x) / LOG_BASE, "lg": lambda x: sp.log(x, 10), "sqrt": sp.sqrt,
    "gcd": sp.gcd, "lcm": sp.lcm, "max": sp.Max, "min": sp.Min, "Re": sp.re, "Im": sp.im, "arg": sp.arg, "det": sp.det,
    "sgn": sp.sign, "sech": sp.sech, "csch": sp.csch,
    "cis": lambda x: sp.exp(sp.I * x),
}  # fmt: skip
CALCULUS = ("sum", "prod", "int", "lim")
MANY = {"gcd", "lcm", "max", "min"}
_LETTERS = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega
Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell hbar
"""
GREEK = frozenset(_LETTERS.split())
NAMED = (
    "overline",
    "vec",
    "overrightarrow",
    "overleftrightarrow",
    "hat",
    "widehat",
    "tilde",
    "angle",
    "triangle",
    "widetilde",
)
CONSTANTS = {"pi": sp.pi, "infty": sp.oo, "e": sp.E, "i": sp.I, "infinity": sp.oo, "Infinity": sp.oo, "inf": sp.oo}
MULTIPLES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
PAIRS = {"(": ")", "[": "]", "{": "}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}
AROUND: dict[str, Callable[[Any], Any]] = {"\\lfloor": sp.floor, "\\lceil": sp.ceiling}


def is_word(run: str) -> bool:
    """Return whether a run of letters is a word, not a product of variables: of four letters, and not as pqrs or wxyz.

    >>> is_word("east"), is_word("xyz"), is_word("abcd")
    (True, False, False)
    """
    letters = sorted(run)
    return len(run) > 3 and any(ord(b) - ord(a) != 1 for a, b in zip(letters, letters[1:], strict=False))


def raised(base: Any, power: Any) -> Any:
    """Return ``base`` to the power, if the result is small enough to be written.

    Args:
        base: a sympy expression or matrix.
        power: a sympy expression.

    Returns:
        The power, unevaluated where sympy leaves it so.

    Raises:
        Unreadable: it is too large.
    """
    if getattr(power, "is_Number", False) and abs(power) > 1:
        size = max(abs(base.p), base.q).bit_length() if base.is_Rational else 64 if base.is_number else 8
        if abs(power) * size > _LARGEST and base not in (0, 1, -1):
            raise Unreadable("a large power")
    if getattr(power, "is_number", False) and not power.is_Number and abs(complex(power.evalf(5))) > 1000:
        raise Unreadable("a large power")
    return base**power


def factorial(n: Any) -> Any:
    """Return n! if it is small enough to be written.

    Args:
        n: a sympy expression.

    Returns:
        The factorial.

    Raises:
        Unreadable: a number that is not a whole one from 0 to 2000.
    """
    if n.is_number and not (n.is_Integer and 0 <= n <= 2000):
        raise Unreadable("a factorial")
    return sp.factorial(n)


def binomial(n: Any, k: Any) -> Any:
    """Return the number of choices of k from n, if it is small enough to be written.

    Args:
        n: a sympy expression.
        k: a sympy expression.

    Returns:
        The binomial coefficient.

    Raises:
        Unreadable: numbers that are not whole ones, with n from 0 to 10,000.
    """
    if n.is_number and k.is_number and not (n.is_Integer and k.is_Integer and 0 <= n <= 10_000):
        raise Unreadable("a binomial")
    return sp.binomial(n, k)
