"""How the process of the tests calls the process of the answer: values are sent, code is not.

The two processes share nothing but two pipes. A value of a plain type is sent as data (``values.py``); anything else
(an object of a class that the answer defines, a function) stays where it is and is named by a number. So an answer
can't bring along an ``__eq__`` that says yes, nor reach what compares: whatever it writes to the pipe, the tests' side
makes plain values of it or refuses. What a call changes in the lists, dicts and sets that it was
handed comes back with its answer; ``guests.py`` has what an answer may do with objects of the tests.
"""

import collections
import operator
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .values import CHANGING, Garbled, contents, dumps, loads, refill

_MOST_BYTES = 1 << 26
# What would be taken for the tests' own: a failure of theirs, the end of something they iterate over.
_NOT_PASSED_ON = (AssertionError, StopIteration)


class Hangup(Exception):
    """Raised when the other process has ended."""


def containers(*values: object) -> list[Any]:
    """Return what can be changed in place in some values, in an order that is the same on both sides."""
    found, seen, stack = [], set(), list(reversed(values))
    while stack:
        value = stack.pop()
        if id(value) in seen or not (type(value) in CHANGING or isinstance(value, tuple)):
            continue
        seen.add(id(value))
        if type(value) in CHANGING:
            found.append(value)
        if isinstance(value, (list, tuple, collections.deque)):
            stack.extend(reversed(value))
        elif isinstance(value, dict):
            stack.extend(reversed(list(value.values())))
    return found


class Wire:
    """Two pipes, and the objects that the other side knows by number.

    Args:
        read: number of the open file to read from.
        write: number of the open file to write to.
        respond: returns what a request of the other side gives.
        remote: class of what stands for an object of the other side.
    """

    def __init__(
        self, read: int, write: int, *, respond: Callable[[Any], Any], remote: "type[Remote] | None" = None
    ) -> None:
        self._read, self._write, self._respond = read, write, respond
        self.remote = remote or Remote
        self.kept: list[Any] = []
        self.arguments: list[Any] = []  # of the call that is being answered, here or there
        self.has_ended = False
        self._numbers: dict[int, int] = {}  # of what is kept, by id
        self._remotes: dict[int, Remote] = {}
        self._found = {"yours": self._yours, "mine": self._mine, "argument": self._argument}

    def send(self, value: object) -> None:
        """Send a value; what is not plain stays here, and its number is sent.

        ``Hangup`` is raised if the other side has ended, ``ValueError`` if the value is too large or nested too deeply.
        """
        arguments = {id(container): number for number, container in enumerate(self.arguments)}
        data = dumps(value, self._number, arguments)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"expected at most {_MOST_BYTES:,} bytes, found {len(data):,}")
        view = memoryview(struct.pack("I", len(data)) + data)
        while view:
            try:
                view = view[os.write(self._write, view) :]
            except BrokenPipeError:
                raise self._hangup() from None

    def receive(self) -> Any:
        """Return the next value from the other side.

        ``Hangup`` is raised if the other side has ended or announces more than is ever sent, ``Garbled`` if the bytes
        are no value.
        """
        (size,) = struct.unpack("I", self._exactly(4))
        if size > _MOST_BYTES:
            raise self._hangup()
        return loads(self._exactly(size), self._found)

    def _hangup(self) -> Hangup:
        self.has_ended = True
        return Hangup("the other process has ended")

    def _number(self, obj: object) -> tuple[str, int]:
        """Return the tag and number by which an object is named, always the same for the same object."""
        if type(obj) is self.remote:
            return "yours", obj._number
        number = self._numbers.setdefault(id(obj), len(self.kept))
        if number == len(self.kept):
            self.kept.append(obj)
        return "mine", number

    def _yours(self, number: int) -> Any:
        return _from_offset(self.kept, number)

    def _argument(self, number: int) -> Any:
        return _from_offset(self.arguments, number)

    def _mine(self, number: int) -> "Remote":
        return self._remotes.setdefault(number, self.remote(self, number))

    def ask(self, *question: object) -> Any:
        """Send a request and return the value that comes back, or raise what was raised there.

        What a call changes in its arguments there is changed here.
        """
        before, self.arguments = self.arguments, []
        try:
            self.send(question)
            self.arguments = containers(*question[1:])
            return self.answer()
        finally:
            self.arguments = before

    def answer(self) -> Any:
        """Return the value that answers a request, or raise what was raised there; serve requests that come first."""
        while True:
            match self.receive():
                case ("value", value, list(changes)):
                    self._change(changes)
                    return value
                case ("raised", str(kind), str(message), list(changes)):
                    self._change(changes)
                    named: Any = getattr(__import__("builtins"), kind, None)
                    known = isinstance(named, type) and issubclass(named, Exception) and named not in _NOT_PASSED_ON
                    raise named(message) if known else RuntimeError(f"{kind}: {message}")
                case question:
                    self.reply(question)

    def reply(self, question: object) -> None:
        """Carry out a request of the other side; send its value, or what it raised, and the changed arguments."""
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
        """Return which of the arguments no longer hold what they held, and what they hold now."""
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
                    refill(_from_offset(self.arguments, number), items)

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = os.read(self._read, min(size, 1 << 20))
            if not part:
                raise self._hangup()
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _from_offset(things: list[Any], number: int) -> Any:
    if not 0 <= number < len(things):
        raise Garbled(f"there is no object {number}")
    return things[number]


class Remote:
    """An object that lives in the answer's process: it can be called, and its attributes read and set."""

    __slots__ = ("_number", "_wire")

    def __init__(self, wire: Wire, number: int) -> None:
        object.__setattr__(self, "_wire", wire)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the object in the process where it lives, and return its value."""
        return self._wire.ask("call", self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._wire.ask("get", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        self._wire.ask("set", self, name, value)


def serve(wire: Wire, names: dict[str, Any], source: str) -> None:
    """Run the source of an answer in ``names``, then carry out requests of the tests until they hang up."""
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
    """Return what a request of the tests gives, of an answer that bound ``names``."""
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
