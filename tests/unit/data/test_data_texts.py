"""Rows that are a text: every token is an answer without a prompt, and long texts are cut."""

import json

import pytest
from chat_templates import tokenizer_for

from unmask.config.defaults import Layout
from unmask.data import Record, encode, preview, read
from unmask.errors import UserError

TOKENIZER = tokenizer_for(None)
CHAT = tokenizer_for("chatml")
END = TOKENIZER.eos_token_id


def texts(*lengths):
    """Return texts of so many tokens: nines never merge in the tokenizer's few lines."""
    return [Record(completion="9" * n, is_text=True, source=f"x:{i}") for i, n in enumerate(lengths, 1)]


def test_the_column_is_known_and_gives_way_to_a_prompt_and_an_answer(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"text": "once upon", "url": "x"}) + "\n")
    assert read(file) == [Record(completion="once upon", is_text=True, source=f"{file}:1")]
    file.write_text(json.dumps({"prompt": "1", "completion": "2", "text": "12"}) + "\n")
    assert not read(file)[0].is_text
    file.write_text(json.dumps({"content": "once"}) + "\n")
    assert read(file, columns={"text": "content"})[0].completion == "once"


def test_every_token_is_an_answer_and_nothing_is_dropped():
    data = encode(texts(5, 20, 1), TOKENIZER, max_length=8)
    assert [len(e.prompt) for e in data] == [0] * len(data)
    assert [len(e.answer) for e in data] == [6, 8, 8, 5, 2]
    assert [e.source for e in data] == ["x:1", "x:2 chunk 1", "x:2 chunk 2", "x:2 chunk 3", "x:3"]
    assert data.rows == [0, 1, 1, 1, 2]
    whole = [*TOKENIZER(texts(5, 20)[1].completion)["input_ids"], END]
    assert [token for example in data[1:4] for token in example.answer] == whole
    assert data.report.remarks() == ["3 rows of text: every token is trained, in 5 examples"]
    assert data.is_text
    assert data.report.truncated == 0


@pytest.mark.parametrize(("block_size", "longest"), [(4, 8), (3, 9), (None, 10)])
def test_chunks_are_whole_blocks(block_size, longest):
    data = encode(texts(30), TOKENIZER, max_length=10, block_size=block_size)
    assert [len(e.answer) for e in data[:-1]] == [longest] * (len(data) - 1)


def test_an_end_that_would_be_left_alone_is_left_out():
    data = encode(texts(16, 15), TOKENIZER, max_length=8)
    assert [(len(e.answer), e.answer[-1] == END) for e in data] == [(8, False), (8, False), (8, False), (8, True)]


def test_a_fixed_canvas_cuts_too_and_without_a_limit_nothing_is_cut():
    assert [len(e.answer) for e in encode(texts(30), TOKENIZER, max_length=20, canvas=16)] == [16, 15]
    assert [len(e.answer) for e in encode(texts(30), TOKENIZER, max_length=None)] == [31]


def test_texts_beside_chats():
    chat = Record(messages=({"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}), source="c:1")
    data = encode([chat, *texts(3)], CHAT, max_length=64)
    assert CHAT.decode(data[0].prompt).endswith("assistant\n")
    assert (list(data[1].prompt), len(data[1].answer), data[1].answer[-1]) == ([], 4, CHAT.eos_token_id)
    assert not data.is_text


@pytest.mark.parametrize("chat", [None, True, False])
def test_a_chat_template_does_not_touch_texts(chat):
    data = encode(texts(3), CHAT, max_length=64, chat=chat)
    assert (list(data[0].prompt), len(data[0].answer)) == ([], 4)


def test_a_rendered_chat_is_refused():
    text = "<|im_start|>user\n1<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
    with pytest.raises(UserError, match="expected text that spells no control token, .* the turns of a rendered chat"):
        encode([Record(completion=text, is_text=True, source="x:1")], CHAT, max_length=64)
    with pytest.raises(UserError, match=r"x:2: expected a response, found an empty one"):
        encode([*texts(3), Record(completion=" ", is_text=True, source="x:2")], CHAT, max_length=64)


def test_preview_shows_a_chunk_without_an_end_and_the_last_with_one():
    data = encode(texts(11), TOKENIZER, max_length=8, block_size=4)
    shown = preview(data, TOKENIZER, layout=Layout(block_size=4, max_length=8), filler_id=END).examples
    kinds = [[segment.kind for segment in each.segments] for each in shown]
    assert kinds[0] == ["response", "response"]
    assert "end" in kinds[1]
    assert "filler" not in kinds[0]
