"""A file of prompts becomes a file of answers: the same ones whatever the batch, and after a kill."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unmask import UserError, generate, generate_file
from unmask.generate.prompt_files import read_prompts
from unmask.models import ScratchSpec, from_scratch

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from chat_templates import tokenizer_for  # noqa: E402  # a neighbour's helpers

ROWS = [
    {"prompt": "What is two and three?", "id": 7},
    {"question": "And?", "kind": "short"},
    {"messages": [{"role": "user", "content": "Hi"}]},
    {"prompt": "What is two and three?", "id": 8},
    {"prompt": "x", "system": "Be brief"},
]
DRAWN = {"max_new_tokens": 8, "block_size": 4, "temperature": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def lm():
    return from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2), tokenizer_for("chatml"))


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def read(name):
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def test_every_row_keeps_its_columns_and_gets_an_answer(lm):
    report = generate_file(lm, "prompts.jsonl", "answers.jsonl", **DRAWN)
    found = read("answers.jsonl")
    assert [{name: row[name] for name in before} for row, before in zip(found, ROWS, strict=True)] == ROWS
    assert [row["row"] for row in found] == [1, 2, 3, 4, 5]
    assert {row["finish"] for row in found} <= {"end", "length"}
    assert report.answers == report.rows == 5
    assert report.tokens == sum(row["tokens"] for row in found)
    one = generate(lm, "And?", **DRAWN)
    assert (found[1]["answer"], found[1]["tokens"]) == (one.texts[0], len(one.answers[0]))
    chat = generate(lm, [[{"role": "system", "content": "Be brief"}, {"role": "user", "content": "x"}]], **DRAWN)
    assert found[4]["answer"] == chat.texts[0]


def test_a_prompt_that_stands_there_twice_is_a_further_sample(lm):
    generate_file(lm, "prompts.jsonl", "answers.jsonl", **DRAWN)
    first, again = (read("answers.jsonl")[i]["answer"] for i in (0, 3))
    assert first == generate(lm, "What is two and three?", **DRAWN).texts[0]
    assert first != again


@pytest.mark.parametrize("size", [1, 2])
def test_no_answer_depends_on_the_batch(lm, size):
    generate_file(lm, "prompts.jsonl", "all.jsonl", n=2, batch_size=16, **DRAWN)
    generate_file(lm, "prompts.jsonl", "few.jsonl", n=2, batch_size=size, **DRAWN)
    assert Path("all.jsonl").read_bytes() == Path("few.jsonl").read_bytes()
    assert [(row["row"], row["sample"]) for row in read("all.jsonl")][:3] == [(1, 0), (1, 1), (2, 0)]


def test_a_killed_run_goes_on_to_the_same_file(lm):
    def killed(done):
        if done >= 2:
            raise KeyboardInterrupt

    generate_file(lm, "prompts.jsonl", "whole.jsonl", batch_size=2, **DRAWN)
    with pytest.raises(KeyboardInterrupt):
        generate_file(lm, "prompts.jsonl", "cut.jsonl", batch_size=2, on_batch=killed, **DRAWN)
    assert len(read("cut.jsonl")) == 2  # readable in the middle
    with Path("cut.jsonl").open("a") as file:
        file.write('{"prompt": "What is tw')  # as a kill in the middle of a write leaves it
    seen = []
    generate_file(lm, "prompts.jsonl", "cut.jsonl", batch_size=1, resume=True, on_batch=seen.append, **DRAWN)
    assert seen == [2, 3, 4, 5]
    assert Path("cut.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    again = generate_file(lm, "prompts.jsonl", "cut.jsonl", resume=True, **DRAWN)
    assert again.was_finished
    assert Path("cut.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def test_other_settings_other_prompts_and_other_lines_are_not_resumed(lm):
    generate_file(lm, "prompts.jsonl", "a.jsonl", **DRAWN)
    with pytest.raises(UserError, match=r"holds answers already; write --resume"):
        generate_file(lm, "prompts.jsonl", "a.jsonl", **DRAWN)
    with pytest.raises(UserError, match=r"a.jsonl: was begun otherwise: seed was 3 and is 4; resume with the same"):
        generate_file(lm, "prompts.jsonl", "a.jsonl", resume=True, **{**DRAWN, "seed": 4})
    with pytest.raises(UserError, match=r"decoder.proposal.temperature was 1.0 and is 0.5"):
        generate_file(lm, "prompts.jsonl", "a.jsonl", resume=True, **{**DRAWN, "temperature": 0.5})
    Path("other.jsonl").write_text('{"prompt": "another"}\n')
    with pytest.raises(UserError, match=r"begun otherwise: prompts was"):
        generate_file(lm, "other.jsonl", "a.jsonl", resume=True, **DRAWN)
    text = Path("a.jsonl").read_text()
    Path("a.jsonl").write_text(text.replace('"id": 7', '"id": 70'))
    with pytest.raises(UserError, match=r"a.jsonl:1: expected an answer to a row of prompts.jsonl, found something"):
        generate_file(lm, "prompts.jsonl", "a.jsonl", resume=True, **DRAWN)
    with pytest.raises(UserError, match=r"b.jsonl: no answers to go on with"):
        generate_file(lm, "prompts.jsonl", "b.jsonl", resume=True, **DRAWN)


def test_a_row_that_cannot_be_used_is_named_or_skipped(lm):
    bad = ['{"prompt": ""}', '{"prompt": "cut', '{"messages": [{"role": "assistant", "content": "I"}]}', '{"id": 4}']
    Path("bad.jsonl").write_text("\n".join([*bad, '{"prompt": "fine"}', '{"prompt": 3}']) + "\n")
    with pytest.raises(
        UserError, match=r"bad.jsonl:1: expected a prompt under 'prompt', found empty text \(and 4 more"
    ):
        generate_file(lm, "bad.jsonl", "a.jsonl", **DRAWN)
    assert not Path("a.jsonl").exists()
    report = generate_file(lm, "bad.jsonl", "a.jsonl", on_bad="skip", **DRAWN)
    assert [row["row"] for row in read("a.jsonl")] == [5]
    assert list(report.skipped) == [f"bad.jsonl:{i}" for i in (1, 2, 3, 4, 6)]
    assert "ends with the assistant's" in report.skipped["bad.jsonl:3"]
    assert "found a number (3)" in report.skipped["bad.jsonl:6"]
    kept = json.loads(Path("a.jsonl.run.json").read_text())
    assert (kept["is_finished"], kept["skipped"]) == (True, report.skipped)


def test_other_kinds_of_files(tmp_path):
    Path("p.txt").write_text("one\n\ntwo ___\r\n", encoding="utf-8")
    assert [(row.source, row.prompt) for row in read_prompts("p.txt").rows] == [
        ("p.txt:1", "one"),
        ("p.txt:3", "two ___"),
    ]
    Path("p.csv").write_text('id,prompt\n1,"a\nb"\n')
    assert read_prompts("p.csv").rows[0].prompt == "a\nb"
    pq.write_table(pa.table({"q": ["a", "b"], "prompt": ["c", "d"]}), "p.parquet")
    assert [row.prompt for row in read_prompts("p.parquet").rows] == ["c", "d"]
    assert [row.prompt for row in read_prompts("p.parquet", column="q").rows] == ["a", "b"]
    with pytest.raises(UserError, match="no column 'promt'; did you mean 'prompt'"):
        read_prompts("p.parquet", column="promt")
    Path("p.jsonl").write_text('{"frage": "x"}\n')
    with pytest.raises(UserError, match=r"expected a column prompt, .* found frage; write --column NAME"):
        read_prompts("p.jsonl")
    Path("p.jsonl").write_text("")
    with pytest.raises(UserError, match="found an empty file"):
        read_prompts("p.jsonl")


def test_columns_of_the_rows_are_never_replaced(lm):
    Path("gold.jsonl").write_text('{"question": "1+1", "answer": "2"}\n')
    with pytest.raises(UserError, match="has a column 'answer' already, which the answers would replace"):
        generate_file(lm, "gold.jsonl", "a.jsonl", **DRAWN)
    generate_file(lm, "gold.jsonl", "a.jsonl", answer_column="reply", **DRAWN)
    (row,) = read("a.jsonl")
    assert row["answer"] == "2"
    assert set(row) == {
        "question",
        "answer",
        "reply",
        *(f"reply_{name}" for name in ("row", "tokens", "forwards", "finish")),
    }
    generate_file(lm, "a.jsonl", "b.jsonl", answer_column="other", **DRAWN)  # a second model beside the first
    assert read("b.jsonl")[0].items() >= row.items()


def test_a_start_that_fails_leaves_no_file(lm):
    for wrong, says in (
        ({"n": 0}, "n=0: expected at least 1"),
        ({"n": 2, "temperature": 0}, "whose samples would all"),
    ):
        with pytest.raises(UserError, match=says):
            generate_file(lm, "prompts.jsonl", "a.jsonl", **{**DRAWN, **wrong})
        assert [path.name for path in Path().iterdir()] == ["prompts.jsonl"]
    with pytest.raises(UserError, match="batch_size=0: expected at least 1"):
        generate_file(lm, "prompts.jsonl", "a.jsonl", batch_size=0, **DRAWN)
    assert [path.name for path in Path().iterdir()] == ["prompts.jsonl"]
