"""Plain values as bytes and back. What is read is data: it names no class or function, and changes nothing that exists.

A message is a JSON array of nodes, ``[tag, part, ...]``; the last node is the value. A part is null, true, false, a
number, a string, or ``[n]``: what node n, one of those before, has made. So what is shared stays shared, and nothing
nests. A container that holds itself is made empty by one node and filled by a later one. A tag is a key of the tables
below, and of nothing else; whatever is not plain is spoken of by number.
"""

import collections
import datetime
import decimal
import fractions
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

# These may be named. None is written in Python, so that no request can set an attribute of theirs.
_NAMED = (
    complex, range, bytes, bytearray, set, frozenset, collections.OrderedDict, collections.defaultdict,
    collections.deque, int, float, bool, str, tuple, list, dict, decimal.Decimal, datetime.date, datetime.datetime,
    datetime.time, datetime.timedelta,
)  # fmt: skip
_BY_NAME = {kind.__name__: kind for kind in _NAMED}
_VIEWS = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}
_DICTS = (dict, collections.OrderedDict, collections.Counter, collections.defaultdict)
CHANGING = frozenset({list, set, bytearray, collections.deque, *_DICTS})
_NATIVE = frozenset({type(None), bool, float, str})
_PARTS = _NATIVE | {int, list}
_HEADS = {"deque": 1, "defaultdict": 1}  # parts that are no contents: the length, the factory
_LARGEST = 1 << 63  # a number beyond is sent in base 16, whose length Python does not limit
_MOST_DEPTH = 500
_MOST_ITEMS = 1_000_000
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


class Garbled(ValueError):
    """Raised for bytes that are no value."""


def dumps(value: object, by_number: Callable[[object], tuple[str, int]], arguments: Mapping[int, int]) -> bytes:
    """Return a value as bytes; a ``ValueError`` is raised if it is nested too deeply.

    Args:
        value: what is to be sent.
        by_number: returns the tag and number by which an object that is not plain is named.
        arguments: numbers of containers that the other side has, by ``id``.

    Returns:
        A JSON array of nodes, in UTF-8.
    """
    return _Writer(by_number, arguments).write(value)


class _Writer:
    """One message: nodes in order, each after the nodes that it refers to, without recursion."""

    def __init__(self, by_number: Callable[[object], tuple[str, int]], arguments: Mapping[int, int]) -> None:
        self._by_number, self._arguments = by_number, arguments
        self._nodes: list[list[Any]] = []
        self._memo: dict[int, tuple[int, Any]] = {}  # with the object, so that its id is not given to another
        self._open: dict[int, tuple[str, list[Any]]] = {}
        self._stack: list[tuple[Any, str, Iterator[Any], list[Any]]] = []

    def write(self, value: object) -> bytes:
        """Return the message of a value."""
        self._push(value)
        while True:
            thing, tag, rest, done = self._stack[-1]
            for part in rest:
                kind = type(part)
                if kind in _NATIVE or (kind is int and -_LARGEST < part < _LARGEST):
                    done.append(part)
                elif found := self._memo.get(id(part)):
                    done.append([found[0]])
                elif kind in CHANGING and id(part) in self._open:  # it holds itself
                    name, has = self._open[id(part)]
                    done.append(self._put(part, [name, *has[: _HEADS.get(name, 0)]]))
                else:
                    self._push(part)
                    break
            else:
                place = self._close(thing, tag, done)
                if not self._stack:
                    return _encode(self._nodes).encode("utf-8", "surrogatepass")
                self._stack[-1][3].append(place)

    def _push(self, thing: object) -> None:
        if len(self._stack) >= _MOST_DEPTH:
            raise ValueError(f"expected a value nested at most {_MOST_DEPTH} deep, found a deeper one")
        number = self._arguments.get(id(thing)) if type(thing) in CHANGING else None
        parts: Any
        tag, parts = ("argument", [number]) if number is not None else _taken_apart(thing, self._by_number)
        entry = (thing, tag, iter(()), parts) if _are_native(parts) else (thing, tag, iter(parts), [])
        self._stack.append(entry)
        self._open[id(thing)] = tag, entry[3]

    def _close(self, thing: object, tag: str, done: list[Any]) -> list[int]:
        self._stack.pop()
        self._open.pop(id(thing), None)
        begun = self._memo.get(id(thing))
        if begun is None:
            return self._put(thing, [tag, *done])
        if type(thing) in CHANGING:
            self._nodes.append(["fill", [begun[0]], *done[_HEADS.get(tag, 0) :]])
        return [begun[0]]

    def _put(self, thing: object, node: list[Any]) -> list[int]:
        self._nodes.append(node)
        self._memo[id(thing)] = (len(self._nodes) - 1, thing)
        return [len(self._nodes) - 1]


def _are_native(parts: list[Any]) -> bool:
    kinds = set(map(type, parts))
    return kinds <= _NATIVE or (kinds == {int} and min(parts) > -_LARGEST and max(parts) < _LARGEST)


def _taken_apart(value: Any, by_number: Callable[[object], tuple[str, int]]) -> tuple[str, list[Any]]:
    """Return the tag of a value, and the values that it consists of."""
    kind = type(value)
    if kind in _DICTS:
        head = [value.default_factory] if kind is collections.defaultdict else []
        return kind.__name__, [*head, *contents(value)]
    if kind in (list, tuple, set, frozenset):
        return kind.__name__, list(value)
    if kind is collections.deque:
        return "deque", [value.maxlen, *value]
    if kind in _VIEWS:
        return _VIEWS[kind], list(value)
    if kind is int:
        return "int", [hex(value)]
    if kind in _SCALARS:
        return kind.__name__, _SCALARS[kind][1](value)
    if described := _described(value):
        return described
    tag, number = by_number(value)
    return tag, [number]


def _described(value: object) -> tuple[str, list[Any]] | None:
    """Return the tag and values of objects that are plain but for their type; None for others."""
    if isinstance(value, type):
        return ("type", [value.__name__]) if value in _NAMED else None
    if isinstance(value, tuple):  # a named tuple equals a plain one
        return "tuple", list(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        return "same", [value.item()]
    if isinstance(value, Iterator):
        return "iterator", list(islice(value, _MOST_ITEMS))
    return None


def contents(container: Any) -> list[Any]:
    """Return the items of a container as a flat list; of a dict keys and values in turn."""
    return [part for item in container.items() for part in item] if isinstance(container, dict) else list(container)


def refill(container: Any, items: Iterable[Any]) -> None:
    """Replace what a container holds by ``items``; of a dict these are keys and values in turn."""
    items = list(items)
    container.clear()
    if isinstance(container, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            container[key] = value
    elif isinstance(container, set):
        container.update(items)
    else:
        container.extend(items)


def loads(data: bytes, by_number: Mapping[str, Callable[[int], Any]]) -> Any:
    """Return the value that ``dumps`` wrote.

    Args:
        data: whatever the other side has sent.
        by_number: for each tag of an object that is named by number, the function that finds it.

    Returns:
        The value.

    Raises:
        Garbled: the bytes are no value.
    """
    made: list[Any] = []
    depths: list[int] = []
    empty: set[int] = set()  # what this message has made and may fill
    try:
        nodes = json.loads(data.decode("utf-8", "surrogatepass"))
        if type(nodes) is not list or not nodes:
            raise Garbled("expected an array of nodes")
        for node in nodes:
            if type(node) is not list or not node or type(node[0]) is not str:
                raise Garbled("expected a tag and parts")
            tag, parts, depth = node[0], node[1:], 1
            kinds = set(map(type, parts))
            if not kinds <= _PARTS:
                raise Garbled("expected plain parts")
            if list in kinds:
                depth += _resolve(parts, made, depths)
            if depth > _MOST_DEPTH:
                raise Garbled("nested too deeply")
            if tag == "fill":
                place = node[1][0]
                empty.remove(place)
                refill(made[place], parts[1:])
                made.append(made[place])
            else:
                made.append(_put_together(tag, parts, by_number))
                if tag in _FILLED and len(parts) == _HEADS.get(tag, 0):
                    empty.add(len(made) - 1)
            depths.append(depth)
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise Garbled(f"what came is no value: {error}"[:200]) from None
    return made[-1]


def _resolve(parts: list[Any], made: list[Any], depths: list[int]) -> int:
    """Replace references to earlier nodes by what these have made; return how deep the deepest is."""
    deepest = 0
    for index, part in enumerate(parts):
        if type(part) is list:
            (number,) = part
            if type(number) is not int or not 0 <= number < len(made):
                raise Garbled("expected the number of an earlier node")
            parts[index] = made[number]
            deepest = max(deepest, depths[number])
    return deepest


def _put_together(tag: str, parts: list[Any], by_number: Mapping[str, Callable[[int], Any]]) -> Any:
    if tag in _FILLED:
        return _FILLED[tag](parts)
    if tag in by_number:
        return by_number[tag](*_typed(parts, int))
    return _MADE[tag](parts)


def _typed(parts: list[Any], *kinds: type) -> list[Any]:
    """Return the parts if they are of these types, and of no class that derives from them."""
    if tuple(map(type, parts)) != kinds:
        raise Garbled("a part of another type was expected")
    return parts


def _filled(container: Any, parts: list[Any]) -> Any:
    refill(container, parts)
    return container


def _deque(parts: list[Any]) -> Any:
    length, *items = parts
    if length is not None:
        _typed([length], int)
    return collections.deque(items, length)


def _moment(parts: list[Any]) -> Any:
    """Return a date with a time, or a time: parts are numbers, whether it is the second of two, and the zone."""
    *numbers, fold, zone = parts
    _typed([*numbers, fold], *[int] * (len(numbers) + 1))
    if type(zone) not in (type(None), datetime.timezone):
        raise Garbled("no zone")
    if len(numbers) == 7:
        year, month, day, hour, minute, second, microsecond = numbers
        return datetime.datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)
    hour, minute, second, microsecond = numbers
    return datetime.time(hour, minute, second, microsecond, zone, fold=fold)


# What may be made, by tag. Containers first: they may be made empty and filled later.
_FILLED: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "set": set,
    "dict": lambda parts: _filled({}, parts),
    "OrderedDict": lambda parts: _filled(collections.OrderedDict(), parts),
    "Counter": lambda parts: _filled(collections.Counter(), parts),
    "defaultdict": lambda parts: _filled(collections.defaultdict(parts[0]), parts[1:]),
    "deque": _deque,
}
# The type, and how to take it apart; how to make it stands below.
_SCALARS: dict[type, tuple[Callable[..., Any], Callable[[Any], list[Any]]]] = {
    bytes: (lambda parts: bytes.fromhex(*_typed(parts, str)), lambda value: [value.hex()]),
    bytearray: (lambda parts: bytearray.fromhex(*_typed(parts, str)), lambda value: [value.hex()]),
    complex: (lambda parts: complex(*_typed(parts, float, float)), lambda value: [value.real, value.imag]),
    range: (lambda parts: range(*_typed(parts, int, int, int)), lambda value: [value.start, value.stop, value.step]),
    fractions.Fraction: (
        lambda parts: fractions.Fraction(*_typed(parts, int, int)), lambda value: [value.numerator, value.denominator],
    ),
    decimal.Decimal: (lambda parts: decimal.Decimal(*_typed(parts, str)), lambda value: [str(value)]),
    datetime.date: (
        lambda parts: datetime.date(*_typed(parts, int, int, int)), lambda value: [value.year, value.month, value.day],
    ),
    datetime.timedelta: (
        lambda parts: datetime.timedelta(*_typed(parts, int, int, int)),
        lambda value: [value.days, value.seconds, value.microseconds],
    ),
    datetime.timezone: (
        lambda parts: datetime.timezone(*_typed(parts, datetime.timedelta, *[str] * (len(parts) > 1))),
        lambda value: [*value.__getinitargs__()],
    ),
    datetime.datetime: (
        _moment,
        lambda value: [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond,
                       value.fold, value.tzinfo],
    ),
    datetime.time: (
        _moment,
        lambda value: [value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo],
    ),
}  # fmt: skip
_MADE: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "frozenset": frozenset,
    "int": lambda parts: int(_typed(parts, str)[0], 16),
    "type": lambda parts: _BY_NAME[_typed(parts, str)[0]],
    "same": lambda parts: parts[0],
    "iterator": iter,
    "keys": lambda parts: dict.fromkeys(parts).keys(),
    "values": lambda parts: dict(enumerate(parts)).values(),
    "items": lambda parts: dict(parts).items(),
    **{kind.__name__: make for kind, (make, _) in _SCALARS.items()},
}
