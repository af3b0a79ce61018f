"""``unmask eval`` on disk: one JSON for each run, gone on with, made again; and ``unmask likelihood``."""

import json
import math
from pathlib import Path

import pytest

from unmask.evaluate.record import fingerprint

MODEL = "asset:quickstart/model"
ASKED = ("eval", MODEL, "--task", "sorting", "--problems", "6", "--max-new-tokens", "28", "--steps", "4")
SAMPLED = (*ASKED, "--block-size", "7", "--temperature", "1.0", "--samples", "2")


def test_a_run_is_written_and_made_again(run, tmp_path):
    first = json.loads(run(*SAMPLED, "--out", "first", "--json").stdout)
    assert first["problems"] == 6
    assert first["samples"] == 2
    assert list(first["pass"]) == ["1", "2"]
    kept = json.loads(Path("first/run.json").read_text())
    assert kept["results"]["accuracy"] == first["accuracy"]
    assert kept["settings"]["decoder"]["proposal"] == {"name": "gumbel", "temperature": 1.0}
    assert {"torch", "unmask"} <= kept["versions"].keys()
    assert kept["hardware"]["device"] in ("cpu", "cuda")
    assert len(Path("first/answers.jsonl").read_text().splitlines()) == 12

    again = json.loads(run("eval", "--repeat", "first/run.json", "--out", "second", "--json").stdout)
    names = ("different", "verdicts", "totals", "made_otherwise", "unknown")
    assert again["repeat"] == {"is_same": True, **{name: [] for name in names}}
    done = run("eval", "--repeat", "first")
    assert done.exit_code == 0
    assert "all 12 are the same" in done.stdout


def test_a_run_is_gone_on_with(run):
    whole = json.loads(run(*SAMPLED, "--out", "run", "--json").stdout)
    lines = Path("run/answers.jsonl").read_text().splitlines(keepends=True)
    Path("run/answers.jsonl").unlink()
    Path("run/answers-0.jsonl").write_text("".join(lines[:5]) + lines[5][:20])
    kept = json.loads(Path("run/run.json").read_text())
    begun = {name: kept[name] for name in kept if name not in ("results", "answers", "answers_sha256")}
    Path("run/run.json").write_text(json.dumps(begun))
    again = json.loads(run(*SAMPLED, "--out", "run", "--resume", "--json").stdout)
    for values in (whole, again):
        del values["seconds"], values["decoding_seconds"]
    assert again == whole
    other = run(*SAMPLED, "--seed", "3", "--out", "run", "--resume")
    assert other.exit_code == 2
    assert "seed was 0 and is 3" in other.stderr


def test_an_adapter_is_a_model_as_any_other(run, models, recipe):
    trained = recipe(model={"from_scratch": None, "path": models.digits, "lora": {"rank": 2}})
    assert run("sft", trained, "--out", "tuned").exit_code == 0
    folder = next(path.parent for path in Path("tuned").rglob("adapter_config.json"))
    queried = ("--task", "sorting", "--problems", "2", "--max-new-tokens", "8", "--steps", "1", "--json")
    assert json.loads(run("eval", folder, *queried, "--out", "adapted").stdout)["problems"] == 2
    run("eval", models.digits, *queried, "--out", "base")
    weights = [json.loads(Path(f"{name}/run.json").read_text())["settings"]["weights"] for name in ("adapted", "base")]
    assert weights[0] != weights[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--samples", "2"), "expected a temperature above 0, found 0"),
        (("--resume",), "--resume: goes on with the run in a folder; write --out FOLDER"),
        (("--out", "new", "--resume"), "no evaluation to resume here"),
        (("--out", "full"), "expected a new or empty folder, found files in it"),
        (("--out", "full/file"), "expected a folder, found a file"),
        (("--repeat", "none.json"), "--task: --repeat takes all settings from its file; leave --task out"),
    ],
)
def test_mistakes_are_told_before_decoding(run, arguments, words):
    Path("full").mkdir()
    Path("full/file").write_text("")
    done = run(*ASKED, *arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not done.stdout


def test_what_cannot_be_repeated(run, models):
    run(*ASKED, "--out", "run")
    kept = json.loads(Path("run/run.json").read_text())

    lines = Path("run/answers.jsonl").read_text()

    def repeated(**changes):
        changed = {**kept, **changes, "fingerprint": fingerprint(changes.get("settings", kept["settings"]))}
        del changed["answers_sha256"]
        Path("run/run.json").write_text(json.dumps(changed))
        Path("run/answers.jsonl").write_text(lines.replace(kept["fingerprint"], changed["fingerprint"]))
        done = run("eval", "--repeat", "run/run.json")
        assert done.exit_code == 2
        return done.stderr

    settings = kept["settings"]
    assert "would not be the same run: weights was" in repeated(settings={**settings, "weights": "x"})
    assert "problems_hash was" in repeated(settings={**settings, "problems_hash": "x"})
    assert "was written by a newer unmask (format 7" in repeated(format=7)
    assert "cannot read: no setting 'seed'" in repeated(settings={k: v for k, v in settings.items() if k != "seed"})
    unknown = {**settings, "decoder": {**settings["decoder"], "luck": 1}}
    assert "settings of unmask 0.1.0 that this one cannot read: luck: unknown key" in repeated(settings=unknown)
    assert "cannot be read" in run("eval", "--repeat", "none.json").stderr
    assert "expected a model, found none" in run("eval", "--task", "sorting").stderr
    Path("run/run.json").write_text(json.dumps(kept))
    Path("run/answers.jsonl").write_text(lines)
    assert "weights was" in run("eval", models.digits, "--repeat", "run/run.json").stderr


def test_likelihoods(run):
    queried = ("likelihood", MODEL, "sorting", "--limit", "3", "--block-size", "1", "--draws", "4")
    found = json.loads(run(*queried, "--out", "bounds.json", "--json").stdout)
    assert found["by_block"]["drawing_error"] == 0
    assert found["by_block"]["rows"] == found["tokens"]
    difference = found["any_order"]["nats_per_token"] - found["by_block"]["nats_per_token"]
    assert math.isclose(found["gap"]["nats_per_token"], difference)
    kept = json.loads(Path("bounds.json").read_text())
    assert kept["results"]["tokens"] == found["tokens"] == sum(kept["answers"]["tokens"])
    per_token = sum(kept["answers"]["by_block"]["nats"]) / found["tokens"]
    assert math.isclose(per_token, found["by_block"]["nats_per_token"])
    shown = run(*queried, "--canvas", "40").stdout
    assert "blocks of 1" in shown
    assert "nats a token" in shown
    assert "found something of that name" in run(*queried, "--out", "bounds.json").stderr


@pytest.mark.parametrize("option", ["--seed", "--temperature"])
def test_zero_is_a_setting_that_a_repeat_refuses_too(run, option):
    done = run("eval", "--repeat", "none.json", option, "0")
    assert done.exit_code == 2
    assert f"{option}: --repeat takes all settings from its file" in done.stderr
