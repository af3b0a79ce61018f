"""Prompts and answers by the chat template, for templates with all the habits of real ones."""

import pytest
from chat_templates import ENDS, spaced_tokenizer, tokenizer_for
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.data import Record, encode, end_of_turn, prompt_ids
from unmask.errors import UserError

TURNS = (
    {"role": "user", "content": "What is two plus two?"},
    {"role": "assistant", "content": "It is four."},
    {"role": "user", "content": "And three more?"},
    {"role": "assistant", "content": "<table> seven"},  # begins as "<think>" does
    {"role": "user", "content": "Thanks"},
)
SYSTEM = {"role": "system", "content": "Be brief."}


def encoded(messages, tokenizer, **options):
    return encode([Record(messages=tuple(messages), source="x:1")], tokenizer, max_length=None, **options)


def text(tokenizer, ids):
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def said(tokenizer, example):
    """The answer without its end, trimmed, without the empty thinking that one template writes."""
    return text(tokenizer, example.answer[:-1]).removeprefix("<think>\n\n</think>\n\n").strip()


def rendered(tokenizer, messages, opened=False):
    return tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=opened)


@pytest.mark.parametrize("template", ENDS)
def test_each_assistant_turn_is_one_example_with_one_end(template):
    tokenizer = tokenizer_for(template)
    end = tokenizer.convert_tokens_to_ids(ENDS[template])
    data = encoded(TURNS, tokenizer)
    assert [e.source for e in data] == ["x:1 turn 2", "x:1 turn 4"]
    assert [said(tokenizer, e) for e in data] == ["It is four.", "<table> seven"]
    assert all(e.answer[-1] == end and e.answer.count(end) == 1 for e in data)
    assert data.end_id == end == end_of_turn(tokenizer)


@pytest.mark.parametrize("template", ENDS)
@pytest.mark.parametrize("system", [(), (SYSTEM,)], ids=["", "system"])
def test_training_and_decoding_start_from_the_same_tokens(template, system):
    tokenizer = tokenizer_for(template)
    messages = [*system, *TURNS]
    data = encoded(messages, tokenizer)
    for example, turn in zip(data, (1, 3), strict=True):
        assert example.prompt == prompt_ids(tokenizer, messages[: len(system) + turn])


@pytest.mark.parametrize("template", [t for t in ENDS if t != "deaf"])
def test_prompts_are_those_of_the_tokenizer_itself(template):
    tokenizer = tokenizer_for(template)
    for example, turn in zip(encoded(TURNS, tokenizer), (1, 3), strict=True):
        own = tokenizer.apply_chat_template(list(TURNS[:turn]), add_generation_prompt=True, return_dict=False)
        assert example.prompt == own


@pytest.mark.parametrize("template", [t for t in ENDS if t not in ("plain", "opened")])
def test_prompt_and_answer_give_the_rendered_conversation(template):
    """Decoded side by side they are what the template writes, up to what it puts after the turn."""
    tokenizer = tokenizer_for(template)
    for example, turn in zip(encoded(TURNS, tokenizer), (1, 3), strict=True):
        ours = text(tokenizer, example.prompt) + text(tokenizer, example.answer)
        whole = rendered(tokenizer, TURNS[: turn + 1])
        assert whole.startswith(ours)
        assert whole[len(ours) :] in ("", "\n", "</s>", "<|start_header_id|>assistant<|end_header_id|>\n\n")


def test_chatml_by_hand():
    tokenizer = tokenizer_for("chatml")
    first = encoded(TURNS, tokenizer)[0]
    assert text(tokenizer, first.prompt) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWhat is two plus two?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert text(tokenizer, first.answer) == "It is four.<|im_end|>"


def test_llada_by_hand():
    """Its template opens an answer even after the last one: neither prompt nor answer may hold that opening twice."""
    tokenizer = tokenizer_for("llada")
    first = encoded(TURNS, tokenizer)[0]
    assert text(tokenizer, first.prompt) == (
        "<s><|start_header_id|>user<|end_header_id|>\n\nWhat is two plus two?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert text(tokenizer, first.answer) == "It is four.<|eot_id|>"


def test_template_that_ignores_the_generation_prompt_gets_its_header_in_the_prompt():
    tokenizer = tokenizer_for("deaf")
    first = encoded(TURNS, tokenizer)[0]
    assert text(tokenizer, first.prompt).endswith("two?<|im_end|>\n<|im_start|>assistant\n")
    assert text(tokenizer, first.answer) == "It is four.<|im_end|>"


def test_end_of_text_where_the_template_has_no_turn_end():
    tokenizer = tokenizer_for("plain")
    first = encoded(TURNS, tokenizer)[0]
    assert text(tokenizer, first.prompt) == "user: What is two plus two?\nassistant: "
    assert text(tokenizer, first.answer) == "It is four.</s>"


def test_earlier_thinking_is_dropped_as_in_decoding():
    tokenizer = tokenizer_for("thinking")
    messages = [TURNS[0], {"role": "assistant", "content": "<think>2+2</think>four"}, *TURNS[2:]]
    first, second = encoded(messages, tokenizer)
    assert text(tokenizer, first.answer) == "<think>2+2</think>four<|im_end|>"
    assert "<|im_start|>assistant\nfour<|im_end|>" in text(tokenizer, second.prompt)


def test_opened_thinking_stays_in_the_prompt_and_answers_that_begin_alike_stay_whole():
    tokenizer = tokenizer_for("opened")
    second = encoded(TURNS, tokenizer)[1]
    assert text(tokenizer, second.prompt).endswith("assistant\n<think>\n")
    assert text(tokenizer, second.answer) == "<table> seven<|im_end|>"


def test_empty_thinking_is_part_of_the_answer_where_decoding_has_to_write_it():
    tokenizer = tokenizer_for("empty")
    first = encoded(TURNS, tokenizer)[0]
    assert text(tokenizer, first.prompt).endswith("two?<|im_end|>\n<|im_start|>assistant\n")
    assert text(tokenizer, first.answer) == "<think>\n\n</think>\n\nIt is four.<|im_end|>"


def test_thinking_that_a_template_would_lose_is_reported():
    messages = [TURNS[0], {"role": "assistant", "content": "<think>2+2</think>four"}]
    with pytest.raises(
        UserError, match=r"x:1: expected the whole response, .* \(shortened by the chat template: 1 of 1\)"
    ):
        encoded(messages, tokenizer_for("opened"))


def test_system_text_goes_to_the_user_where_the_template_refuses_it():
    tokenizer = tokenizer_for("gemma")
    first = encoded([SYSTEM, *TURNS], tokenizer)[0]
    assert text(tokenizer, first.prompt) == (
        "<s><start_of_turn>user\nBe brief.\n\nWhat is two plus two?<end_of_turn>\n<start_of_turn>model\n"
    )


def test_roles_that_do_not_alternate_are_refused_in_the_words_of_the_template():
    with pytest.raises(UserError, match=r"x:1: .*found user, user: Conversation roles must alternate"):
        encoded([TURNS[0], TURNS[0], TURNS[1]], tokenizer_for("gemma"))


@pytest.mark.parametrize("template", ENDS)
def test_prompt_and_completion_are_a_user_and_an_assistant_turn(template):
    tokenizer = tokenizer_for(template)
    pair = Record(prompt=TURNS[0]["content"], completion=TURNS[1]["content"], source="x:1")
    (example,) = encode([pair], tokenizer, max_length=None)
    first = encoded(TURNS[:2], tokenizer)[0]
    assert example == first
    assert example.prompt == prompt_ids(tokenizer, TURNS[0]["content"]) == prompt_ids(tokenizer, TURNS[:1])


def test_raw_text_as_it_is():
    tokenizer = tokenizer_for("chatml")
    (example,) = encode([Record(prompt="two plus two", completion=" is four")], tokenizer, max_length=None, chat=False)
    assert (text(tokenizer, example.prompt), text(tokenizer, example.answer)) == ("two plus two", " is four</s>")
    assert prompt_ids(tokenizer, "two plus two", chat=False) == example.prompt
    assert prompt_ids(tokenizer_for(None), "two plus two") == example.prompt


def test_raw_text_keeps_the_start_token_and_drops_the_end_token_of_the_tokenizer():
    from tokenizers.processors import TemplateProcessing

    tokenizer = tokenizer_for(None)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", tokenizer.bos_token_id), ("</s>", tokenizer.eos_token_id)]
    )
    assert text(tokenizer, tokenizer("a")["input_ids"]) == "<s>a</s>"
    assert text(tokenizer, prompt_ids(tokenizer, "two")) == "<s>two"
    (example,) = encode([Record(prompt="two", completion="four")], tokenizer, max_length=None)
    assert text(tokenizer, [*example.prompt, *example.answer]) == "<s>twofour</s>"


def test_start_token_is_not_doubled_in_chat():
    from tokenizers.processors import TemplateProcessing

    tokenizer = tokenizer_for("llama3")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    assert prompt_ids(tokenizer, "two").count(tokenizer.bos_token_id) == 1


def test_answers_get_no_space_of_their_own():
    """A SentencePiece text on its own starts with a space; an answer after its prompt must not."""
    tokenizer = spaced_tokenizer()
    assert tokenizer.convert_ids_to_tokens(tokenizer("four")["input_ids"])[0].startswith("▁")
    (example,) = encode([Record(prompt="It is:\n", completion="four")], tokenizer, max_length=None)
    assert not tokenizer.convert_ids_to_tokens(example.answer)[0].startswith("▁")


def test_answer_that_merges_with_the_prompt_is_tokenised_alone():
    tokenizer = tokenizer_for(None)
    (example,) = encode([Record(prompt="What is tw", completion="o?")], tokenizer, max_length=None)
    assert example.prompt == prompt_ids(tokenizer, "What is tw")
    assert example.answer == [*tokenizer("o?")["input_ids"], tokenizer.eos_token_id]


def test_context_given_as_messages_is_no_answer():
    tokenizer = tokenizer_for("chatml")
    (example,) = encode([Record(messages=TURNS[:4], first_answer=3, source="x:1")], tokenizer, max_length=None)
    assert text(tokenizer, example.answer) == "<table> seven<|im_end|>"


def test_chat_without_a_template_names_the_remedy():
    tokenizer = tokenizer_for(None)
    for action in (
        lambda: encoded(TURNS, tokenizer),
        lambda: prompt_ids(tokenizer, list(TURNS[:1])),
        lambda: prompt_ids(tokenizer, "two", chat=True),
    ):
        with pytest.raises(
            UserError, match=r"needs a chat template, found a tokenizer without one; use .*chat=false"
        ) as e:
            action()
        assert "\n" not in str(e.value)


def test_broken_template_is_the_users_error():
    tokenizer = tokenizer_for("chatml")
    tokenizer.chat_template = "{{ raise_exception('not today') }}"
    with pytest.raises(UserError, match="not today"):
        prompt_ids(tokenizer, "two")


def test_tokenizer_without_an_end_takes_the_models():
    tokenizer = tokenizer_for(None)
    tokenizer.eos_token = None
    (example,) = encode([Record(prompt="a", completion="b")], tokenizer, max_length=None, end_ids=(7,))
    assert example.answer[-1] == 7
    with pytest.raises(UserError, match="end-of-text token"):
        encode([Record(prompt="a", completion="b")], tokenizer, max_length=None)


CONTENT = st.text(st.sampled_from("abc 12\n<>é漢🙂'"), min_size=1, max_size=12).filter(str.strip)


@settings(max_examples=100, deadline=None)
@given(template=st.sampled_from([t for t in ENDS if t != "opened"]), contents=st.lists(CONTENT, min_size=2, max_size=6))
def test_any_conversation(template, contents):
    """Whatever is said: same prompts as decoding, every turn once, one end, nothing of a later turn."""
    tokenizer = TOKENIZERS[template]
    roles = ("user", "assistant") * 3
    messages = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    data = encoded(messages, tokenizer)
    answers = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
    assert len(data) == len(answers)
    for example, index in zip(data, answers, strict=True):
        assert example.prompt == prompt_ids(tokenizer, messages[:index])
        assert example.answer.count(data.end_id) == 1
        assert said(tokenizer, example) == messages[index]["content"].strip()
        if ENDS[template] != "</s>":
            ours = text(tokenizer, example.prompt) + text(tokenizer, example.answer)
            assert rendered(tokenizer, messages[: index + 1]).startswith(ours)


TOKENIZERS = {name: tokenizer_for(name) for name in ENDS}
