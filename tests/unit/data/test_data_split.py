"""Rows held out by conversation: which ones, and that no conversation or prompt lies on both sides."""

import random

import pytest

from unmask.data import Encoded, EncodedData, Record
from unmask.data.report import Report
from unmask.data.split import hold_out, prompt_key, shared_prompts
from unmask.errors import UserError


def chat(first: str, *rest: str, system: str | None = None, source: str = "") -> Record:
    """Return a conversation whose turns alternate."""
    turns = [{"role": "user" if i % 2 == 0 else "assistant", "content": c} for i, c in enumerate((first, *rest))]
    front = [{"role": "system", "content": system}] if system else []
    return Record(messages=(*front, *turns), source=source)


def encoded_of(records: list[Record]) -> EncodedData:
    """Return examples as ``encode`` makes them: one for each assistant turn, whose token is its row."""
    data = EncodedData(report=Report(rows=len(records)), end_id=0)
    for row, record in enumerate(records):
        for _ in [m for m in record.messages if m["role"] == "assistant"] or ([0] if record.completion else []):
            data.append(Encoded(prompt=[row], answer=[row, 0], source=record.source), row)
    return data


def rows_of(data: EncodedData) -> set[int]:
    """Return the rows of examples, read from their tokens."""
    return {example.prompt[0] for example in data}


def many(count: int, start: int = 0) -> list[Record]:
    """Return conversations with different prompts, every second one with two answers."""
    return [chat(f"question {i}", "a", *(["more?", "b"] if i % 2 else [])) for i in range(start, start + count)]


@pytest.mark.parametrize("amount", [30, 0.3])
def test_all_examples_of_a_conversation_lie_on_one_side(amount: float) -> None:
    data = encoded_of(many(100))
    training, held = hold_out(data, many(100), amount, 0)
    assert not rows_of(training) & rows_of(held)
    assert len(training) + len(held) == len(data) == 150
    assert rows_of(training) | rows_of(held) == set(range(100))
    assert set(held.rows) == rows_of(held), "rows of a view are those of its examples"


def test_a_whole_number_is_a_number_of_conversations_and_they_are_spread() -> None:
    _, held = hold_out(encoded_of(many(100)), many(100), 20, 0)
    assert len(rows_of(held)) == 20
    assert max(rows_of(held)) >= 50, "not the first of the file"


def test_a_share_is_nearly_that_share() -> None:
    _, held = hold_out(encoded_of(many(2000)), many(2000), 0.05, 0)
    assert 70 <= len(rows_of(held)) <= 130  # 100 expected, standard deviation 9.7


def test_rows_that_are_appended_move_no_other_row() -> None:
    before, after = many(200), many(200) + many(300, start=200)
    _, held = hold_out(encoded_of(before), before, 0.1, 0)
    _, later = hold_out(encoded_of(after), after, 0.1, 0)
    assert rows_of(held) == {row for row in rows_of(later) if row < 200}


def test_the_order_of_the_file_does_not_matter() -> None:
    rows = many(60)
    mixed = random.Random(0).sample(rows, len(rows))
    for amount in (12, 0.2):
        drawn = [
            {
                records[row].messages[0]["content"]
                for row in rows_of(hold_out(encoded_of(records), records, amount, 3)[1])
            }
            for records in (rows, mixed)
        ]
        assert drawn[0] == drawn[1]


def test_another_seed_draws_others() -> None:
    drawn = [rows_of(hold_out(encoded_of(many(100)), many(100), 20, seed)[1]) for seed in (0, 1, -1)]
    assert len({frozenset(rows) for rows in drawn}) == 3


def test_rows_with_the_same_prompt_lie_on_one_side() -> None:
    rows = [chat(f"question {i // 4}", f"answer {i}") for i in range(80)]
    _, held = hold_out(encoded_of(rows), rows, 0.3, 0)
    assert held
    assert {row // 4 for row in rows_of(held)} & {row // 4 for row in set(range(80)) - rows_of(held)} == set()
    _, held = hold_out(encoded_of(rows), rows, 10, 0)
    assert len(rows_of(held)) == 8, "two prompts of four rows: never more than was asked for"


def test_a_prompt_is_known_in_every_form() -> None:
    pair = Record(prompt="2 + 2?", completion="4")
    assert prompt_key(pair) == prompt_key(chat("2 +  2?\n", "four", "sure?", "yes"))
    assert prompt_key(pair) != prompt_key(chat("2 + 2?", "4", system="Be short."))
    assert prompt_key(pair) != prompt_key(Record(prompt="2 + 3?", completion="4"))
    assert prompt_key(Record(completion="a text")) != prompt_key(Record(completion="another text"))


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        (4, "expected fewer than the 4 rows there are, found 4"),
        (9, "expected fewer than the 4 rows there are, found 9"),
        (0.0001, r"expected a part of the 4 rows \(4 different prompts\), found that 0.0001 of them is none"),
        (0.9999, ".*found that 0.9999 of them is all"),
    ],
)
def test_none_held_out_or_none_left_is_an_error(amount: float, message: str) -> None:
    with pytest.raises(UserError, match=f"data.held_out: {message}"):
        hold_out(encoded_of(many(4)), many(4), amount, 0)


def test_prompts_that_training_has_are_counted() -> None:
    assert shared_prompts(many(10), [*many(5, start=8), Record(prompt="question 3", completion="x")]) == 3
