"""How the tests' process calls the answer's: values go over, code does not.

The two processes share nothing but two pipes. A value of a plain type is sent as it is; anything else (an object of a
class that the answer defines, a function) stays where it is and is spoken of by number. So an answer can't bring along
an ``__eq__`` that says yes, nor reach what compares. What a call changes in the lists, dicts and sets that it was
handed comes back with its answer; what an answer may do with objects of the tests says ``guests.py``.
"""

import collections
import datetime
import decimal
import fractions
import io
import operator
import os
import pickle
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

# These may be named in a message, by the name they are pickled under; any other name is refused. None is written in
# Python: a message may set attributes of a class that it names, and one with an `__eq__` of its own would say yes.
_NAMED = (
    complex, range, bytearray, set, frozenset, collections.OrderedDict, collections.defaultdict, collections.deque,
    int, float, bool, str, tuple, list, dict, decimal.Decimal, datetime.date, datetime.datetime, datetime.time,
    datetime.timedelta,
)  # fmt: skip
_ALLOWED = {(kind.__module__, kind.__qualname__): kind for kind in _NAMED}
_PLAIN = {*_NAMED, bytes, type(None)}
_VIEWS = {"keys": type({}.keys()), "values": type({}.values()), "items": type({}.items())}
_CHANGING = (list, dict, set, bytearray, collections.deque, collections.OrderedDict, collections.defaultdict)
_MOST_BYTES = 1 << 26
_MOST_ITEMS = 1_000_000
# What would be taken for the tests' own: a failure of theirs, the end of something they iterate over.
_NOT_PASSED_ON = (AssertionError, StopIteration)


class Hangup(Exception):
    """The other process has ended."""


def containers(*values: Any) -> list[Any]:
    """List what can be changed in place in arguments, in an order that is the same on both sides."""
    found, seen, stack = [], set(), list(reversed(values))
    while stack:
        value = stack.pop()
        if id(value) in seen or not (type(value) in _CHANGING or isinstance(value, tuple)):
            continue
        seen.add(id(value))
        if type(value) in _CHANGING:
            found.append(value)
        if isinstance(value, (list, tuple, collections.deque)):
            stack.extend(reversed(value))
        elif isinstance(value, dict):
            stack.extend(reversed(list(value.values())))
    return found


def contents(container: Any) -> list[Any]:
    """Return what is in a container, flat."""
    return [part for item in container.items() for part in item] if isinstance(container, dict) else list(container)


def refill(container: Any, items: list[Any]) -> None:
    """Make a container hold what ``contents`` gave."""
    container.clear()
    if isinstance(container, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            container[key] = value
    elif isinstance(container, set):
        container.update(items)
    else:
        container.extend(items)


class Wire:
    """Two pipes, and the objects that the other side knows by number.

    Args:
        read: open file to read from.
        write: open file to write to.
        respond: answers what the other side asks while it is to answer.
        remote: what stands for an object of the other side.
    """

    def __init__(
        self, read: int, write: int, *, respond: Callable[[Any], Any], remote: "type[Remote] | None" = None
    ) -> None:
        self._read, self._write, self._respond = read, write, respond
        self.remote = remote or Remote
        self.kept: list[Any] = []
        self.arguments: list[Any] = []  # of the call that is being answered, here or there

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
        """Send a question and return the value that comes back, or raise what was raised there.

        What a call changes in its arguments there is changed here.
        """
        before, self.arguments = self.arguments, []
        self.send(question)
        self.arguments = containers(*question[1:])
        try:
            return self.answer()
        finally:
            self.arguments = before

    def answer(self) -> Any:
        """Read an answer, a value or what was raised; answer questions that come first."""
        while True:
            match self.receive():
                case ("value", value, list(changes)):
                    self._change(changes)
                    return value
                case ("raised", str(kind), str(message), list(changes)):
                    self._change(changes)
                    named = getattr(__import__("builtins"), kind, None)
                    known = isinstance(named, type) and issubclass(named, Exception) and named not in _NOT_PASSED_ON
                    raise named(message) if known else RuntimeError(f"{kind}: {message}")
                case question:
                    self.reply(question)

    def reply(self, question: Any) -> None:
        """Answer a question of the other side."""
        before, self.arguments = self.arguments, containers(*question[1:]) if isinstance(question, tuple) else []
        held = [contents(container) for container in self.arguments]
        try:
            try:
                answer: tuple[Any, ...] = ("value", self._respond(question))
            except BaseException as error:  # SystemExit too: whatever it raises is its answer
                answer = raised(error)
            try:
                self.send((*answer, self._changes(held)))
            except Hangup:
                raise
            except Exception as error:  # it can't be sent: too large, too deep, a type that lies about itself
                self.send((*raised(error), []))
        finally:
            self.arguments = before

    def _changes(self, held: list[list[Any]]) -> list[tuple[int, list[Any]]]:
        """List which of the arguments no longer hold what they held, and what they hold now."""
        changes = []
        for number, (container, old) in enumerate(zip(self.arguments, held, strict=True)):
            new = contents(container)
            if len(new) != len(old) or any(map(operator.is_not, new, old)):
                changes.append((number, new))
        return changes

    def _change(self, changes: list[Any]) -> None:
        for change in changes:
            match change:
                case (int(number), list(items)):
                    refill(self.arguments[number], items)

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
        self._arguments = {id(container): number for number, container in enumerate(wire.arguments)}

    def persistent_id(self, obj: Any) -> Any:
        """Say how an object that is not plain is spoken of."""
        kind = type(obj)
        if kind in _CHANGING and (number := self._arguments.get(id(obj))) is not None:
            return ("argument", number)
        if kind in _PLAIN or (isinstance(obj, type) and obj in _NAMED):
            return None
        if kind is self._wire.remote:
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
                return self._wire.remote(self._wire, number)
            case ("argument", int(number)):
                return self._wire.arguments[number]
            case ("same", value):
                return value
            case ("Counter", dict(counts)):
                return collections.Counter(counts)
            case ("Fraction", int(numerator), int(denominator)):
                return fractions.Fraction(numerator, denominator)
            case ("iterator", items):
                return iter(items)
            case (str(kind), items) if kind in _VIEWS:
                return _view(kind, items)
        raise pickle.UnpicklingError("no such object")


def _view(kind: str, items: Any) -> Any:
    """Make a view of a dict that shows the items."""
    if kind == "values":
        return dict(enumerate(items)).values()
    return dict.fromkeys(items).keys() if kind == "keys" else dict(items).items()


def serve(wire: Wire, names: dict[str, Any], source: str) -> None:
    """Run an answer, then do what the tests ask of it, until they hang up."""
    try:
        exec(compile(source, "answer.py", "exec"), names)
        wire.send(("value", None, []))
    except Hangup:
        raise
    except BaseException as error:  # SystemExit too: whatever it raises is its answer
        wire.send((*raised(error), []))
    while True:
        wire.reply(wire.receive())


def do(question: Sequence[Any], names: Mapping[str, Any]) -> Any:
    """Do what the tests ask of an answer that bound ``names``."""
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


def raised(error: BaseException) -> tuple[str, str, str]:
    """Return an exception as plain data that can be sent."""
    try:
        message = str(error)[:500]
    except BaseException:  # its __str__ is the answer's code too
        message = ""
    return ("raised", str(type(error).__name__)[:100], message.encode(errors="replace").decode())
