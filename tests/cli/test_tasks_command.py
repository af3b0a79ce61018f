"""``unmask tasks``: in one process, as the command line calls it."""

import json

import pytest

from unmask.cli.main import app


def run(*args):
    with pytest.raises(SystemExit) as left:
        app([*map(str, args)])
    return left.value.code


@pytest.fixture
def rows(tmp_path):
    def write(*answers):
        path = tmp_path / "test.jsonl"
        path.write_text("\n".join(json.dumps({"problem": "?", "solution": "\\boxed{4}", "answer": a}) for a in answers))
        return f"{{name: math500, path: {path}}}"

    return write


def test_tasks_are_listed(capsys):
    assert run("tasks") == 0
    assert "sudoku" in capsys.readouterr().out
    assert run("tasks", "--json") == 0
    assert "gsm8k" in json.loads(capsys.readouterr().out)


def test_right_references(rows, capsys):
    assert run("tasks", "check", rows("4", "4.0")) == 0
    assert capsys.readouterr().out == "math500, test: 2 of 2 references are right\n"
    assert run("tasks", "check", "sorting", "--problems", 3, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "task": "sorting",
        "splits": {"test": {"problems": 3, "failed": []}, "train": {"problems": 3, "failed": []}},
    }


def test_a_wrong_reference_is_named(rows, tmp_path, capsys):
    spec = rows("4", "5")
    assert run("tasks", "check", spec, "--split", "test") == 1
    assert (
        capsys.readouterr().out == f"math500, test: 1 of 2 references are right\n  not right: {tmp_path}/test.jsonl:2\n"
    )
    assert run("tasks", "check", spec, "--json") == 1
    assert json.loads(capsys.readouterr().out)["splits"]["test"]["failed"] == [f"{tmp_path}/test.jsonl:2"]


def test_mistakes_are_one_line(rows, capsys):
    assert run("tasks", "check", "mbpp") == 2
    assert "write {name: mbpp, execute: sandbox}" in capsys.readouterr().err
    assert run("tasks", "check", "sudoko") == 2
    assert "did you mean 'sudoku'" in capsys.readouterr().err
    assert run("tasks", "check", rows("4"), "--split", "train") == 2
    assert "expected test, found 'train'" in capsys.readouterr().err


def test_problems_are_written_as_rows_to_train_on_and_to_ask(tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    assert run("tasks", "write", "{name: sorting, shortest: 3, longest: 3}", "--problems", 4, "--out", out) == 0
    assert capsys.readouterr().out == f"4 train problems of sorting in {out}\n"
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 4
    assert all(row["answer"] == row["completion"].split("|")[-1] for row in rows)
    assert all(sorted(row["prompt"].strip("=")) == sorted(row["answer"]) for row in rows)
    assert run("tasks", "write", "sorting", "--out", out) == 2
    assert "expected a new file" in capsys.readouterr().err
