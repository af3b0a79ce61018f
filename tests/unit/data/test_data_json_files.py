"""JSON of any layout: read if its meaning is clear, else one line with the place."""

import codecs
import gzip
import json

import pytest

from unmask.data import encode, read
from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch

A, B, C = ({"prompt": p, "completion": c} for p, c in (("1=", "1"), ("2=", "2"), ("3=", "3")))
PRETTY = json.dumps(A, indent=2)
TOKENIZER = from_scratch(ScratchSpec(hidden_size=8, layers=1, heads=1)).tokenizer


def told(path):
    """Prompts of the rows with their places, or the reasons why they cannot be used."""
    return [(r.source.removeprefix(str(path)), r.fault.reason if r.fault else r.prompt) for r in read(path)]


def written(tmp_path, text, name="x.jsonl"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


a, b, c = json.dumps(A), json.dumps(B), json.dumps(C)
CLEAR = {
    "lines": (f"{a}\n{b}\n", [(":1", "1="), (":2", "2=")]),
    "no last line break": (f"{a}\n{b}", [(":1", "1="), (":2", "2=")]),
    "CRLF": (f"{a}\r\n\r\n{b}\r\n", [(":1", "1="), (":3", "2=")]),
    "CR": (f"{a}\r{b}\r", [(":1", "1="), (":1", "2=")]),
    "byte order mark": (f"\ufeff{a}\n\ufeff{b}\n", [(":1", "1="), (":2", "2=")]),
    "over several lines": (f"{PRETTY}\n{PRETTY}\n\n{b}\n", [(":1", "1="), (":5", "1="), (":10", "2=")]),
    "one over several lines": (PRETTY, [(":1", "1=")]),
    "several in a line": (f"{a} {b}{c}\n{a}\n", [(":1", "1="), (":1", "2="), (":1", "3="), (":2", "1=")]),
    "list": (json.dumps([A, B], indent=1), [(" row 1", "1="), (" row 2", "2=")]),
    "list in one line": (json.dumps([A, B]), [(" row 1", "1="), (" row 2", "2=")]),
    "list after a byte order mark": (f"\ufeff\n [{a}]", [(" row 1", "1=")]),
    "commas after lines": (f"{a},\n{b},\n", [(":1", "1="), (":2", "2=")]),
    "comma before a bracket": (f"{a[:-1]},}}\n{b}", [(":1", "1="), (":2", "2=")]),
    "commas in a list": (f"[{a},\n{b[:-1]} , }},\n]\n", [(" row 1", "1="), (" row 2", "2=")]),
    "comma in text": ('{"prompt": "1,}", "completion": "1,]",}\n', [(":1", "1,}")]),
    "tab in text": ('{"prompt": "1\t2", "completion": "1"}\n', [(":1", "1\t2")]),
    "NaN beside": ('{"prompt": "1", "completion": "1", "x": NaN}\n', [(":1", "1")]),
    "a key twice, the same": ('{"prompt": "1", "prompt": "1", "completion": "1"}\n', [(":1", "1")]),
    "a long number beside": (f'{{"prompt": "1", "completion": "1", "x": -{"7" * 5000}}}\n', [(":1", "1")]),
    "infinity beside": ('{"prompt": "1", "completion": "1", "x": [-Infinity, 1e999]}\n', [(":1", "1")]),
    "broken text beside": ('{"prompt": "1", "completion": "1", "x": "\\ud800"}\n', [(":1", "1")]),
    "a whole pair": ('{"prompt": "\\ud83d\\ude42", "completion": "1"}\n', [(":1", "🙂")]),
    "NUL as an escape": ('{"prompt": "1\\u00002", "completion": "1"}\n', [(":1", "1\x002")]),
}


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
@pytest.mark.parametrize(("text", "expected"), CLEAR.values(), ids=CLEAR)
def test_what_is_clear_is_read(tmp_path, text, expected, name):
    assert told(written(tmp_path, text, name)) == expected


DEEP = '{"prompt": "1", "completion": "1", "x": ' + "[" * 100_000
BROKEN = {
    "cut": (f"{a}\n{b[:-3]}", [(":1", "1="), (":2", "not JSON")]),
    "cut in the middle": (f"{a}\n{b[:-3]}\n{c}\n{a}", [(":1", "1="), (":2", "not JSON"), (":3", "3="), (":4", "1=")]),
    "cut after a comma": (f'{a}\n{{"prompt": "1",\n{c}\n', [(":1", "1="), (":2", "not JSON"), (":3", "3=")]),
    "something behind": (f"{a} and more\n{b}\n", [(":1", "not JSON"), (":2", "2=")]),
    "no JSON": (f"{a}\nhello\n{b}\n", [(":1", "1="), (":2", "not JSON"), (":3", "2=")]),
    "no object": (f"{a}\n7\n[1]\nnull\n", [(":1", "1="), *[(f":{n}", "not an object") for n in (2, 3, 4)]]),
    "lists in lines": (f"[1, 2]\n{a}\n", [(":1", "not an object"), (":2", "1=")]),
    "deep": (f"{DEEP}\n{a}\n", [(":1", "nested too deeply"), (":2", "1=")]),
    "deep and closed": (f"{DEEP}{']' * 100_000}}}\n{a}\n", [(":1", "nested too deeply"), (":2", "1=")]),
    "deep objects": ('{"x":' * 50_000 + f"\n{a}\n", [(":1", "nested too deeply"), (":2", "1=")]),
    "a key twice": (
        '{"prompt": "1", "prompt": "2", "completion": "1"}\n' + a,
        [(":1", "key given twice"), (":2", "1=")],
    ),
    "NUL": ('{"prompt": "1\0", "completion": "1"}\n' + a, [(":1", "NUL byte"), (":2", "1=")]),
    "NUL between": (f"{a}\n\0\n{b}\n", [(":1", "1="), (":2", "NUL byte"), (":3", "2=")]),
    "half a pair": ('{"prompt": "1", "completion": "\\ud83d"}\n' + a, [(":1", "broken text"), (":2", "1=")]),
    "half a pair in a turn": (
        '{"messages": [{"role": "user", "content": "\\udc00"}, {"role": "assistant", "content": "b"}]}\n' + a,
        [(":1", "broken text"), (":2", "1=")],
    ),
    "NaN": ('{"prompt": "1", "completion": NaN}\n' + a, [(":1", "no response"), (":2", "1=")]),
    "a long number": (f'{{"prompt": "1", "completion": {"7" * 5000}}}\n' + a, [(":1", "wrong type"), (":2", "1=")]),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_told_in_one_line_and_costs_only_itself(tmp_path, text, expected):
    path = written(tmp_path, text)
    assert told(path) == expected
    with pytest.raises(UserError) as error:
        encode(read(path), TOKENIZER, max_length=None)
    assert "\n" not in str(error.value)
    assert f"{path}:" in str(error.value)
    assert len(str(error.value)) < 600
    assert len(encode(read(path), TOKENIZER, max_length=None, on_bad="skip")) >= 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "expected rows, found none"),
        (f"[{a},\n{b},\n", r":3: expected a list of JSON objects, found its end \(Expecting value"),
        (f'[{a},\n{{"prompt" 1}}]', r""":2: expected a list of JSON objects, found '{"prompt" 1}]' \(Expecting ':'"""),
        ("[" * 100_000, r" row 1: expected at most some hundred brackets"),
        (codecs.BOM_UTF16_LE + a.encode("utf-16-le"), "expected UTF-8 text, found UTF-16; save it as UTF-8"),
        (codecs.BOM_UTF16_BE + "漢".encode("utf-16-be"), "expected UTF-8 text, found UTF-16; save it as UTF-8"),
        (a.encode("utf-16-le"), "expected UTF-8 text, found UTF-16; save it as UTF-8"),
        (a.encode("utf-32"), "expected UTF-8 text, found UTF-16; save it as UTF-8"),
        (
            f"{a}\n".encode() + b'{"prompt": "\xff"}',
            r":2: expected UTF-8 text, found byte 0xff; save the file as UTF-8",
        ),
        (b"PK\x03\x04" + bytes(60), "expected UTF-8 text, found a binary file"),
        (gzip.compress(a.encode()), r"expected UTF-8 text, found a gzip file; call it .*x\.jsonl\.gz$"),
    ],
    ids=[
        "nothing",
        "cut",
        "broken",
        "deep",
        "UTF-16 LE",
        "UTF-16 BE",
        "UTF-16 unmarked",
        "UTF-32",
        "latin",
        "binary",
        "gzip",
    ],
)
def test_files_that_cannot_be_read_as_a_whole(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=f"^{path}.*{says}") as error:
        read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (",prompt,completion\n0,1=,1\n1,2=,2\n", ["1=", "2="]),  # as pandas writes it
        (",,prompt,completion\na,0,1=,1\na,1,2=,2\n", ["1=", "2="]),  # an index of two levels
        ("prompt,completion,\n1=,1,\n2=,2,\n", ["1=", "2="]),
        ("prompt,completion\n1=,1,\n2=,2\n", ["1=", "2="]),
        ("\ufeffprompt,completion\r\n1=,1\r\n", ["1="]),
        ("prompt,completion\n1=,1,2\n2=,2\n", ["wrong columns", "2="]),
        ("prompt,completion\n1\0=,1\n2=,2\n", ["NUL byte", "2="]),
    ],
)
def test_csv(tmp_path, text, expected):
    assert [told for _, told in told(written(tmp_path, text, "x.csv"))] == expected


def test_parquet_with_an_index_and_with_text_that_is_none(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([{**A, "__index_level_0__": 5}]), path)
    assert read(path)[0].unread == ("__index_level_0__",)
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
    )  # fmt: skip
    pq.write_table(pa.table({"prompt": broken, "completion": ["1"]}), path)
    with pytest.raises(UserError, match=f"^{path}: expected UTF-8 text, found byte 0xff"):
        read(path)
