"""Thinking, turns that are context only, and control tokens that an answer spells."""

import json

import pytest
from chat_templates import spaced_tokenizer, tokenizer_for
from tool_templates import CALLING, CLOSING, OPENING, THOUGHTFUL, VERBATIM, tokenizer_of

from unmask.data import Record, encode, prompt_ids, read
from unmask.errors import UserError

ASK = {"role": "user", "content": "Is 91 prime?"}
MORE = {"role": "user", "content": "And 97?"}


def answer(content, **more):
    return {"role": "assistant", "content": content, **more}


def encoded(tokenizer, *messages, **options):
    return encode([Record(messages=messages, source="x:1")], tokenizer, max_length=None, **options)


def rows(tmp_path, *found):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return read(path)


def told(tokenizer, example):
    return [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in (example.prompt, example.answer)]


THOUGHTS = {
    "in the text": answer("<think>\n7 times 13\n</think>\n\nNo."),
    "without lines": answer("<think>7 times 13</think>No."),
    "beside it": answer("No.", reasoning_content="7 times 13"),
    "none": answer("No."),
}


@pytest.mark.parametrize("template", [THOUGHTFUL, OPENING], ids=["thoughtful", "opening"])
@pytest.mark.parametrize("thought", THOUGHTS)
def test_prompt_and_answer_are_what_the_template_writes(template, thought):
    tokenizer, turn = tokenizer_of(template), THOUGHTS[thought]
    (example,) = encoded(tokenizer, ASK, turn)
    prompt, said = told(tokenizer, example)
    assert prompt + said == tokenizer.apply_chat_template([ASK, turn], tokenize=False).rstrip()
    assert example.prompt == prompt_ids(tokenizer, [ASK])
    assert prompt.endswith("<think>\n") == (template == OPENING)
    assert ("7 times 13" in said) == (thought != "none")


@pytest.mark.parametrize("text", ["<think>\n7 times 13\n</think>\n\nNo.", "<think>7 times 13\n</think>\n\nNo."])
def test_a_section_that_the_prompt_opens_is_not_opened_twice(text):
    tokenizer = tokenizer_of(VERBATIM)
    prompt, said = told(tokenizer, encoded(tokenizer, ASK, answer(text))[0])
    assert prompt.endswith("<|im_start|>assistant\n<think>\n")
    assert said == "7 times 13\n</think>\n\nNo.<|im_end|>"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("No.", "</think>No."),
        ("</th is no end.", "</think></th is no end."),
        ("<think>7 times 13</think>No.", "7 times 13</think>No."),
        ("<think>\n7 times 13\n</think>\n\nNo.", "7 times 13\n</think>\n\nNo."),
    ],
)
def test_a_section_that_the_template_closes_is_closed_in_the_answer(content, said):
    tokenizer = tokenizer_of(CLOSING)
    data = encoded(tokenizer, ASK, answer("Yes.", weight=0), MORE, answer(content))
    prompt, found = told(tokenizer, data[0])
    assert prompt.endswith("<|im_start|>assistant\n<think>\n")
    assert found == said + "<|im_end|>"
    assert data.report.thoughts == 0


def test_answers_that_stand_in_a_thinking_section_are_counted():
    tokenizer, thought = tokenizer_of(VERBATIM), answer("<think>\n7 times 13\n</think>\n\nNo.")
    data = encoded(tokenizer, ASK, answer("No."), MORE, thought, MORE, answer("</think>\n\nYes."))
    assert [told(tokenizer, example)[1][:8] for example in data] == ["No.<|im_", "7 times ", "</think>"]
    assert data.report.as_dict()["thoughts"] == 1
    assert any("a thinking section that 1 answer without thinking stand in" in note for note in data.report.remarks())
    assert "thoughts" not in encoded(tokenizer, ASK, thought).report.as_dict()
    assert "thoughts" not in encoded(tokenizer_for("chatml"), ASK, answer("No.")).report.as_dict()


def test_a_turn_that_cannot_follow_its_generation_prompt_is_told_in_one_line():
    tokenizer = tokenizer_of(
        THOUGHTFUL.replace("assistant\n' }}{% endif %}", "assistant\n<think>\n\n</think>\n\n' }}{% endif %}")
    )
    assert told(tokenizer, encoded(tokenizer, ASK, answer("No."))[0])[1] == "No.<|im_end|>"
    with pytest.raises(UserError, match="expected an answer without thinking, as ") as error:
        encoded(tokenizer, ASK, answer("<think>\n7 times 13\n</think>\n\nNo."))
    assert "\n" not in str(error.value)


def test_thinking_of_context_that_no_template_reads_is_named():
    messages = (ASK, answer("No.", weight=0, reasoning_content="7 times 13"), MORE, answer("Yes."))
    assert encoded(tokenizer_for("chatml"), *messages).report.unused == {"reasoning_content of turns": 1}
    assert encoded(tokenizer_of(THOUGHTFUL), *messages).report.unused == {}


def test_thinking_of_earlier_turns_is_as_in_decoding():
    tokenizer = tokenizer_of(THOUGHTFUL)
    first, second = encoded(tokenizer, ASK, answer("No.", reasoning_content="7 times 13"), MORE, answer("Yes."))
    assert "7 times 13" in told(tokenizer, first)[1]
    assert "7 times 13" not in told(tokenizer, second)[0]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_thinking_that_is_not_shown_is_told(key):
    turn = answer("No.", **{key: "7 times 13"})
    with pytest.raises(UserError, match=f"the template drops its {key}; use a template that shows it"):
        encoded(tokenizer_for("chatml"), ASK, turn)
    data = encoded(tokenizer_for("chatml"), ASK, turn, MORE, answer("Yes."), on_bad="skip")
    assert [example.source for example in data] == ["x:1 turn 4"]
    assert len(encoded(tokenizer_for("chatml"), ASK, answer("No.", **{key: " "}))) == 1


def test_text_that_a_template_drops_is_told_even_where_it_adds_as_much():
    tokenizer = tokenizer_for("chatml")
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "m['content'] +", "m['content'].replace('seven', 'another number') +"
    )
    with pytest.raises(UserError, match="shortened by the chat template"):
        encoded(tokenizer, ASK, answer("It is seven."))


SAID = {
    "weight": ({"weight": 0}, {"weight": 1}),
    "float": ({"weight": 0.0}, {"weight": 1.0}),
    "text": ({"weight": "0"}, {"weight": "1"}),
    "null": ({"weight": 0}, {"weight": None}),
    "loss": ({"loss": False}, {"loss": True}),
    "train": ({"train": "false"}, {"train": "True"}),
    "both": ({"training": False, "weight": 0}, {"training": True, "weight": 1}),
}


@pytest.mark.parametrize("keys", SAID.values(), ids=SAID)
def test_turns_that_are_context_only(tmp_path, keys):
    tokenizer = tokenizer_for("chatml")
    messages = [ASK, answer("Yes, it is.", **keys[0]), MORE, answer("Yes.", **keys[1])]
    (example,) = encode(rows(tmp_path, {"messages": messages}), tokenizer, max_length=None)
    prompt, said = told(tokenizer, example)
    assert said == "Yes.<|im_end|>"
    assert "Yes, it is.<|im_end|>" in prompt
    assert example.source.endswith("turn 4")


def test_other_ways_to_write_a_chat_with_weights(tmp_path):
    tokenizer = tokenizer_for("chatml")
    talk = [{"from": "human", "value": "a", "weight": 0}, {"from": "gpt", "value": "b", "weight": 0}]
    talk += [{"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}]
    (example,) = encode(rows(tmp_path, {"conversations": talk}), tokenizer, max_length=None)
    assert told(tokenizer, example)[1] == "d<|im_end|>"
    with pytest.raises(UserError, match=r"expected an assistant turn, found user, assistant, none of them trained"):
        encode(rows(tmp_path, {"conversations": talk[:2]}), tokenizer, max_length=None)


@pytest.mark.parametrize("weight", [0.5, 2, -1, "half", "", [0], float("inf"), 10**400, "nan"])
def test_weights_that_say_neither(tmp_path, weight):
    (record,) = rows(tmp_path, {"messages": [ASK, answer("No.", weight=weight)]})
    assert record.fault.detail.startswith(
        "expected 0 (context only) or 1 (trained) as the weight of messages[1], found"
    )
    assert "\n" not in record.fault.detail
    assert len(record.fault.detail) < 200


def test_weights_that_disagree(tmp_path):
    (record,) = rows(tmp_path, {"messages": [ASK, answer("No.", weight=0, train=True)]})
    assert (
        record.fault.detail
        == "expected one answer to whether messages[1] is trained, found that weight and train disagree"
    )


def test_a_control_token_in_an_answer_is_refused():
    tokenizer = tokenizer_for("chatml")
    spelt = "It starts with <|im_start|>user."
    for messages in (
        (ASK, answer(spelt)),
        (ASK, answer(spelt, weight=0), MORE, answer("Yes.")),  # a later prompt would hold it
        (ASK, answer("Yes.", name="<|im_start|>")),
    ):
        with pytest.raises(
            UserError, match=r"spell no control token, found '<\|im_start\|>'; write it with a space in it \(control"
        ):
            encoded(tokenizer, *messages)
    call = {"type": "function", "function": {"name": "show", "arguments": {"text": "<|im_start|>"}}}
    with pytest.raises(UserError, match="spell no control token"):
        encoded(tokenizer_of(CALLING), ASK, {"role": "assistant", "content": "", "tool_calls": [call]})
    for bare in (tokenizer_for(None), spaced_tokenizer()):
        with pytest.raises(UserError, match=r"spell no control token, found '<start_of_turn>'"):
            encode([Record(prompt="a", completion="b <start_of_turn>", source="x:1")], bare, max_length=None)


def test_near_misses_of_control_tokens_are_text():
    tokenizer = tokenizer_for("chatml")
    for near in ("<|im_start>", "< |im_start|>", "im_start", "<|IM_START|>"):
        (example,) = encoded(tokenizer, ASK, answer(near))
        assert told(tokenizer, example)[1] == near + "<|im_end|>"
        assert tokenizer.convert_tokens_to_ids("<|im_start|>") not in example.answer


def test_marks_of_thinking_are_no_control_tokens():
    tokenizer = tokenizer_of(THOUGHTFUL)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>", "<|im_end|>"]})
    (example,) = encoded(tokenizer, ASK, answer("<think>\n7 times 13\n</think>\n\nNo."))
    assert tokenizer.convert_tokens_to_ids("<think>") in example.answer


def test_the_mask_token_may_stand_in_prompts_and_not_in_answers():
    tokenizer = tokenizer_for("chatml")
    queried = {"role": "user", "content": "What is <mask>?"}
    (example,) = encoded(tokenizer, queried, answer("A hole."), mask_id=tokenizer.mask_token_id)
    assert example.prompt == prompt_ids(tokenizer, [queried])
    assert tokenizer.mask_token_id in example.prompt
    with pytest.raises(UserError, match="expected text without the mask token"):
        encoded(tokenizer, queried, answer("A <mask>."), mask_id=tokenizer.mask_token_id)
