"""Examples that fit, rows that do not, and the account of both."""

import sys

import pytest
from chat_templates import tokenizer_for

from unmask.data import BadRow, Encoded, EncodedData, Record, Report, encode
from unmask.errors import UserError

TOKENIZER = tokenizer_for(None)
CHAT = tokenizer_for("chatml")
END = TOKENIZER.eos_token_id


def letters(n):
    """Text of n tokens: the digits never merged in the tokenizer's few lines."""
    return "9" * n


def pairs(*lengths):
    return [
        Record(prompt=letters(p), completion=letters(a), source=f"x:{i}") for i, (p, a) in enumerate(lengths, start=1)
    ]


def sizes(data):
    return [(len(e.prompt), len(e.answer)) for e in data]


def test_letters():
    assert len(TOKENIZER(letters(7))["input_ids"]) == 7


def test_examples_and_report():
    data = encode(pairs((2, 3), (5, 1)), TOKENIZER, max_length=8)
    assert sizes(data) == [(2, 4), (5, 2)]
    nine = TOKENIZER("9")["input_ids"]
    assert data[1] == Encoded(prompt=nine * 5, answer=[*nine, END], source="x:2")
    assert data.report.summary() == "2 rows, 2 examples"
    assert data.report.as_dict() == {"rows": 2, "examples": 2, "truncated": 0, "skipped": {}}


def test_encoded_data_is_a_sequence():
    data = EncodedData(report=Report(), end_id=1)
    for n in range(4):
        data.append(Encoded(prompt=[n] * n, answer=[n, 1], source=str(n)))
    assert [e.source for e in data] == ["0", "1", "2", "3"]
    assert data[-1] == Encoded(prompt=[3, 3, 3], answer=[3, 1], source="3")
    part = data[1:][::2]
    assert (len(part), part[1], part.end_id) == (2, data[3], 1)
    with pytest.raises(IndexError):
        data[4]
    with pytest.raises(IndexError):
        part[2]


@pytest.mark.parametrize(
    ("lengths", "fits"),
    [
        ((4, 3), True),  # 4 + (3 and its end) = 8
        ((4, 4), False),
        ((3, 3), True),
        ((3, 4), False),  # 3 + 5 = 8, but the second block of 4 would end at 11
        ((5, 1), False),  # no room for a block
    ],
)
def test_a_canvas_of_whole_blocks_must_fit(lengths, fits):
    data = encode(pairs((1, 1), lengths), TOKENIZER, max_length=8, block_size=4, on_bad="skip")
    assert len(data) == 1 + fits


def test_a_fixed_canvas_must_fit():
    records = pairs((4, 7), (4, 8), (5, 2))
    data = encode(records, TOKENIZER, max_length=12, canvas=8, block_size=4, on_bad="skip")
    assert sizes(data) == [(4, 8)]
    assert {r: s.count for r, s in data.report.skipped.items()} == {"answer too long": 1, "prompt too long": 1}
    assert sizes(encode(records, TOKENIZER, max_length=None, canvas=9)) == [(4, 8), (4, 9), (5, 3)]


def test_too_long_by_default_is_an_error_with_counts_place_and_remedy():
    with pytest.raises(UserError) as error:
        encode(pairs((1, 1), (1, 9), (1, 12), (20, 1)), TOKENIZER, max_length=8)
    assert str(error.value) == (
        "x:2: expected at most 7 tokens after a prompt of 1, found 10 (answer too long: 2 of 4); "
        "x:4: expected a prompt that leaves room for a block of 1 in max_length=8, found 20 tokens "
        "(prompt too long: 1 of 4); raise data.max_length or data.canvas, or write data.too_long=skip to leave them out"
    )


def test_too_long_skip_and_error():
    records = pairs((1, 1), (1, 9), (20, 1))
    assert len(encode(records, TOKENIZER, max_length=8, too_long="skip")) == 1
    with pytest.raises(UserError, match="answer too long: 1 of 3"):
        encode(records, TOKENIZER, max_length=8, on_bad="skip", too_long="error")
    with pytest.raises(UserError, match="empty response: 1 of 2"):
        encode([*pairs((1, 1)), Record(prompt="a", completion=" ")], TOKENIZER, max_length=8, too_long="skip")


def test_truncation_keeps_the_left_and_has_no_end():
    data = encode(pairs((1, 1), (1, 9)), TOKENIZER, max_length=8, too_long="truncate")
    assert sizes(data) == [(1, 2), (1, 7)]
    assert END not in data[1].answer
    assert data.report.summary() == "2 rows, 2 examples, 1 truncated (they show no end of an answer)"
    with pytest.raises(UserError, match="prompt too long"):
        encode(pairs((1, 1), (9, 1)), TOKENIZER, max_length=8, too_long="truncate")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record(prompt="a", completion=""), "expected a response, found an empty one (empty response: 1 of 2)"),
        (Record(prompt="a", completion=" \n"), "expected a response, found an empty one (empty response: 1 of 2)"),
        (
            Record(messages=({"role": "user", "content": "a"},)),
            "expected an assistant turn, found user (no response: 1 of 2)",
        ),
        (
            Record(messages=({"role": "assistant", "content": "a"},)),
            "expected a user turn before the assistant's, found none (no prompt: 1 of 2)",
        ),
        (
            Record(prompt="a", completion="b<|im_end|>c"),
            "expected text without '<|im_end|>', found it in the content (end-of-turn token in the text: 1 of 2)",
        ),
        (
            Record(prompt="a<|im_end|>", completion="b"),
            "expected text without '<|im_end|>', found it in the content (end-of-turn token in the text: 1 of 2)",
        ),
        (
            Record(prompt="a", completion="b</s>c"),
            "expected an end token only at the end of a response, found another"
            " (end-of-turn token in the text: 1 of 2)",
        ),
        (
            Record(prompt="a", completion="b<mask>c"),
            f"expected text without the mask token {CHAT.mask_token_id}, found it (mask token in the text: 1 of 2)",
        ),
        (Record(fault=BadRow("not JSON", "expected one JSON object")), "expected one JSON object (not JSON: 1 of 2)"),
    ],
)
def test_rows_that_cannot_be_used(record, message):
    bad = Record(**{**vars(record), "source": "x:2"})
    good = Record(prompt="a", completion="b", source="x:1")
    options = {"max_length": None, "mask_id": CHAT.mask_token_id}
    with pytest.raises(UserError) as error:
        encode([good, bad], CHAT, **options)
    assert str(error.value) == f"x:2: {message}; mend them, or write data.on_bad=skip to leave them out"
    data = encode([good, bad], CHAT, **options, on_bad="skip")
    assert [e.source for e in data] == ["x:1"]
    assert data.report.summary() == f"2 rows, 1 examples; left out: x:2: {message}"
    with pytest.raises(UserError, match=r"no usable row is left: mend them"):
        encode([bad, bad], CHAT, **options, on_bad="skip")


def test_one_bad_turn_costs_only_itself():
    turns = [{"role": r, "content": c} for r, c in zip(["user", "assistant"] * 2, ["a", "b", "c", " "], strict=True)]
    data = encode([Record(messages=tuple(turns), source="x:1")], CHAT, max_length=None, on_bad="skip")
    assert [e.source for e in data] == ["x:1 turn 2"]
    assert data.report.skipped["empty response"].detail == "turn 4: expected a response, found an empty one"


def test_no_rows():
    with pytest.raises(UserError, match="expected rows to train on, found none"):
        encode([], TOKENIZER, max_length=None)


def test_the_end_must_be_one_that_decoding_stops_at():
    end = CHAT.convert_tokens_to_ids("<|im_end|>")
    records = [Record(prompt="a", completion="b")]
    assert encode(records, CHAT, max_length=None, end_ids=(END, end))[0].answer[-1] == end
    with pytest.raises(
        UserError, match=rf"\(</s>\), found that .* ends them with '<\|im_end\|>'; add {end} to the model"
    ):
        encode(records, CHAT, max_length=None, end_ids=(END,))


def test_more_examples_than_one_call_tokenises(monkeypatch):
    records = pairs(*[(1, 1 + n % 5) for n in range(23)])
    whole = encode(records, TOKENIZER, max_length=None)
    monkeypatch.setattr(sys.modules["unmask.data.encode"], "CHUNK", 7)
    assert list(encode(records, TOKENIZER, max_length=None)) == list(whole)
