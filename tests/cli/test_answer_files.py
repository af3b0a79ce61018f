"""``unmask generate --in … --out …``."""

import json
from pathlib import Path

import pytest

OPTIONS = ("--max-new-tokens", "8", "--temperature", "1", "--seed", "2")


@pytest.fixture
def prompts():
    Path("prompts.jsonl").write_text(
        '{"prompt": "12=", "id": 1}\n{"prompt": "7", "id": 2}\n{"prompt": "345", "id": 3}\n'
    )


def test_a_file_and_a_pipe_hold_the_same_answers(run, models, prompts):
    done = run("generate", models.digits, "--in", "prompts.jsonl", "--out", "a.jsonl", *OPTIONS)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("answers             3\n")
    rows = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [1, 2, 3]
    alone = run("generate", models.digits, "--prompt", "12=", *OPTIONS)
    assert alone.stdout == rows[0]["answer"] + "\n"
    piped = run("generate", models.digits, "--in", "-", *OPTIONS, stdin=Path("prompts.jsonl").read_text())
    assert piped.stdout == Path("a.jsonl").read_text()
    again = run("generate", models.digits, "--in", "prompts.jsonl", "--out", "a.jsonl", "--resume", "--json", *OPTIONS)
    assert json.loads(again.stdout)["was_finished"] is True


def test_a_kill_in_the_middle_is_gone_on_with(run, models, prompts):
    command = ("generate", models.digits, "--in", "prompts.jsonl", "--batch-size", "1", *OPTIONS, "--out")
    assert run(*command, "whole.jsonl").exit_code == 0
    assert run(*command, "cut.jsonl").exit_code == 0
    record = json.loads(Path("cut.jsonl.run.json").read_text())
    Path("cut.jsonl.run.json").write_text(json.dumps({**record, "is_finished": False}))
    lines = Path("cut.jsonl").read_text().splitlines(keepends=True)
    Path("cut.jsonl").write_text(lines[1] + lines[0][:9])  # the shortest first, and half of a line
    assert run(*command, "cut.jsonl", "--resume").exit_code == 0
    assert Path("cut.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


BAD = {
    (
        "--in",
        "prompts.jsonl",
        "--prompt",
        "x",
    ): "--in: the prompts are in the file, found --prompt beside it; leave out",
    ("--in", "prompts.jsonl", "--live"): "found --live beside it",
    ("--prompt", "x", "--out", "a.jsonl"): "--out: is for a file of prompts; write --in prompts.jsonl beside it",
    ("--prompt", "x", "--resume"): "--resume: is for a file of prompts",
    ("--in", "prompts.jsonl", "--out", "a.csv"): "--out a.csv: expected a file that ends with .jsonl, or - for stdout",
    ("--in", "prompts.jsonl", "--out", "prompts.jsonl"): "prompts.jsonl: expected a new file, found one of that name",
    ("--in", "prompts.jsonl", "--out", "none.jsonl", "--resume"): "none.jsonl: no answers to go on with",
    ("--in", "absent.jsonl"): "absent.jsonl: expected a data file, found none",
    ("--in", "prompts.jsonl", "--column", "promt"): "no column 'promt'; did you mean 'prompt'?",
    ("--in", "prompts.jsonl", "--on-bad", "ignore"): "on_bad: expected error or skip, found 'ignore'",
    ("--in", "prompts.jsonl", "--json"): "--json: the answers themselves go to stdout",
    ("--in", "prompts.jsonl", "--answer-column", "prompt"): "has a column 'prompt' already",
}


@pytest.mark.parametrize("options", BAD, ids=" ".join)
def test_odd_options_are_told_before_a_model_is_loaded(run, prompts, options):
    found = run("generate", "no/model", *options)
    assert found.exit_code == 2
    assert BAD[options] in found.stderr
    assert found.stderr.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["prompts.jsonl"]


def test_a_skipped_row_and_an_empty_answer_are_told(run, models):
    Path("p.jsonl").write_text('{"prompt": "12="}\nnot json\n')
    options = ("--on-bad", "skip", "--max-new-tokens", "4", "--stop", "0123456789", "--out", "a.jsonl")
    found = run("generate", models.digits, "--in", "p.jsonl", *options)
    assert "note: p.jsonl:2 was skipped: expected one JSON object" in found.stderr
    assert "skipped rows        1" in found.stdout
