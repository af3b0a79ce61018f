"""Columns that no one reads are counted, those that matter are named; names of speakers; parts of a content."""

import json

import pytest
from chat_templates import tokenizer_for
from tool_templates import CALLING, tokenizer_of

from unmask.data import encode, prompt_ids, read
from unmask.data.messages import ROLES
from unmask.errors import UserError

CHAT = tokenizer_for("chatml")
ASK, TELL = {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}
PAIR = {"prompt": "2+2?", "completion": "4"}


def rows(tmp_path, *found, **options):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return read(path, **options)


def report(records, tokenizer=CHAT, **options):
    return encode(records, tokenizer, max_length=None, **options).report


def test_columns_are_named_and_counted(tmp_path):
    found = report(
        rows(tmp_path, {**PAIR, "id": 1, "chosen": "x"}, {**PAIR, "id": 2, "chosen": "y", "meta": {"a": 1}}, PAIR)
    )
    assert found.unused == {"chosen": 2}
    assert found.unread == {"id": 2, "meta": 1}
    assert found.remarks() == ["columns that matter in training and are not used here: chosen (2 rows)"]
    assert found.remarks(unread=True)[1:] == ["columns that no one reads: id (2 rows), meta (1 row)"]
    assert found.as_dict()["unused"] == {"chosen": 2}


@pytest.mark.parametrize(
    "column",
    [
        "chosen",
        "rejected",
        "label",
        "images",
        "weight",
        "loss",
        "history",
        "context",
        "input",
        "reasoning",
        "completion_mask",
    ],
)
def test_columns_that_matter(tmp_path, column):
    assert report(rows(tmp_path, {**PAIR, column: [1]})).unused == {column: 1}
    for nothing in (None, "", [], {}):
        assert report(rows(tmp_path, {**PAIR, column: nothing})).unused == {}


def test_what_is_read_is_not_left_over(tmp_path):
    alpaca = {"instruction": "Add.", "input": "2, 2", "output": "4", "system": "Be brief."}
    assert report(rows(tmp_path, alpaca)).remarks(unread=True) == []
    assert report(rows(tmp_path, {**PAIR, "score": 3}, difficulty="score")).remarks(unread=True) == []


def test_system_text_that_is_not_used_is_named(tmp_path):
    turns = [{"role": "system", "content": "Be kind."}, ASK, TELL]
    assert report(rows(tmp_path, {"messages": turns, "system": "Be brief."})).unused == {"system": 1}
    assert report(rows(tmp_path, {"messages": turns, "system": "Be kind."})).unused == {}
    assert report(rows(tmp_path, {**PAIR, "system": "a", "system_prompt": "b"})).unused == {"system_prompt": 1}


def test_a_mapping_leaves_the_other_columns_over(tmp_path):
    row = {"q": "2+2?", "a": "4", "tools": [{"name": "x"}], "system": "Be brief.", "note": "y"}
    found = report(rows(tmp_path, row, columns={"prompt": "q", "completion": "a"}))
    assert (set(found.unused), set(found.unread)) == ({"tools", "system"}, {"note"})
    columns = {"prompt": "q", "completion": "a", "tools": "tools", "system": "system"}
    found = report(rows(tmp_path, row, columns=columns), tokenizer_of(CALLING))
    assert (set(found.unused), set(found.unread)) == (set(), {"note"})


def test_keys_of_turns_that_the_template_does_not_read(tmp_path):
    turns = [{**ASK, "name": "Ada", "images": ["a.png"]}, {**TELL, "id": 7, "weight": 1}]
    found = report(rows(tmp_path, {"messages": turns}))
    assert (found.unused, found.unread) == ({"images of turns": 1}, {"id of turns": 1, "name of turns": 1})
    naming = tokenizer_for("chatml")
    naming.chat_template = naming.chat_template.replace("m['role'] +", "m['role'] + m.get('name', '') +", 1)
    assert report(rows(tmp_path, {"messages": turns}), naming).unread == {"id of turns": 1}


def test_preference_data_gets_a_remedy(tmp_path):
    row = {"prompt": "2+2?", "chosen": "4", "rejected": "5"}
    with pytest.raises(UserError, match=r"write data\.columns=\{prompt: prompt, completion: chosen\}$"):
        rows(tmp_path, row)
    (record,) = rows(tmp_path, row, columns={"prompt": "prompt", "completion": "chosen"})
    assert (record.completion, record.unused) == ("4", ("rejected",))
    row = {"chosen": [ASK, TELL], "rejected": [ASK, {**TELL, "content": "5"}]}
    with pytest.raises(UserError, match=r"write data\.columns=\{messages: chosen\}$"):
        rows(tmp_path, row)
    (record,) = rows(tmp_path, row, columns={"messages": "chosen"})
    assert record.messages == (ASK, TELL)


@pytest.mark.parametrize(
    "roles",
    [
        {"Arzt": "assistant", "Kind": "user"},
        {"assistant": "Arzt", "user": ["Kind", "Eltern"]},
        {"arzt": "assistant", "KIND": "user"},
    ],
)
def test_names_of_speakers(tmp_path, roles):
    row = {"conversations": [{"from": "Kind", "value": "2+2?"}, {"from": "Arzt", "value": "4"}]}
    (record,) = rows(tmp_path, row, roles=roles)
    assert record.messages == (ASK, TELL)
    (record,) = rows(tmp_path, row)
    assert record.fault.detail.endswith("found 'Kind'; write data.roles={name: role}")


def test_a_mapping_outranks_the_usual_meaning_and_may_name_a_call(tmp_path):
    one = json.dumps({"name": "add", "arguments": {"a": 2}})
    row = {"conversations": [{"from": "bot", "value": "2+2?"}, {"from": "do", "value": one}]}
    (record,) = rows(tmp_path, row, roles={"bot": "user", "do": "function_call"})
    assert [turn["role"] for turn in record.messages] == ["user", "assistant"]
    assert record.messages[1]["tool_calls"][0]["function"]["name"] == "add"


def test_a_mapping_to_no_role(tmp_path):
    with pytest.raises(
        UserError, match=r"data\.roles\.Arzt: expected one of the roles assistant, .*found text \('asistant'"
    ):
        rows(tmp_path, {"messages": [ASK, TELL]}, roles={"Arzt": "asistant"})


@pytest.mark.parametrize("speaker", ROLES)
def test_every_speaker_is_known_in_any_case(tmp_path, speaker):
    (record,) = rows(tmp_path, {"messages": [{"role": speaker.title(), "content": '{"name": "x"}'}]})
    assert record.fault is None


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "2+"}, {"type": "text", "text": "2?"}],
        [{"type": "input_text", "text": "2+2?"}],
        [{"type": "text", "text": "2+2?", "image_url": None}],
        [{"text": "2+"}, "2?"],
    ],
)
def test_parts_of_text(tmp_path, content):
    (record,) = rows(tmp_path, {"messages": [{"role": "user", "content": content}, TELL]})
    assert record.messages == (ASK, TELL)
    assert prompt_ids(CHAT, [{"role": "user", "content": content}]) == prompt_ids(CHAT, [ASK])


@pytest.mark.parametrize(
    ("part", "detail"),
    [
        (
            {"type": "image_url", "image_url": {"url": "a.png"}},
            "found a part of type 'image_url'; only text is trained",
        ),
        ({"type": "image"}, "found a part of type 'image'; only text is trained"),
        ({"type": "text"}, "found a part that is an object with type"),
        ({"type": "text", "text": 4}, "found a part that is an object with type, text"),
        (4, "found a part that is a number (4)"),
    ],
)
def test_parts_that_are_no_text(tmp_path, part, detail):
    content = [{"type": "text", "text": "What is this?"}, part]
    (record,) = rows(tmp_path, {"messages": [{"role": "user", "content": content}, TELL]})
    assert record.fault.detail == f"expected text as the content of messages[0], {detail}"
    with pytest.raises(UserError, match="^prompt: expected text as the content of prompt"):
        prompt_ids(CHAT, [{"role": "user", "content": content}])


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        (
            "x.json",
            '{"data": [{"prompt": "2+2?", "completion": "4"}]}',
            "rows stand under 'data': write that list alone",
        ),
        ("x.json", '{"version": 2, "train": [{"a": 1}, {"b": 2}]}', "rows stand under 'train': write that list alone"),
        (
            "x.json",
            '{"talk": [{"role": "user", "content": "2+2?"}]}',
            "write data.columns={prompt: ..., completion: ...}",
        ),
        ("x.csv", "prompt;completion\na;b\n", "the columns are parted by ';': write the file with commas"),
        ("x.csv", "prompt\tcompletion\na\tb\n", r"the columns are parted by '\t': write the file with commas"),
    ],
)
def test_rows_that_stand_elsewhere_get_a_remedy(tmp_path, name, text, remedy):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read(path)
    assert remedy in str(error.value)
