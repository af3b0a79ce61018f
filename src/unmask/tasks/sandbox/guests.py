"""Objects of the tests' own classes that an answer is handed: they stay with the tests.

The answer may read their public attributes and set those that are data, call their methods and the functions and
classes of the tests that were handed to it, and use them in operations. Nothing else of the tests' process can be
reached: no private name, no attribute of a class or function, no module, no object of a class that the tests did not
define. A list that it reads is a copy.
"""

import operator
import types
from collections.abc import Callable, Sequence
from typing import Any

from .wire import Remote

MODULE = "tests"  # what the classes and functions of the tests say of where they come from
_BASES = ("builtins", "collections", "collections.abc", "_collections_abc", "enum")  # whose methods theirs may inherit
_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{f"__{name}__": getattr(operator, name) for name in (
        "eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "neg", "abs",
        "getitem", "setitem", "delitem", "contains", "index",
    )},
    "__len__": len, "__iter__": iter, "__hash__": hash, "__bool__": bool, "__str__": str, "__repr__": repr,
    "__int__": int, "__float__": float,
}  # fmt: skip


class Guest(Remote):
    """An object of the tests as the answer's process sees it; its operators are carried out by the tests."""

    __slots__ = ()


def _operation(name: str) -> Callable[..., Any]:
    def operate(self: Remote, *args: Any) -> Any:
        return self._wire.ask("operate", self, name, args)

    return operate


for _name in _OPERATIONS:
    setattr(Guest, _name, _operation(_name))


def serve_guest(question: Sequence[Any]) -> Any:
    """Carry out what the answer requests of an object of the tests.

    Args:
        question: the request: ``get``, ``set``, ``operate`` or ``call``, and its arguments.

    Returns:
        What the attribute, operation or call gives.

    Raises:
        PermissionError: it may not request that.
    """
    match question:
        case ("get", owner, str(name)) if _is_own(owner) and _may_be_read(owner, name):
            return getattr(owner, name)
        case ("set", owner, str(name), value) if _is_own(owner) and _may_be_set(owner, name):
            return setattr(owner, name, value)
        case ("operate", owner, str(name), tuple(args)) if _is_own(owner) and name in _OPERATIONS:
            return _OPERATIONS[name](owner, *args)
        case ("call", function, tuple(args), dict(kwargs)) if _may_be_called(function):
            return function(*args, **kwargs)
    raise PermissionError("an answer may use objects of the tests' own classes only")


def _is_own(thing: object) -> bool:
    """Return whether it is an object of a class of the tests; a class is not, whatever its metaclass."""
    return type(thing).__module__ == MODULE and not isinstance(thing, type)


def _definition(owner: object, name: str) -> tuple[type | None, Any]:
    """Return which class of an object defines a name, and as what."""
    for base in type(owner).__mro__:
        if name in vars(base):
            return base, vars(base)[name]
    return None, None


def _may_be_read(owner: object, name: str) -> bool:
    base, _ = _definition(owner, name)
    return not name.startswith("_") and (base is None or _is_known(base.__module__, name))


def _may_be_set(owner: object, name: str) -> bool:
    """Return whether an attribute is data: an answer may not change an object's methods."""
    base, value = _definition(owner, name)
    is_data = base is None or (
        base.__module__ == MODULE and not callable(value) and not isinstance(value, (classmethod, staticmethod))
    )
    return not name.startswith("_") and is_data


def _may_be_called(function: Any) -> bool:
    match function:
        case types.FunctionType():
            return function.__module__ == MODULE
        case type():
            return function.__module__ == MODULE and not issubclass(function, type)
        case types.MethodType(__self__=owner, __func__=types.FunctionType() as inner):
            is_of_class = isinstance(owner, type) and _may_be_called(owner)
            return (_is_own(owner) or is_of_class) and _is_known(inner.__module__, inner.__name__)
        case types.BuiltinMethodType():
            return _is_own(function.__self__) and _is_known("builtins", function.__name__)
    base, _ = _definition(function, "__call__")
    return _is_own(function) and base is not None and base.__module__ == MODULE


def _is_known(module: str | None, name: str) -> bool:
    """Return whether a method is of the tests or a container's; formatting is not: it can read any attribute."""
    return module == MODULE or (module in _BASES and name not in ("format", "format_map"))
