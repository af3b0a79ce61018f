"""The share of a question's n-grams that training texts contain."""

import pytest

from unmask.data.overlap import overlap
from unmask.data.records import BadRow, Record
from unmask.errors import UserError

SENTENCE = "one two three four five six seven eight nine ten eleven twelve"


def by_hand(texts: list[str], question: str, n: int) -> float:
    """Return the share by comparing lists of words, without hashes."""
    words = question.split()
    grams = {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}
    seen = {tuple(t[i : i + n]) for t in map(str.split, texts) for i in range(len(t) - n + 1)}
    return len(grams & seen) / len(grams)


def test_the_share_is_that_of_a_count_by_hand() -> None:
    texts = ["zero one two three four five six seven eight nine", "four five six seven eight nine ten eleven then"]
    found = overlap([(text, str(i)) for i, text in enumerate(texts)], [SENTENCE])
    assert found.shares == (by_hand(texts, SENTENCE, 8),) == (3 / 5,)
    assert found.rows == ("0",), "the row that holds most of them"
    assert overlap([(text, "") for text in texts], [SENTENCE], n=3).shares == (by_hand(texts, SENTENCE, 3),)


def test_case_punctuation_and_spaces_make_no_difference() -> None:
    assert overlap([(SENTENCE.upper().replace(" ", ",\n"), "a")], [SENTENCE]).shares == (1.0,)


def test_a_text_with_a_word_between_does_not_match() -> None:
    assert overlap([(SENTENCE.replace("six", "six-and-a-half"), "a")], [SENTENCE]).shares == (0.0,)


def test_a_short_question_matches_a_whole_text_only() -> None:
    found = overlap([("2 + 2?", "a:1"), ("What is 3 + 3 today?", "a:2")], ["2+2", "3 + 3", "", "?"])
    assert found.shares == (1.0, 0.0, 0.0, 0.0)
    assert found.rows == ("a:1", "", "", "")


def test_texts_without_spaces_are_compared_by_character() -> None:
    assert overlap([("请问,法国的首都是什么城市?", "a")], ["法国的首都是什么城市"]).shares == (1.0,)


def test_records_are_read_turn_by_turn() -> None:
    half, rest = SENTENCE[:33], SENTENCE[34:]
    turns = ({"role": "user", "content": half}, {"role": "assistant", "content": rest})
    records = [Record(messages=turns, source="a:1"), Record(prompt="x", completion=SENTENCE, source="a:2")]
    assert overlap(records[:1], [SENTENCE]).any == 0, "an n-gram does not reach from one turn into the next"
    found = overlap(records, [SENTENCE])
    assert (found.half, found.rows, found.texts) == (1, ("a:2",), 4)
    assert overlap([Record(fault=BadRow("no prompt", "none"), prompt=SENTENCE)], [SENTENCE]).texts == 0


def test_wording_that_most_questions_share_counts_for_none() -> None:
    wording = "please answer the following question with a single number and nothing else"
    questions = [f"{wording} q{i} a{i} b{i} c{i} d{i} e{i} f{i} g{i} h{i}" for i in range(12)]
    found = overlap([(f"{wording} what is this", "a"), (questions[3], "b")], questions)
    assert found.common == 5, "n-grams of 12 words"
    assert found.any == 1
    assert found.worst() == [(3, 1.0, "b")]


def test_the_worst_come_first_and_the_summary_names_them() -> None:
    other = "a b c d e f g h i j k l"
    found = overlap([(SENTENCE, "x.jsonl:7"), (other[:-2], "x.jsonl:9")], [other, SENTENCE, "nothing of this"])
    assert [index for index, _, _ in found.worst()] == [1, 0]
    assert found.summary() == (
        "2 of 3 questions share 8 words in a row with the training data, 2 at least half of their text; "
        "most: question 2, 100%, in x.jsonl:7"
    )
    assert found.as_dict()["worst"][0] == {"question": 1, "share": 1.0, "row": "x.jsonl:7"}
    assert overlap([], [SENTENCE]).summary().startswith("0 of 1 questions")


def test_an_n_below_one_is_refused() -> None:
    with pytest.raises(UserError, match="n=0"):
        overlap([], ["a"], n=0)
