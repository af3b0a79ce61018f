"""``unmask analyze`` on the bundled model and on tiny ones."""

import csv
import json

import pytest

SMALL = ("--block-size", "7", "--limit", "4", "--passes", "1", "--batch-size", "16", "--ratios", "1/4,1/2,1")
MODEL = "asset:quickstart/model"


@pytest.fixture
def done(run):
    """Run a command that must succeed."""

    def done(*arguments):
        result = run("analyze", *arguments)
        assert result.exit_code == 0, result.output
        return result

    return done


def test_tables_and_pictures(done, tmp_path):
    result = done(MODEL, "sorting", *SMALL, "--bins", "3", "--out", "study")
    folder = tmp_path / "study"
    assert {path.name for path in folder.iterdir()} == {
        "learnability.csv", "tokens.csv", "heat-map.png", "heat-map.svg", "curves.png", "curves.svg",
    }  # fmt: skip
    assert all((folder / name).read_bytes()[:4] == b"\x89PNG" for name in ("heat-map.png", "curves.png"))
    with (folder / "learnability.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["bin"], row["ratio"]) for row in rows] == [(b, t) for b in "123" for t in ("0.25", "0.5", "1.0")]
    assert sum(int(row["count"]) for row in rows if row["ratio"] == "1.0") == 4 * 27
    assert "Gold confidence" in result.stdout
    assert "Learnability" in result.stdout
    assert "t=1/4" in result.stdout
    assert "tables and pictures in study: learnability.csv, tokens.csv, heat-map.png, curves.png" in result.stdout


def test_json_alone_compared_and_with_mismatch(done, tmp_path):
    compared = ("--compare", MODEL, "--mismatch", "--out", "study", "--json")
    result = done(MODEL, "sorting", *SMALL, *compared)
    assert result.stdout.count("\n") == 1
    told = json.loads(result.stdout)
    assert told["models"] == [f"{MODEL} (1)", f"{MODEL} (2)"]
    assert told["examples"] == 4
    assert [row["gold"] for row in told["changes"]] == [0.0] * 15
    assert len(told["mismatch"]) == 2 * 14
    assert all((tmp_path / name).exists() for name in told["files"])
    assert {"study/mismatch.png", "study/mismatch.svg", "study/mismatch.csv"} <= set(told["files"])


def test_nothing_is_written_unless_asked(done, tmp_path):
    result = done(MODEL, "sorting", *SMALL, "--mismatch", "--compare", MODEL)
    assert "Change of gold confidence" in result.stdout
    assert "vanilla context" in result.stdout
    assert not list(tmp_path.iterdir())


def test_files_and_chats(done, models, rows):
    talk = {"messages": [{"role": "user", "content": "What is two"}, {"role": "assistant", "content": "It is four."}]}
    path = rows(talk, talk, "not JSON")
    result = done(models.blocks, path, "--passes", "1", "--bins", "2", "--json", "--canvas", "16")
    told = json.loads(result.stdout)
    assert (told["examples"], told["block_size"], told["canvas"]) == (2, 8, 16)
    assert "note: 3 rows, 2 examples; left out:" in result.stderr
    limited = json.loads(done(models.blocks, path, "--limit", "1", "--passes", "1", "--bins", "2", "--json").stdout)
    assert limited["examples"] == 1


def test_a_task_with_fields(done):
    task = "{name: sorting, shortest: 3, longest: 4}"
    told = json.loads(done(MODEL, task, *SMALL, "--split", "test", "--bins", "1", "--json").stdout)
    assert told["examples"] == 4
    assert told["bins"][0]["bin"] == 1


BAD = {
    "ratio 0": (("sorting", "--ratios", "0,1"), "--ratios: expected numbers above 0 and up to 1, found 0; write"),
    "ratio 2": (("sorting", "--ratios", "1,2"), "--ratios: expected numbers above 0 and up to 1, found 2; write"),
    "ratio text": (("sorting", "--ratios", "half"), "--ratios: expected numbers above 0 and up to 1, found 'half'"),
    "ratio by 0": (("sorting", "--ratios", "1/0"), "--ratios: expected numbers above 0 and up to 1, found '1/0'"),
    "no ratio": (("sorting", "--ratios", ""), "--ratios: expected numbers above 0 and up to 1, found none"),
    "no bins": (("sorting", "--bins", "0"), "--bins: expected at least 1, found 0"),
    "many bins": (("sorting", "--limit", "9", "--bins", "13"), "bins: expected from 1 to 12, the different tokens of"),
    "no passes": (("sorting", "--passes", "0"), "--passes: expected at least 1, found 0"),
    "blocks": (("sorting", "--block-size", "0"), "--block-size: expected at least 1, found 0"),
    "empty": (("rows.jsonl",), "rows.jsonl: expected rows, found an empty file"),
    "missing": (("more.jsonl",), "more.jsonl: expected a data file, found none"),
    "task": (("sortin",), "DATA: expected a file, a hub data set or a task, found 'sortin'; did you mean 'sorting'?"),
    "field": (("{name: sorting, short: 1}",), "DATA.short: unknown key; did you mean 'shortest'?"),
    "out": (("sorting", "--out", "."), ".: is not empty; choose another --out"),
    "canvas": (("sorting", "--limit", "3", "--canvas", "8"), "expected at most 8 tokens after a prompt of 9, found 27"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD.values(), ids=BAD)
def test_bad_input(run, tmp_path, arguments, says):
    (tmp_path / "rows.jsonl").write_text("")
    result = run("analyze", MODEL, *arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_models_of_two_tokenizers_are_not_compared(run, models, rows):
    path = rows({"prompt": "12=", "completion": "12"})
    result = run("analyze", models.digits, path, "--compare", models.chat, "--bins", "1")
    assert result.exit_code == 2
    assert "rows.jsonl:1: expected the same answer tokens for both models" in result.stderr
