"""Conversations by the chat templates of released families: what is a prompt, what is trained, what neither."""

import pytest
from family_templates import ASK, CONVERSATIONS, FAMILIES, HEADER, MORE, NO, QWEN_LINE, THINKS, YES, tokenizer_of

from unmask.data import Record, encode, end_of_turn, prompt_ids
from unmask.errors import UserError
from unmask.models.tokens import find_ends

TOKENIZERS = {family: tokenizer_of(family) for family in FAMILIES}
CASES = [(f, c) for f in FAMILIES for c, (kind, _, _) in CONVERSATIONS.items() if kind in FAMILIES[f].takes]
EMPTY = "<think>\n\n</think>\n\n"


def encoded(tokenizer, turns, tools=(), **options):
    record = Record(messages=tuple(turns), tools=tuple(tools), source="x:1")
    return encode([record], tokenizer, max_length=None, **options)


def text(tokenizer, ids):
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def rendered(tokenizer, turns, tools, opened=False):
    return tokenizer.apply_chat_template(
        list(turns), tools=list(tools) or None, tokenize=False, add_generation_prompt=opened
    )


@pytest.mark.parametrize(("family", "case"), CASES)
def test_every_turn_is_trained_up_to_its_one_end(family, case):
    """The prompt is what decoding starts from; prompt and answer are the template's own text; no later turn is in."""
    found, tokenizer = FAMILIES[family], TOKENIZERS[family]
    _, turns, tools = CONVERSATIONS[case]
    spoken = [n for n, turn in enumerate(turns) if turn["role"] == "assistant"]
    data = encoded(tokenizer, turns, tools)
    assert len(data) == len(spoken)
    end = tokenizer.convert_tokens_to_ids(found.end)
    assert data.end_id == end == end_of_turn(tokenizer)
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    for example, n in zip(data, spoken, strict=True):
        assert example.prompt == prompt_ids(tokenizer, turns[:n], tools=tools)
        assert text(tokenizer, example.prompt) == rendered(tokenizer, turns[:n], tools, opened=True)
        assert example.answer[-1] == end
        assert special.isdisjoint(example.answer[:-1])  # no second end, and nothing that opens another turn
        whole = rendered(tokenizer, turns[: n + 1], tools)
        ours = text(tokenizer, example.prompt) + text(tokenizer, example.answer[:-1])
        assert whole.startswith(ours)
        closing = found.end if found.end in whole else ""  # of BERT models, the end is no part of the template
        assert whole[len(ours) :] == closing + found.after


@pytest.mark.parametrize("family", FAMILIES)
def test_models_and_data_find_the_same_ends(family):
    tokenizer = TOKENIZERS[family]
    ends = find_ends({}, {}, tokenizer, rows=len(tokenizer))
    assert ends.eos_ids[0] == end_of_turn(tokenizer)
    if family not in ("seed", "bert"):  # they have no end of text beside the end of a turn
        assert tokenizer.convert_ids_to_tokens(ends.filler_id) == "<|endoftext|>"


LINES = {  # what stands before the first question, and what opens an answer
    "llada": ("<|startoftext|>", HEADER),
    "ling": ("<role>SYSTEM</role>detailed thinking off<|role_end|>", "<role>ASSISTANT</role>"),
    "qwen": (
        f"<|im_start|>system\n{QWEN_LINE}<|im_end|>\n",
        "<|im_start|>assistant\n",
    ),
    "dream": ("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n", "<|im_start|>assistant\n"),
    "sdar": ("", "<|im_start|>assistant\n"),
    "bert": ("", "[Answer]\n"),
}
ASKED = {
    "llada": "<|start_header_id|>user<|end_header_id|>\n\nIs 91 prime?<|eot_id|>",
    "ling": "<role>HUMAN</role>Is 91 prime?<|role_end|>",
    "bert": "[Question]\nIs 91 prime?\n[/Question]\n\n",
    **dict.fromkeys(("qwen", "dream", "sdar"), "<|im_start|>user\nIs 91 prime?<|im_end|>\n"),
}


@pytest.mark.parametrize("family", LINES)
def test_prompts_by_hand(family):
    tokenizer, (start, opening) = TOKENIZERS[family], LINES[family]
    assert text(tokenizer, prompt_ids(tokenizer, [ASK])) == start + ASKED[family] + opening
    said = (EMPTY if family == "sdar" else "") + NO["content"] + FAMILIES[family].end
    assert text(tokenizer, encoded(tokenizer, [ASK, NO])[0].answer) == said


def test_seed_coders_own_system_line_is_in_the_prompt():
    prompt = text(TOKENIZERS["seed"], prompt_ids(TOKENIZERS["seed"], [ASK]))
    assert prompt.startswith(
        "<[begin▁of▁sentence]>system\nYou are an AI programming assistant, utilizing the Seed-Coder"
    )
    assert prompt.endswith(
        "you will refuse to answer.\n\n<[end▁of▁sentence]><[begin▁of▁sentence]>user\nIs 91 prime?<[end▁of▁sentence]>"
        "<[begin▁of▁sentence]>assistant\n"
    )


def test_the_header_that_llada_always_appends_is_in_no_answer():
    """Its template opens an answer after an assistant's turn too, behind the end at which training stops."""
    tokenizer = TOKENIZERS["llada"]
    assert rendered(tokenizer, [ASK, NO], []).endswith("<|eot_id|>" + HEADER)
    for example in encoded(tokenizer, [ASK, NO, MORE, YES]):
        prompt, answer = text(tokenizer, example.prompt), text(tokenizer, example.answer)
        assert prompt.endswith("<|eot_id|>" + HEADER)
        assert answer.endswith(".<|eot_id|>")
        assert HEADER not in answer
    second = text(tokenizer, encoded(tokenizer, [ASK, NO, MORE, YES])[1].prompt)
    assert second.count(HEADER) == 2  # of the first answer, and of the one to write


def test_sdars_earlier_turns_have_no_thinking_and_the_last_has_what_its_prompt_lacks():
    tokenizer = TOKENIZERS["sdar"]
    first, second = encoded(tokenizer, [ASK, THINKS, MORE, YES])
    assert text(tokenizer, first.answer) == THINKS["content"] + "<|im_end|>"
    assert text(tokenizer, second.prompt).endswith(
        "<|im_start|>assistant\nNo.<|im_end|>\n<|im_start|>user\nAnd 97?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert text(tokenizer, second.answer) == EMPTY + "Yes.<|im_end|>"


def test_sdar_with_thinking_switched_off_in_the_template():
    """The generation prompt holds the empty section then, in training as in decoding, and answers do without."""
    tokenizer = tokenizer_of("sdar")
    tokenizer.chat_template = "{% set enable_thinking = false %}" + tokenizer.chat_template
    data = encoded(tokenizer, [ASK, NO, MORE, YES])
    for example, history, said in zip(data, ([ASK], [ASK, NO, MORE]), (NO, YES), strict=True):
        assert example.prompt == prompt_ids(tokenizer, history)
        assert text(tokenizer, example.prompt).endswith("<|im_start|>assistant\n" + EMPTY)
        assert text(tokenizer, example.answer) == said["content"] + "<|im_end|>"
    with pytest.raises(
        UserError, match=r"x:1: expected an answer without thinking, .*\(thinking behind a closed section"
    ):
        encoded(tokenizer, [ASK, THINKS])


@pytest.mark.parametrize("family", [f for f in FAMILIES if "tools" not in FAMILIES[f].takes])
def test_templates_without_tools_refuse_them(family):
    _, turns, tools = CONVERSATIONS["tools"]
    with pytest.raises(UserError, match="tools not shown: 1 of 1"):
        encoded(TOKENIZERS[family], turns, tools)


@pytest.mark.parametrize("family", [f for f in FAMILIES if "thinking" not in FAMILIES[f].takes])
def test_templates_without_reasoning_refuse_it(family):
    _, turns, tools = CONVERSATIONS["reasoning"]
    with pytest.raises(UserError, match="drops its reasoning_content"):
        encoded(TOKENIZERS[family], turns, tools)
