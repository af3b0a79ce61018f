"""Files of every format and rows of every shape; what is wrong with them, in one line with its place."""

import csv
import gzip
import json
import subprocess
import sys
import types

import pytest

from unmask.data import Record, read
from unmask.data.schemas import SHAPES
from unmask.errors import UserError

USER, ASSISTANT = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
PAIR = {"prompt": "2+2?", "completion": "4"}


def lines(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def plain(record):
    """Leave out the place."""
    return Record(**{**vars(record), "source": ""})


SHAPED = {
    "prompt-completion": (PAIR, Record(prompt="2+2?", completion="4")),
    "prompt-response": ({"prompt": "2+2?", "response": "4"}, Record(prompt="2+2?", completion="4")),
    "question-answer": ({"question": "2+2?", "answer": "4"}, Record(prompt="2+2?", completion="4")),
    "question-response": (
        {"system_prompt": "Be brief.", "question": "2+2?", "response": "4"},
        Record(messages=({"role": "system", "content": "Be brief."}, USER, ASSISTANT)),
    ),
    "problem-solution": ({"problem": "2+2?", "solution": "4", "level": 1}, Record(prompt="2+2?", completion="4")),
    "instruction-output": ({"instruction": "2+2?", "output": "4"}, Record(prompt="2+2?", completion="4")),
    "alpaca": (
        {"instruction": "Add.", "input": "2, 2", "output": "4"},
        Record(prompt="Add.\n\n2, 2", completion="4"),
    ),
    "dolly": (
        {"instruction": "Add.", "context": "", "response": "4", "category": "sums"},
        Record(prompt="Add.", completion="4"),
    ),
    "chat": ({"messages": [USER, ASSISTANT], "prompt": "2+2?"}, Record(messages=(USER, ASSISTANT))),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}], "system": "Be brief."},
        Record(messages=({"role": "system", "content": "Be brief."}, USER, ASSISTANT)),
    ),
    "text": ({"text": "Two and two.", "url": "x"}, Record(completion="Two and two.", is_text=True)),
}


def test_every_shape_has_a_case():
    assert set(SHAPED) == set(SHAPES)


@pytest.mark.parametrize("shape", SHAPED)
def test_shapes(tmp_path, shape):
    row, expected = SHAPED[shape]
    (record,) = read(lines(tmp_path / "a.jsonl", row))
    assert plain(record) == expected
    assert record.source == f"{tmp_path}/a.jsonl:1"


def test_prompt_and_completion_as_messages(tmp_path):
    history = [USER, ASSISTANT, {"role": "user", "content": "3?"}]
    answer = {"role": "assistant", "content": "7"}
    for completion in ([answer], "7"):
        (record,) = read(lines(tmp_path / "a.jsonl", {"prompt": history, "completion": completion}))
        assert plain(record) == Record(messages=(*history, answer), first_answer=3)


def test_turns_in_other_words(tmp_path):
    row = {
        "messages": [
            {
                "role": "Human",
                "content": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}],
                "name": None,
            },
            {"role": "model", "content": "4", "reasoning_content": "two and two"},
        ]
    }
    (record,) = read(lines(tmp_path / "a.jsonl", row))
    assert record.messages == (USER, {**ASSISTANT, "reasoning_content": "two and two"})


def test_rows_of_several_shapes_in_one_file(tmp_path):
    path = lines(tmp_path / "a.jsonl", PAIR, {"messages": [USER, ASSISTANT]}, {"question": "2+2?", "answer": "4"})
    assert [bool(r.messages) for r in read(path)] == [False, True, False]


def test_column_mapping(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"q": "2+2?", "a": "4", "messages": "not these"})
    (record,) = read(path, columns={"prompt": "q", "completion": "a"})
    assert plain(record) == Record(prompt="2+2?", completion="4")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt": "q", "completoin": "a"}, r"data\.columns: unknown name 'completoin'; did you mean 'completion'\?"),
        ({"prompt": "q", "completion": "b"}, r"data\.columns\.completion: .*a\.jsonl has no column 'b'; known: a, q"),
        ({"prompt": "q"}, r"data\.columns: expected a mapping for all columns of one shape"),
    ],
)
def test_bad_column_mapping(tmp_path, columns, message):
    with pytest.raises(UserError, match=message):
        read(lines(tmp_path / "a.jsonl", {"q": "2+2?", "a": "4"}), columns=columns)


def test_jsonl_blank_lines_limit_and_byte_order_mark(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"prompt": "a", "completion": "b"}\r\n\r\n{"prompt": "c", "completion": "d"}')
    assert [(r.prompt, r.source[-2:]) for r in read(path)] == [("a", ":1"), ("c", ":3")]
    assert len(read(path, limit=1)) == 1


def test_gzip(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(PAIR).encode()))
    assert read(path)[0].completion == "4"
    path.write_bytes(gzip.compress(json.dumps(PAIR).encode())[:-9])
    with pytest.raises(UserError, match=r"a\.jsonl\.gz: expected a readable file"):
        read(path)


def test_json_list(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([PAIR, [1]], indent=2))
    good, bad = read(path)
    assert (good.completion, good.source) == ("4", f"{path} row 1")
    assert bad.fault.detail == "expected a JSON object, found a list of 1"
    lines(path, PAIR, PAIR)
    assert [r.source for r in read(path)] == [f"{path}:1", f"{path}:2"]


def test_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('prompt,completion\n"a,\nb",c\nd,e\n"x,y"\n')
    limit = csv.field_size_limit()
    first, second, bad = read(path)
    assert (first.prompt, first.source) == ("a,\nb", f"{path}:2")
    assert (second.prompt, second.source) == ("d", f"{path}:4")
    assert bad.fault.detail == "expected 2 values, found 1"
    assert csv.field_size_limit() == limit
    path.write_text("prompt,completion\n" + "a" * 200_000 + ",b\n")
    assert len(read(path)[0].prompt) == 200_000


def test_csv_with_turns_as_json_and_tsv(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("id\tmessages\n1\t" + json.dumps([USER, ASSISTANT]) + "\n")
    assert read(path)[0].messages == (USER, ASSISTANT)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([["id", "messages"], [1, json.dumps([USER, ASSISTANT])]])
    assert read(path)[0].messages == (USER, ASSISTANT)


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist([{"messages": [USER, ASSISTANT]}, {"messages": None}]), path)
    good, bad = read(path)
    assert good == Record(messages=(USER, ASSISTANT), source=f"{path} row 1")
    assert bad.fault.reason == "no response"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match=r"a\.parquet: expected a Parquet file, found: "):
        read(path)


def test_hub(monkeypatch):
    queried = []

    def load_dataset(*args, **options):
        queried.append((args, options))
        if options["split"] != "test":
            raise ValueError('Unknown split "train".\nShould be one of ["test"].')
        return [{"question": "2+2?", "answer": "4"}]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    assert read("openai/gsm8k:main", split="test")[0] == Record(
        prompt="2+2?", completion="4", source="openai/gsm8k:main test row 1"
    )
    assert queried == [(("openai/gsm8k", "main"), {"split": "test"})]
    with pytest.raises(UserError, match=r"no/such: .*split 'train', found neither: Unknown split \"train\"\.$"):
        read("no/such")


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ('{"prompt": "a"', "not JSON", "expected one JSON object, found '{\"prompt\": \"a\"' (Expecting ',' delimiter"),
        ("[1, 2]", "not an object", "expected a JSON object, found a list of 2"),
        ('"text"', "not an object", "expected a JSON object, found text ('text')"),
        ({}, "no prompt", "expected text under 'prompt', found only an empty row"),
        ({"prompt": "a"}, "no response", "expected text under 'completion', found only prompt"),
        ({"prompt": "a", "completion": None}, "no response", "expected text under 'completion', found null"),
        ({"prompt": "a", "completion": 72}, "wrong type", "expected text under 'completion', found a number (72)"),
        ({"prompt": {"a": 1}, "completion": "4"}, "wrong type", "expected text under 'prompt', found an object with a"),
        ({"messages": "hello"}, "wrong type", "expected a list of turns under 'messages', found text ('hello')"),
        ({"messages": ["hi"]}, "wrong type", "expected an object with role and content at messages[0], found text"),
        (
            {"messages": [{"role": "user", "content": None}]},
            "wrong type",
            "expected text as the content of messages[0]",
        ),
        ({"messages": [{"role": "bard2", "content": "x"}]}, "unknown role", "expected a role at messages[0] (one of"),
        ({"messages": [{"content": "x"}]}, "unknown role", "expected a role at messages[0] (one of user, human"),
    ],
)
def test_rows_that_cannot_be_used_keep_their_fault_and_place(tmp_path, row, reason, detail):
    path = lines(tmp_path / "a.jsonl", PAIR, row)
    good, bad = read(path)
    assert good.fault is None
    assert bad.fault.reason == reason
    assert bad.fault.detail.startswith(detail)
    assert bad.source == f"{path}:2"


def damaged(path, how):
    content = {
        "empty": b"",
        "blank": b"\n\n",
        "binary": b"\x7fELF\0\0\0",
        "utf-16": "{}".encode("utf-16"),
        "latin-1": b'{"prompt": "a", "completion": "b"}\n{"prompt": "caf\xe9", "completion": "b"}\n',
        "columns": b'{"body": "a", "id": 1}\n',
        "only empty objects": b"{}\n",
    }[how]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", r"a\.jsonl: expected rows, found an empty file"),
        ("blank", r"a\.jsonl: expected rows, found none"),
        ("binary", r"a\.jsonl: expected UTF-8 text, found a binary file; save it as UTF-8"),
        ("utf-16", r"a\.jsonl: expected UTF-8 text, found UTF-16; save it as UTF-8"),
        ("latin-1", r"a\.jsonl:2: expected UTF-8 text, found byte 0xe9; save the file as UTF-8"),
        (
            "columns",
            r"a\.jsonl: expected the columns of a known shape \(messages; .*\), found body, id; write data\.columns",
        ),
    ],
)
def test_damaged_files(tmp_path, how, message):
    with pytest.raises(UserError, match=message) as error:
        read(damaged(tmp_path / "a.jsonl", how))
    assert "\n" not in str(error.value)


def test_only_empty_objects(tmp_path):
    (bad,) = read(damaged(tmp_path / "a.jsonl", "only empty objects"))
    assert bad.fault.reason == "no prompt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,,c\n1,2,3\n", r"a\.csv:1: expected a header of distinct column names, found 'a', '', 'c'; write one"),
        ("2+2?,4\n3+3?,6\n", r"a\.csv: expected the columns of a known shape .*, found 2\+2\?, 4; write data\.columns"),
        ('prompt,completion\n"a"b,c\n', r"a\.csv:2: expected CSV, found: .*; quote the text"),
        ("prompt,completion\n", r"a\.csv: expected rows, found none"),
    ],
)
def test_damaged_csv(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.csv")


def test_paths_that_are_no_data_file(tmp_path):
    lines(tmp_path / "chats.jsonl", PAIR)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "bare").mkdir()
    for path, message in [
        (tmp_path, r"expected a data file, found a folder; write one of its files: chats\.jsonl"),
        (tmp_path / "bare", r"expected a data file, found a folder; it holds no file of a known kind"),
        (tmp_path / "notes.txt", r"notes\.txt: expected a file that ends with \.jsonl, .*; convert it"),
        (
            str(tmp_path / "chat.jsonl"),
            r"expected a data file, found none; check the path \(did you mean '.*chats\.jsonl'",
        ),
        ("x" * 300, r"expected a data file, found: File name too long"),
        ("./no-such-folder/a", r"expected a data file, found none; check the path$"),
    ]:
        with pytest.raises(UserError, match=message):
            read(path)


def test_importing_stays_light():
    """Readers of other formats load what they need when a file asks for it."""
    heavy = "{'datasets', 'pyarrow'}"
    code = f"import sys, unmask.data; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
