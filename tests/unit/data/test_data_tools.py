"""Calls, tools and their results: what is trained is what the template writes, and what it drops is told."""

import json

import pytest
from chat_templates import tokenizer_for
from tool_templates import CALLING, JOINED, SHOWING, SINGLE, THOUGHTFUL, tokenizer_of

from unmask.data import Record, encode, prompt_ids, read
from unmask.errors import UserError

ASK = {"role": "user", "content": "Is the museum open on Monday?"}
RESULT = {"role": "tool", "content": '{"open": false}', "tool_call_id": "c00000001"}
LAST = {"role": "assistant", "content": "No, it is closed."}
TOOL = {
    "type": "function",
    "function": {"name": "hours", "description": "Opening hours.", "parameters": {"day": "text"}},
}
ARGUMENTS = {"day": "Monday", "rooms": [1, 2.5], "lang": "Straße"}


def call(arguments=None, name="hours", **more):
    return {
        "id": "c00000001",
        "type": "function",
        "function": {"name": name, "arguments": arguments or ARGUMENTS},
        **more,
    }


def caller(*calls, **more):
    return {"role": "assistant", "tool_calls": list(calls), **more}


def rows(tmp_path, *found):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return read(path)


def told(tokenizer, example):
    return [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in (example.prompt, example.answer)]


@pytest.mark.parametrize("template", SHOWING)
@pytest.mark.parametrize("content", [{"content": None}, {"content": ""}, {}], ids=["null", "empty", "missing"])
def test_a_turn_that_is_only_a_call_is_trained_as_it_is_rendered(tmp_path, template, content):
    tokenizer = tokenizer_of(SHOWING[template])
    messages = [ASK, caller(call(), **content), RESULT, LAST]
    data = encode(rows(tmp_path, {"messages": messages, "tools": [TOOL]}), tokenizer, max_length=None)
    assert [e.source[-6:] for e in data] == ["turn 2", "turn 4"]
    plain = [ASK, caller(call(), content=""), RESULT, LAST]
    for example, count in zip(data, (2, 4), strict=True):
        whole = tokenizer.apply_chat_template(plain[:count], tools=[TOOL], tokenize=False)
        prompt, answer = told(tokenizer, example)
        assert whole.rstrip() == prompt + answer
        assert json.dumps(TOOL["function"]["name"]) in prompt
        assert example.prompt == prompt_ids(tokenizer, messages[: count - 1], tools=[TOOL])


@pytest.mark.parametrize("template", SHOWING)
def test_arguments_as_json_text_are_the_same_call(tmp_path, template):
    tokenizer = tokenizer_of(SHOWING[template])
    both = [{"messages": [ASK, caller(call(a))]} for a in (ARGUMENTS, json.dumps(ARGUMENTS, ensure_ascii=False))]
    first, second = encode(rows(tmp_path, *both), tokenizer, max_length=None)
    assert first.answer == second.answer
    assert '{"day": "Monday", "rooms": [1, 2.5], "lang": "Straße"}' in told(tokenizer, first)[1]


def test_text_that_the_template_writes_as_it_stands_is_not_written_anew(tmp_path):
    tokenizer = tokenizer_of(THOUGHTFUL)
    (example,) = encode(
        rows(tmp_path, {"messages": [ASK, caller(call('{"day":"Monday"}'))]}), tokenizer, max_length=None
    )
    assert '"arguments": {"day":"Monday"}}' in told(tokenizer, example)[1]


def test_a_template_that_takes_only_text_gets_text(tmp_path):
    tokenizer = tokenizer_of(JOINED)
    first, second = encode(
        rows(tmp_path, {"messages": [ASK, caller(call({"day": "Monday"})), RESULT, LAST]}), tokenizer, max_length=None
    )
    assert told(tokenizer, first)[1] == 'hours {"day": "Monday"}</s>'
    assert '<s>hours {"day": "Monday"}</s>tool: ' in told(tokenizer, second)[0]


def test_several_calls_and_text_beside_them(tmp_path):
    messages = [ASK, caller(call(), call({"town": "Bern"}, "weather"), content="One moment.")]
    (example,) = encode(rows(tmp_path, {"messages": messages}), tokenizer_of(CALLING), max_length=None)
    answer = told(tokenizer_of(CALLING), example)[1]
    assert answer.startswith('One moment.\n<call>{"name": "hours"')
    assert answer.count("<call>") == 2
    for turn, says in (
        (caller(call(), call({"town": "Bern"}, "weather")), "only one call in a turn"),
        (caller(call(), content="One moment."), "the template drops its text beside the call"),
    ):
        with pytest.raises(UserError, match=says):
            encode(rows(tmp_path, {"messages": [ASK, turn]}), tokenizer_of(SINGLE), max_length=None)


WRITTEN = {
    "bare": caller({"name": "hours", "arguments": ARGUMENTS}),
    "parameters": caller({"function": {"name": "hours", "parameters": ARGUMENTS}}),
    "JSON text": {"role": "assistant", "tool_calls": json.dumps([call()])},
    "older": {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "hours", "arguments": json.dumps(ARGUMENTS)},
    },
    "filled with nulls": caller(call(), content=None, function_call=None, name=None),
}


@pytest.mark.parametrize("turn", WRITTEN.values(), ids=WRITTEN)
def test_calls_written_in_other_ways(tmp_path, turn):
    data = encode(
        rows(tmp_path, {"messages": [ASK, turn]}, {"messages": [ASK, caller(call())]}),
        tokenizer_of(CALLING),
        max_length=None,
    )
    assert data[0].answer == data[1].answer


@pytest.mark.parametrize("speaker", ["function_call", "tool_call"])
@pytest.mark.parametrize("listener", ["observation", "function", "tool_response"])
def test_speakers_of_tool_data(tmp_path, speaker, listener):
    one = {"name": "hours", "arguments": ARGUMENTS}
    row = {
        "conversations": [
            {"from": "human", "value": ASK["content"]},
            {"from": speaker, "value": json.dumps(one)},
            {"from": listener, "value": RESULT["content"]},
            {"from": "gpt", "value": LAST["content"]},
        ],
        "tools": json.dumps([TOOL["function"]]),
        "system": "Be brief.",
    }
    messages = [{"role": "system", "content": "Be brief."}, ASK, caller(call()), RESULT, LAST]
    data = encode(
        rows(tmp_path, row, {"messages": messages, "tools": [TOOL["function"]]}), tokenizer_of(CALLING), max_length=None
    )
    assert len(data) == 4
    assert [(e.prompt, e.answer) for e in data[:2]] == [(e.prompt, e.answer) for e in data[2:]]
    row["conversations"][1]["value"] = json.dumps([one, one])
    assert (
        told(tokenizer_of(CALLING), encode(rows(tmp_path, row), tokenizer_of(CALLING), max_length=None)[0])[1].count(
            "<call>"
        )
        == 2
    )


@pytest.mark.parametrize(
    "tools", [[TOOL], json.dumps([TOOL]), TOOL, [json.dumps(TOOL)]], ids=["list", "text", "one", "texts"]
)
def test_tools_reach_the_template(tmp_path, tools):
    tokenizer = tokenizer_of(CALLING)
    for shape in ({"messages": [ASK, LAST]}, {"prompt": ASK["content"], "completion": LAST["content"]}):
        (example,) = encode(rows(tmp_path, {**shape, "tools": tools}), tokenizer, max_length=None)
        assert "<tools>\n" + json.dumps(TOOL) in told(tokenizer, example)[0]


@pytest.mark.parametrize("tools", [None, [], "", "[]", "null"])
def test_no_tools(tmp_path, tools):
    data = encode(
        rows(tmp_path, {"messages": [ASK, LAST], "tools": tools}, {"messages": [ASK, LAST]}), tokenizer_for("chatml"),
        max_length=None,
    )  # fmt: skip
    assert data[0].prompt == data[1].prompt


def test_nulls_that_fill_columnar_files_reach_no_template(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    other = caller(call({"town": "Bern"}, "weather"))
    pq.write_table(
        pa.Table.from_pylist([{"messages": [ASK, caller(call({"day": "Monday"}))]}, {"messages": [ASK, other]}]), path
    )
    data = encode(read(path), tokenizer_of(CALLING), max_length=None)
    assert told(tokenizer_of(CALLING), data[0])[1].endswith('"arguments": {"day": "Monday"}}</call><|im_end|>')
    assert told(tokenizer_of(CALLING), data[1])[1].endswith('"arguments": {"town": "Bern"}}</call><|im_end|>')


@pytest.mark.parametrize(
    ("content", "shown"), [({"open": False}, '{"open": false}'), ([1, 2], "[1, 2]"), (4.5, "4.5"), ("4", "4")]
)
def test_results_that_are_no_text_are_json(tmp_path, content, shown):
    tokenizer = tokenizer_of(CALLING)
    result = {"role": "tool", "content": content}
    *_, last = encode(rows(tmp_path, {"messages": [ASK, caller(call()), result, LAST]}), tokenizer, max_length=None)
    assert f"<result>{shown}</result>" in told(tokenizer, last)[0]


def test_what_a_template_does_not_show_is_told(tmp_path):
    for row, says in (
        ({"messages": [ASK, LAST], "tools": [TOOL]}, "expected a chat template that shows the tools of the row"),
        ({"messages": [ASK, caller(call()), RESULT, LAST]}, "shows calls of tools, found one that drops them"),
        ({"prompt": "a", "completion": "b", "tools": [TOOL]}, "shows the tools of the row"),
    ):
        with pytest.raises(UserError, match=says):
            encode(rows(tmp_path, row), tokenizer_for("chatml"), max_length=None)
    with pytest.raises(UserError, match="expected a chat template to show the tools of the row, found raw text"):
        encode(
            rows(tmp_path, {"prompt": "a", "completion": "b", "tools": [TOOL]}), tokenizer_for(None), max_length=None
        )
    with pytest.raises(UserError, match="found that it drops a developer turn"):
        encode(
            rows(tmp_path, {"messages": [{"role": "developer", "content": "Be brief."}, ASK, LAST]}),
            tokenizer_of(CALLING), max_length=None,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ({"messages": [ASK, caller({"arguments": {}})]}, 'expected calls as {"name": …'),
        (
            {"messages": [ASK, caller(call([1]))]},
            "expected an object as the arguments of 'hours' in messages[1], found a list",
        ),
        (
            {"messages": [ASK, {"role": "assistant", "tool_calls": "hours()"}]},
            "expected a list of calls in messages[1], found",
        ),
        ({"messages": [{**ASK, "tool_calls": [call()]}, LAST]}, "expected calls in assistant turns only"),
        (
            {"messages": [ASK, {"from": "function_call", "value": "hours"}]},
            "expected a call as JSON in messages[1], found",
        ),
        (
            {"messages": [ASK, {"role": "assistant", "content": None}]},
            "expected text as the content of messages[1], found null",
        ),
        ({"messages": [ASK, LAST], "tools": "a hammer"}, "expected a list of tools under 'tools', found text"),
        ({"messages": [ASK, LAST], "tools": [{"description": "x"}]}, "expected tools with a name under 'tools'"),
        (
            {"messages": [ASK, LAST], "tools": ["hours"]},
            "expected tools with a name under 'tools', found text ('hours'",
        ),
        ({"messages": [ASK, caller("hours")]}, 'expected calls as {"name": …'),
    ],
)
def test_rows_whose_tools_cannot_be_read(tmp_path, row, detail):
    (record,) = rows(tmp_path, row)
    assert record.fault.detail.startswith(detail)


def test_a_turn_that_the_template_ends_otherwise_is_told_in_one_line():
    end = "{{ '<|im_end|>\n' }}"
    assert end in CALLING
    tokenizer = tokenizer_of(CALLING.replace(end, "{{ '<end>' if m['tool_calls'] else '<|im_end|>\n' }}"))
    turn = caller(call(), content="")
    with pytest.raises(
        UserError, match=r"a turn that the template ends with '<\|im_end\|>', as others, found"
    ) as error:
        encode([Record(messages=(ASK, turn), source="x:1")], tokenizer, max_length=None)
    assert "\n" not in str(error.value)
