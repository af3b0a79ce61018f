"""What an answer does with what the tests hand it: changes in place, and objects of the tests' own classes."""

import pytest

from unmask.tasks.sandbox import Checks, confine, run

pytestmark = pytest.mark.skipif(
    confine.what_is_missing() is not None, reason=f"this kernel lacks {confine.what_is_missing()}"
)

# What the answer does to its arguments, and what the tests must see of it.
CHANGES = {
    "a list": ("x.reverse()", "x = [1, 2]\nf(x)\nassert x == [2, 1]"),
    "a list of another length": ("x.append(x.pop(0) + 1); del x[0]", "x = [1, 2]\nf(x)\nassert x == [2]"),
    "rows": (
        "x[0][1] = 5; x[1], x[0] = x",
        "a, b = [0, 1], []\nx = [a, b]\nf(x)\nassert x[0] is b\nassert x[1] is a == [0, 5]",
    ),
    "the same row twice": ("x[0].append(1)", "a = []\nx = [a, a]\nf(x)\nassert a == [1] and x[1] is a"),
    "a dict": ("x['b'] = x.pop('a')", "x = {'a': [1]}\na = x['a']\nf(x)\nassert list(x) == ['b'] and x['b'] is a"),
    "a set": ("x.add(3)", "x = {1}\nf(x)\nassert x == {1, 3}"),
    "bytes": ("x[0] = 65", "x = bytearray(b'x')\nf(x)\nassert x == b'A'"),
    "a deque": ("x.rotate(1)", "x = collections.deque([1, 2], 2)\nf(x)\nassert list(x) == [2, 1] and x.maxlen == 2"),
    "a default": ("x['b'].append(1)", "x = collections.defaultdict(list)\nf(x)\nassert x == {'b': [1]}"),
    "within a tuple": ("x[0].clear()", "x = ([1],)\nf(x)\nassert x == ([],)"),
    "by name": ("x.clear()", "x = [1]\nf(x=x)\nassert x == []"),
    "before it fails": (
        "x.clear(); 1 / 0",
        "x = [1]\ntry:\n    f(x)\nexcept ArithmeticError:\n    x.append(2)\nassert x == [2]",
    ),
    "itself": ("x.append(x)", "x = [1]\nf(x)\nassert x[1] is x"),
    "and returns it": ("x.sort()", "x = [2, 1]\nassert f(x) is x and x == [1, 2]"),
    "not at all": ("x = [5]", "x = [1]\nf(x)\nassert x == [1]"),
    "a copy": ("x = list(x); x.sort()", "x = [2, 1]\nassert f(x) == [1, 2] and x == [2, 1]"),
    "a counter": ("x['a'] += 1", "x = collections.Counter('ab')\nf(x)\nassert x == collections.Counter('aab')"),
    "by another function": ("g(x)", "x = [1]\nf(x)\nassert x == [1, 7]"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code"), CHANGES.values(), ids=CHANGES)
def test_what_is_changed_in_place_is_seen(change, code):
    source = f"def g(x):\n    x.append(7)\ndef f(x):\n    {change}\n    return x"
    verdict = run(source, Checks(before="import collections", names=("f",), code=code))
    assert verdict.passed, verdict.why


POINT = """
class Point:
    shared = [1]
    def __init__(self, x, y):
        self.x, self.y, self._secret = x, y, 'hidden'
    def length(self, power=1):
        return (self.x + self.y) ** power
    def __lt__(self, other):
        return self.x < other.x
    def __eq__(self, other):
        return self.x == other.x
    def __hash__(self):
        return self.x
    def __iter__(self):
        return iter([self.x, self.y])
    def __repr__(self):
        return 'point'
p, q = Point(1, 2), Point(0, 4)
"""
GUESTS = {
    "reads": ("p.x + p.y", "assert f(p) == 3"),
    "reads in a list": ("[q.x for q in p]", "assert f([p, q]) == [1, 0]"),
    "writes": ("setattr(p, 'x', 9)", "f(p)\nassert p.x == 9"),
    "writes a list": ("p.shared.append(2)", "f(p)"),
    "calls": ("p.length(power=2)", "assert f(p) == 9"),
    "sorts": ("sorted(p)", "assert [a is b for a, b in zip(f([p, q]), [q, p])] == [True, True]"),
    "compares": ("p[0] == p[1]", "assert f([p, p]) and not f([p, q])"),
    "hashes": ("len(set(p))", "assert f([p, p, q]) == 2"),
    "unpacks": ("[*p]", "assert f(p) == [1, 2]"),
    "writes as text": ("f'{p}'", "assert f(p) == 'point'"),
    "returns": ("p", "assert f(p) is p"),
    "is asked for more": ("hasattr(p, 'z')", "assert f(p) is False"),
    "makes another": ("p(5, 6).length()", "assert f(Point) == 11"),
    "calls a function of the tests": ("[p(i) for i in range(3)]", "assert f(lambda i: i * 2) == [0, 2, 4]"),
    "is called back": ("p(lambda i: i + 1)", "assert f(lambda g: g(g(1))) == 3"),
}  # fmt: skip


@pytest.mark.parametrize(("does", "code"), GUESTS.values(), ids=GUESTS)
def test_objects_of_the_tests_can_be_used(does, code):
    verdict = run(f"def f(p):\n    return {does}", Checks(names=("f",), code=POINT + code))
    assert verdict.passed, verdict.why


# What an answer must not reach through an object of the tests, asked with messages that are not written by its side.
REACHES = {
    "a private attribute": "p._wire.ask('get', p, '_secret')",
    "its class": "p._wire.ask('get', p, '__class__')",
    "the globals of a method": "p._wire.ask('get', p.length, '__globals__')",
    "the function of a method": "p._wire.ask('get', p.length, '__func__')",
    "a module": "p.module.system('true')",
    "a builtin that it holds": "p.run('1 + 1')",
    "the frame of a generator": "p._wire.ask('get', p.frames, 'gi_frame')",
    "an operation that is none": "p._wire.ask('operate', p, '__reduce__', ())",
    "a name of the tests": "p._wire.ask('name', 'Point')",
    "an attribute of a list": "p._wire.ask('get', p.shared, 'append')",
}


@pytest.mark.parametrize("reach", REACHES.values(), ids=REACHES)
def test_nothing_else_of_the_tests_can_be_reached(reach):
    code = (
        POINT
        + "import os\np.module, p.run, p.frames = os, eval, (i for i in ())\ntry:\n    f(p)\nexcept Exception as e:\n"
    )
    code += "    assert isinstance(e, (PermissionError, AttributeError)), e\nelse:\n    raise SystemExit"
    verdict = run(f"def f(p):\n    return {reach}", Checks(names=("f",), code=code))
    assert verdict.passed, verdict.why
