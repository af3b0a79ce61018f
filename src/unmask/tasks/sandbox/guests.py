"""Objects of the tests' own classes that an answer is handed: they stay with the tests.

The answer may read and set their public attributes, call their methods and functions of the tests that were handed to
it, and use them in operations. Nothing else of the tests' process can be reached: no private name, no module, no object
of a class that the tests did not define.
"""

import operator
import types
from collections.abc import Callable, Sequence
from typing import Any

from .wire import Remote

MODULE = "tests"  # what the classes and functions of the tests say of where they come from
_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{f"__{name}__": getattr(operator, name) for name in (
        "eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "neg", "abs",
        "getitem", "setitem", "delitem", "contains", "index",
    )},
    "__len__": len, "__iter__": iter, "__hash__": hash, "__bool__": bool, "__str__": str, "__repr__": repr,
    "__int__": int, "__float__": float,
}  # fmt: skip


class Guest(Remote):
    """An object of the tests that an answer was handed."""

    __slots__ = ()


def _operation(name: str) -> Callable[..., Any]:
    def operate(self: Remote, *args: Any) -> Any:
        return self._wire.ask("operate", self, name, args)

    return operate


for _name in _OPERATIONS:
    setattr(Guest, _name, _operation(_name))


def serve_guest(question: Sequence[Any]) -> Any:
    """Do what the answer asks of an object of the tests.

    Raises:
        PermissionError: it may not ask that.
    """
    match question:
        case ("get", owner, str(name)) if _is_own(owner) and not name.startswith("_"):
            return getattr(owner, name)
        case ("set", owner, str(name), value) if _is_own(owner) and not name.startswith("_"):
            return setattr(owner, name, value)
        case ("operate", owner, str(name), tuple(args)) if _is_own(owner) and name in _OPERATIONS:
            return _OPERATIONS[name](owner, *args)
        case ("call", function, tuple(args), dict(kwargs)) if _may_be_called(function):
            return function(*args, **kwargs)
    raise PermissionError("an answer may use objects of the tests' own classes only")


def _is_own(thing: Any) -> bool:
    return type(thing).__module__ == MODULE


def _may_be_called(function: Any) -> bool:
    if isinstance(function, (types.MethodType, types.BuiltinMethodType)):
        return _is_own(function.__self__)
    return isinstance(function, (types.FunctionType, type)) and function.__module__ == MODULE or _is_own(function)
