"""Values travel as data: they arrive as they were sent, and whatever else is sent is refused."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.tasks.sandbox import Checks, confine, run
from unmask.tasks.sandbox.values import Garbled, dumps, loads

here = pytest.mark.skipif(confine.what_is_missing() is not None, reason="no sandbox here")
IMPORTS = "import collections, datetime, decimal, fractions, math\n"
VALUES = """
None True False 0 -1 255 2**31 -2**63 2**63 2**64 -2**64 10**400 -7**4999 True+0 1.5 0.1 -0.0 1e308 5e-324 1e16 inf
-inf nan 2j complex(-0.0,inf) '' 'a' 'é\\n\\0' chr(0x1f600) '\\ud83d\\ude00' '\\ud800' ['\\udfff'] {'\\ud800':'x'} b''
b'x\\xff\\0' bytearray(b'ab') bytearray() [] [None] [1,True,1.0] [1,2**70] [2**63] [-2**63] [0.5,nan] [[],[[]],()] ()
(1,) ((),) [1,(2,[3])] set() {1,'a',None} frozenset() frozenset({1,frozenset()}) {(1,(2,)):[3]} {} {1:{2:{3:{}}}}
{None:0,'':1,0.5:2,(0,):3} {True:'t',0:'z'} {b'k':b'v'} {frozenset({1}):1} {2**99:2**98} range(0) range(3)
range(5,-2,-3) range(2**70,2**71) Counter('aab') Counter() Counter(a=-1) Counter({(1,):2.5})
OrderedDict([('b',1),('a',2)]) OrderedDict() deque() deque([1,[2]]) deque([1,2,3],2) deque([],0) defaultdict(int,a=1)
defaultdict(None,{1:2}) defaultdict(list,{'a':[1]}) defaultdict(dict) Decimal('1.10') Decimal('-0') Decimal('NaN')
Decimal('-Infinity') Decimal('1e-999') Decimal('sNaN12') Fraction(1,3) Fraction(-7**99,3**50) Fraction(0)
date(2020,2,29) date(1,1,1) datetime(2020,1,2,3,4,5,6) datetime(2020,10,25,2,fold=1) datetime(2020,1,1,tzinfo=utc)
datetime(2020,1,1,tzinfo=timezone(timedelta(hours=-3.5))) time(23,59,59,999999) time(1,fold=1) time(2,tzinfo=utc)
timedelta(-1,2,3) timedelta(999999999) timezone(timedelta(0,60),'x') int str list dict bytes Decimal datetime
[int,[float],{'t':tuple}] ('a',['b',('c',{'d'})]) [[0]*3]*3 list(range(1000)) [[i,str(i)]for(i)in(range(99))]
'x'*100000
"""
PREPARE = (
    IMPORTS
    + f"""
from collections import *
from datetime import *
from decimal import Decimal
from fractions import Fraction
from math import inf, nan
utc = timezone.utc
values = [eval(text) for text in {VALUES.split()!r}]
"""
)


@here
def test_values_cross_unchanged():
    """Both as a result and as an argument, with their types, order and signs: by what ``repr`` shows."""
    source = (
        PREPARE
        + "def f(i): return values[i]\ndef g(i, x): return i < 1000 and repr(x) == repr(values[i]), [x, repr(x)]"
    )
    code = "assert len(values) > 110\nfor i, value in enumerate(values):\n    got = f(i)\n"
    code += "    assert (type(got), repr(got)) == (type(value), repr(value)), (got, value)\n"
    code += (
        "    same, back = g(i, value)\n    assert same is True and repr(back) == repr([value, repr(value)]), value\n"
    )
    code += "assert f(values.index('a')) != 'b'\nassert g(2**99_999, 0)[0] is False"
    verdict = run(source, Checks(before=PREPARE, names=("f", "g"), code=code))
    assert verdict.passed, verdict.why


SHARED = {
    "one list twice": ("a = []; return [a, a, (a,)]", "x = f(); assert x[0] is x[1] is x[2][0]"),
    "equal lists": ("return [[], []]", "x = f(); assert x[0] is not x[1]"),
    "itself": ("a = [1]; a.append(a); return a", "x = f(); assert x[1] is x and len(x) == 2"),
    "itself in a tuple": ("a = []; t = (a, 5); a.append(t); return t", "x = f(); assert x[0][0] is x and x[1] == 5"),
    "itself in a dict": ("d = {}; d['d'] = [d]; return d", "x = f(); assert x['d'][0] is x"),
    "itself in a default": ("d = defaultdict(list); d[1] = d; return d",
                            "x = f(); assert x[1] is x and x.default_factory is list and x[2] == []"),
    "itself in a deque": ("d = deque([1], 3); d.append(d); return d", "x = f(); assert x[1] is x and x.maxlen == 3"),
    "two in each other": ("a, b = [1], [2]; a.append(b); b.append(a); return a", "x = f(); assert x[1][1] is x"),
    "an iterator twice": ("i = iter([1, 2]); return [i, i]", "x, y = f(); assert x is y and [*x] == [1, 2]"),
    "an object twice": ("o = lambda: 1; return [o, o]", "x, y = f(); assert x is y and x() == 1"),
    "another object": ("return [lambda: 1, lambda: 2]", "x, y = f(); assert x is not y and x() == 1 and y() == 2"),
    "a factory of its own": ("return defaultdict(lambda: 7, a=1)", "x = f(); assert x == {'a': 1} and x['b'] == 7"),
    "a named tuple": ("return [namedtuple('P', 'x y')(1, [2])]", "assert f() == [(1, [2])]"),
    "views": ("d = {1: [2]}; return d.keys(), list(d.values()), d.items()",
              "k, v, i = f(); assert k == {1: 0}.keys() and v == [[2]] and list(i) == [(1, [2])]"),
    "450 deep": ("a = 0\n    for _ in range(450): a = [a]\n    return a",
                 "x = f()\nfor _ in range(450): (x,) = x\nassert x == 0"),
}  # fmt: skip


@here
@pytest.mark.parametrize(("body", "code"), SHARED.values(), ids=SHARED)
def test_what_is_shared_stays_shared(body, code):
    verdict = run(f"from collections import *\ndef f():\n    {body}", Checks(names=("f",), code=code))
    assert verdict.passed, verdict.why


@here
def test_no_class_that_may_be_named_can_be_changed():
    named = (
        "complex range bytes bytearray set frozenset int float bool str tuple list dict OrderedDict defaultdict deque "
    )
    named += "Decimal date datetime time timedelta"
    source = f"{PREPARE}def f(): return [{', '.join(named.split())}, Fraction, Counter]"
    code = "*kinds, fraction, counter = f()\nassert not isinstance(fraction, type) and not isinstance(counter, type)\n"
    code += "for kind in kinds:\n    try:\n        kind.__eq__ = None\n    except TypeError:\n        continue\n"
    code += "    raise SystemExit(kind)"
    verdict = run(source, Checks(names=("f",), code=code))
    assert verdict.passed, verdict.why


def by_number(number):
    if number != 0:
        raise IndexError(number)
    return HELD


HELD = [1]
FOUND = {"yours": by_number, "mine": by_number, "argument": by_number}
parts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    | st.sampled_from(["ff", "int", "1/0", "eval", "__class__", "__eq__"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2), max_leaves=6,
)  # fmt: skip
TAGS = [
    "list", "tuple", "set", "frozenset", "dict", "OrderedDict", "Counter", "defaultdict", "deque", "bytes",
    "bytearray", "complex", "range", "Fraction", "Decimal", "date", "timedelta", "timezone", "datetime", "time",
    "int", "type", "same", "iterator", "keys", "values", "items", "yours", "mine", "argument", "fill", "eval",
    "__class__",
]  # fmt: skip
nodes = st.builds(
    lambda tag, rest: [tag, *rest],
    st.sampled_from(TAGS),
    st.lists(parts | st.lists(st.integers(0, 4), min_size=1, max_size=1), max_size=4),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(nodes | parts, max_size=6) | parts)
def test_whatever_is_sent_is_a_value_or_refused(message):
    with contextlib.suppress(Garbled):
        loads(json.dumps(message).encode(), FOUND)
    assert HELD == [1]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_whatever_bytes_are_sent_too(data):
    with contextlib.suppress(Garbled):
        loads(data, FOUND)


@pytest.mark.parametrize(
    "message",
    [
        '[["yours",0],["fill",[0],2]]', '[["argument",0],["fill",[0],2]]', '[["list",1],["fill",[0],2]]',
        '[["list"],["fill",[0],1],["fill",[0],2]]', '[["tuple"],["fill",[0],1]]', '[["same",[0]]]', '[["list",[-1]]]',
        '[["list"],["list",[true]]]', '[["list"],["list",[0.0]]]', '[["list"],["list",[0,0]]]', '[["list",{}]]',
        '[["list",[]]]', '[["yours",true]]', '[["yours",-1]]', '[["yours","0"]]', '[["yours"]]', '[["fill"]]',
        '[["range",0,1,true]]', '[["range",0,1,0]]', '[["Fraction",1,0]]', '[["Decimal",1]]', '[["complex",1,2]]',
        '[["int","g"]]', '[["type","eval"]]', '[["type","Fraction"]]', '[["dict",1]]', '[["list"],["dict",[0],1]]',
        '[["list"],["set",[0]]]', '[["deque",true]]', '[["deque",-1]]', '[["datetime",1,1,1,0,0,0,0,0,0]]',
        '[["date",0,1,1]]', '[["bytes","0"]]', '[["bytearray",5]]', '[["list"]]x', "[]", "{}", "1", "", '[[]]', '[[1]]',
        '[["defaultdict",1]]', '[["nothing"]]', '[["__import__","os"]]',
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused(message):
    with pytest.raises(Garbled):
        loads(message.encode(), FOUND)
    assert HELD == [1]


def test_a_value_that_is_too_deep_is_said_to_be():
    deep = ()
    for _ in range(10**4):
        deep = (deep,)
    with pytest.raises(ValueError, match="nested at most 500 deep, found a deeper one"):
        dumps(deep, lambda _: ("mine", 0), {})
