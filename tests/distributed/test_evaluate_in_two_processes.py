"""Two processes share a task and write what one writes, also where that one was killed."""

import json

import pytest
from launch import in_two
from typer.testing import CliRunner

from unmask.cli.main import app

pytestmark = pytest.mark.slow

ASKED = (
    *("eval", "asset:quickstart/model", "--task", "{name: sorting, shortest: 3, longest: 8}", "--problems", "9"),
    *("--max-new-tokens", "28", "--block-size", "7", "--steps", "4", "--temperature", "1.0", "--samples", "2"),
    *("--batch-size", "4"),
)
COSTS = ("seconds", "decoding_seconds")


def written(folder):
    kept = json.loads((folder / "run.json").read_text())
    texts = [json.loads(line)["text"] for line in (folder / "answers.jsonl").read_text().splitlines()]
    return kept, {name: value for name, value in kept["results"].items() if name not in COSTS}, texts


def test_two_processes_give_the_answers_of_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from unmask.cli.main import app\napp()\n")
    assert CliRunner().invoke(app, [*ASKED, "--out", str(tmp_path / "one"), "--device", "cpu"]).exit_code == 0
    in_two(script, *ASKED, "--out", str(tmp_path / "two"), "--device", "cpu")
    one, two = written(tmp_path / "one"), written(tmp_path / "two")
    assert one[0]["answers"] == two[0]["answers"]
    assert one[0]["fingerprint"] == two[0]["fingerprint"]
    assert one[1:] == two[1:]
    assert [kept["hardware"]["processes"] for kept, *_ in (one, two)] == [1, 2]
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["answers.jsonl", "run.json"]

    # One process had written three answers when it was killed; two go on. Those three are marked, to be known again.
    folder = tmp_path / "one"
    done = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()[4:7]]
    (folder / "answers.jsonl").unlink()
    kept = json.loads((folder / "run.json").read_text())
    begun = {name: kept[name] for name in kept if name not in ("results", "answers", "answers_sha256")}
    (folder / "run.json").write_text(json.dumps(begun))  # as before the end
    (folder / "answers-0.jsonl").write_text("".join(json.dumps({**row, "text": "kept"}) + "\n" for row in done))
    in_two(script, *ASKED, "--out", str(folder), "--resume", "--device", "cpu")
    _, _, texts = written(folder)
    assert texts == [*one[2][:4], "kept", "kept", "kept", *one[2][7:]]


@pytest.mark.parametrize("answers", [3, 1], ids=["shared", "one idle"])
def test_two_processes_give_the_bounds_of_one(tmp_path, answers):
    script = tmp_path / "script.py"
    script.write_text("from unmask.cli.main import app\napp()\n")
    queried = ("likelihood", "asset:quickstart/model", "sorting", "--limit", str(answers), "--block-size", "7",
             "--draws", "4", "--device", "cpu", "--out")  # fmt: skip
    assert CliRunner().invoke(app, [*queried, str(tmp_path / "one.json")]).exit_code == 0
    in_two(script, *queried, str(tmp_path / "two.json"))
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert two["results"]["any_order"]["rows"] == one["results"]["any_order"]["rows"] == 4 * answers
    for order in ("any_order", "by_block"):
        for what in ("nats", "drawing_errors"):
            assert two["answers"][order][what] == pytest.approx(one["answers"][order][what], rel=1e-5)
    assert two["settings"] == one["settings"]
