"""How the tests' process calls the answer's: values go over, code does not.

The two processes share nothing but two pipes. A value of a plain type is sent as it is; anything else (an object of a
class that the answer defines, a function) stays where it is and is spoken of by number. So an answer can't bring along
an ``__eq__`` that says yes, nor reach what compares.
"""

import collections
import datetime
import decimal
import fractions
import io
import os
import pickle
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

# These may be named in a message, by the name they are pickled under; any other name is refused. None is written in
# Python: a message may set attributes of a class that it names, and one with an `__eq__` of its own would say yes.
_NAMED = (
    complex, range, bytearray, set, frozenset, collections.OrderedDict, collections.defaultdict, collections.deque,
    decimal.Decimal, datetime.date, datetime.datetime, datetime.time, datetime.timedelta,
)  # fmt: skip
_ALLOWED = {(kind.__module__, kind.__qualname__): kind for kind in _NAMED}
_PLAIN = {*_NAMED, int, float, str, bytes, bool, type(None), list, tuple, dict}
_VIEWS = {"keys": type({}.keys()), "values": type({}.values()), "items": type({}.items())}
_MOST_BYTES = 1 << 26
_MOST_ITEMS = 1_000_000
# What would be taken for the tests' own: a failure of theirs, the end of something they iterate over.
_NOT_PASSED_ON = (AssertionError, StopIteration)


class Hangup(Exception):
    """The other process has ended."""


class Wire:
    """Two pipes, and the objects that the other side knows by number.

    Args:
        read: open file to read from.
        write: open file to write to.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self.kept: list[Any] = []

    def send(self, value: Any) -> None:
        """Send a value; what is not plain is kept here, and its number sent."""
        buffer = io.BytesIO()
        _Pickler(buffer, self).dump(value)
        data = buffer.getvalue()
        if len(data) > _MOST_BYTES:
            raise ValueError(f"expected at most {_MOST_BYTES:,} bytes, found {len(data):,}")
        _write_all(self._write, struct.pack("I", len(data)) + data)

    def receive(self) -> Any:
        """Read a value.

        Raises:
            Hangup: the other side has ended.
            pickle.UnpicklingError: what came is no value.
        """
        (size,) = struct.unpack("I", self._exactly(4))
        if size > _MOST_BYTES:
            raise pickle.UnpicklingError("too long")
        return _Unpickler(io.BytesIO(self._exactly(size)), self).load()

    def ask(self, *question: Any) -> Any:
        """Send a question and return the value that comes back, or raise what was raised there."""
        self.send(question)
        return self.answer()

    def answer(self) -> Any:
        """Read an answer: a value, or what was raised."""
        match self.receive():
            case ("value", value):
                return value
            case ("raised", str(kind), str(message)):
                raised = getattr(__import__("builtins"), kind, None)
                known = isinstance(raised, type) and issubclass(raised, Exception) and raised not in _NOT_PASSED_ON
                raise raised(message) if known else RuntimeError(f"{kind}: {message}")
        raise pickle.UnpicklingError("no answer")

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = os.read(self._read, min(size, 1 << 20))
            if not part:
                raise Hangup
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Remote:
    """An object that lives in the answer's process: it can be called, and its attributes read and set."""

    __slots__ = ("_number", "_wire")

    def __init__(self, wire: Wire, number: int) -> None:
        object.__setattr__(self, "_wire", wire)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it there."""
        return self._wire.ask("call", self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._wire.ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._wire.ask("set", self, name, value)


class _Pickler(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, wire: Wire) -> None:
        super().__init__(buffer, protocol=5)
        self._wire = wire

    def persistent_id(self, obj: Any) -> Any:
        """Say how an object that is not plain is spoken of."""
        kind = type(obj)
        if kind in _PLAIN or (isinstance(obj, type) and obj in _NAMED):
            return None
        if kind is Remote:
            return ("yours", obj._number)
        return _translated(obj) or self._number(obj)

    def _number(self, obj: Any) -> Any:
        self._wire.kept.append(obj)
        return ("mine", len(self._wire.kept) - 1)


def _translated(obj: Any) -> Any:
    """Describe objects that are plain but for their type, None for others."""
    for name, kind in _VIEWS.items():
        if type(obj) is kind:
            return (name, list(obj))
    if type(obj) is collections.Counter:
        return ("Counter", dict(obj))
    if type(obj) is fractions.Fraction:
        return ("Fraction", obj.numerator, obj.denominator)
    if isinstance(obj, tuple):  # a named tuple equals a plain one
        return ("same", tuple(obj))
    if type(obj).__module__ == "numpy" and getattr(obj, "shape", None) == () and hasattr(obj, "item"):
        return ("same", obj.item())
    if isinstance(obj, Iterator):
        return ("iterator", list(islice(obj, _MOST_ITEMS)))
    return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, wire: Wire) -> None:
        super().__init__(buffer)
        self._wire = wire

    def find_class(self, module: str, name: str) -> Any:
        """Refuse all but a few plain types."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} may not be sent") from None

    def persistent_load(self, pid: Any) -> Any:
        """Return the object that is spoken of."""
        match pid:
            case ("yours", int(number)):
                return self._wire.kept[number]
            case ("mine", int(number)):
                return Remote(self._wire, number)
            case ("same", value):
                return value
            case ("Counter", dict(counts)):
                return collections.Counter(counts)
            case ("Fraction", int(numerator), int(denominator)):
                return fractions.Fraction(numerator, denominator)
            case ("iterator", items):
                return iter(items)
            case ("keys", items):
                return dict.fromkeys(items).keys()
            case ("values", items):
                return dict(enumerate(items)).values()
            case ("items", items):
                return dict(items).items()
        raise pickle.UnpicklingError("no such object")


def serve(wire: Wire, source: str) -> None:
    """Run an answer, then do what the tests ask of it, until they hang up."""
    names: dict[str, Any] = {"__name__": "answer"}
    try:
        exec(compile(source, "answer.py", "exec"), names)
        reply: Any = ("value", None)
    except BaseException as error:  # SystemExit too: whatever it raises is its answer
        reply = _raised(error)
    while True:
        try:
            wire.send(reply)
        except Exception as error:  # it can't be sent: too large, too deep, a type that lies about itself
            wire.send(_raised(error))
        question = wire.receive()
        try:
            reply = ("value", _do(question, names))
        except BaseException as error:
            reply = _raised(error)


def _do(question: Sequence[Any], names: Mapping[str, Any]) -> Any:
    match question:
        case ("name", name):
            if name not in names:
                raise NameError(f"name '{name}' is not defined")
            return names[name]
        case ("call", function, args, kwargs):
            return function(*args, **kwargs)
        case ("get", owner, name):
            return getattr(owner, name)
        case ("set", owner, name, value):
            return setattr(owner, name, value)
    raise ValueError("no such question")


def _raised(error: BaseException) -> tuple[str, str, str]:
    try:
        message = str(error)[:500]
    except BaseException:  # its __str__ is the answer's code too
        message = ""
    return ("raised", str(type(error).__name__)[:100], message.encode(errors="replace").decode())
