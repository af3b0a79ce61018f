"""Records of ``unmask eval``: checked before they are repeated, compared after, owned by one process at a time."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unmask.evaluate.record import fingerprint
from unmask.evaluate.verify import hash_of

MODEL = "asset:quickstart/model"
ASKED = ("eval", MODEL, "--task", "{name: sorting, shortest: 2, longest: 4}", "--problems", "5", "--steps", "4",
         "--max-new-tokens", "28", "--block-size", "7", "--temperature", "0.9", "--samples", "2")  # fmt: skip
OWNS = (
    "import sys; from pathlib import Path; from unmask.runtime.runlock import owned\n"
    "with owned(Path(sys.argv[1]), 'x'): print(1, flush=True); sys.stdin.read()"
)


@pytest.fixture(scope="module")
def record(run, tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("record") / "run"
    assert run(*ASKED, "--out", folder).exit_code == 0
    return json.loads((folder / "run.json").read_text()), (folder / "answers.jsonl").read_text()


@pytest.fixture
def kept(record):
    """The finished run in ``first``, with what its record holds and its lines; ``write`` puts changed ones there."""

    class Kept:
        def __init__(self):
            self.run = json.loads(json.dumps(record[0]))
            self.rows = [json.loads(line) for line in record[1].splitlines()]
            Path("first").mkdir()
            self.put(record[1])

        def put(self, text):
            Path("first/run.json").write_text(json.dumps(self.run, indent=1))
            Path("first/answers.jsonl").write_text(text)

        def write(self, *, sealed=False):
            """Write run and rows; ``sealed`` brings the hashes up to date, as another machine would have."""
            from unmask.evaluate import Evaluation
            from unmask.evaluate.answers import Answer

            for row in self.rows:
                row["run"] = fingerprint(self.run["settings"]) if sealed else row["run"]
            self.put("".join(json.dumps(row) + "\n" for row in self.rows))
            if sealed:
                named = {"place": "source"}  # what files call it, and what it is
                rows = [{named.get(name, name): row[name] for name in row if name != "run"} for row in self.rows]
                answers = [Answer(**row) for row in rows]
                found = Evaluation(answers=answers, samples=2)
                times = {"seconds": 1.0}
                self.run |= {"fingerprint": fingerprint(self.run["settings"]), "answers": found.fingerprint}
                self.run |= {"results": found.summary() | times, "answers_sha256": hash_of(Path("first/answers.jsonl"))}
                Path("first/run.json").write_text(json.dumps(self.run))

    return Kept()


def settings(name, value):
    def change(kept):
        kept.run["settings"][name] = value

    return change


def results(name, value):
    def change(kept):
        kept.run["results"][name] = value

    return change


def row(number, name, value):
    def change(kept):
        kept.rows[number][name] = value(kept.rows[number][name]) if callable(value) else value

    return change


def at(key, value):
    def change(kept):
        kept.run[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (settings("seed", 1), "settings were changed after the run: expected fingerprint"),
        (settings("split", "train"), "settings were changed"),
        (settings("luck", [1, {"a": "\ud800"}]), "settings were changed"),
        (at("fingerprint", "0" * 16), "settings were changed"),
        (at("fingerprint", ["x" * 10_000]), "settings were changed"),
        (at("answers", "0" * 16), "its texts were changed after the run"),
        (row(3, "text", "9"), "its texts were changed after the run"),
        (row(0, "is_right", lambda was: not was), "results are not those of its answers: accuracy was"),
        (row(2, "tokens", lambda was: was + 1), "not those of its answers: tokens_per_forward was"),
        (row(2, "forwards", lambda was: was + 1), "not those of its answers: forwards was"),
        (row(1, "grades", {"luck": 1.0}), "not those of its answers: grades was"),
        (row(1, "prompt", "other"), "answers.jsonl: was changed after the run: expected SHA-256"),
        (row(1, "run", "0" * 16), "answers.jsonl:2: expected answers of run"),
        (row(4, "problem", 0), "answers.jsonl:5: expected sample 0 of problem 2, found sample 0 of problem 0"),
        (row(4, "sample", "0"), "answers.jsonl:5: expected an answer of an evaluation"),
        (row(4, "is_right", 1), "answers.jsonl:5: expected an answer of an evaluation"),
        (results("accuracy", 0.9999), "accuracy was 0.9999 and is"),
        (results("problems", 6), "problems was 6 and is 5"),
        (results("samples", 1), "samples was 1 and is 2"),
        (results("interval", [0.4, 0.5]), "interval was [0.4, 0.5] and is"),
        (results("empty", 3), "empty was 3 and is"),
        (at("results", 7), "expected a finished run, found one without results"),
        (lambda kept: kept.run.pop("results"), "expected a finished run, found one without results"),
        (lambda kept: kept.rows.pop(), "answers.jsonl: expected 10 lines (5 problems, 2 samples), found 9"),
        (lambda kept: kept.rows.append(kept.rows[0]), "expected 10 lines (5 problems, 2 samples), found 11"),
        (lambda kept: kept.rows.insert(0, kept.rows.pop()), "answers.jsonl:1: expected sample 0 of problem 0"),
        (at("versions", []), "expected the run.json of an evaluation, found other JSON"),
        (at("hardware", None), "expected the run.json of an evaluation, found other JSON"),
    ],
)
def test_a_changed_record_is_refused_before_anything_is_loaded(refused, kept, monkeypatch, change, words):
    monkeypatch.setattr("unmask.cli.opening.open_model", lambda *_, **__: pytest.fail("a model was loaded"))
    change(kept)
    kept.write()
    (line,) = refused("eval", "--repeat", "first/run.json", says=words)
    assert "first" in line
    assert len(line) < 1000
    refused("eval", "--repeat", "first", says=words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found no JSON"),
        ('{"format": 1, "settings": ', "found no JSON"),
        ("[" * 100_000, "found no JSON"),
        ('{"format": 1, "versions": {}, "hardware": {}, "settings": ' + '{"a": ' * 80 + "1" + "}" * 81, "other JSON"),
        ("null", "found other JSON"),
        (b"\xff\xfe{}", "found no JSON"),
    ],
)
@pytest.mark.parametrize("how", [("eval", "--repeat", "first"), (*ASKED, "--out", "first", "--resume")])
def test_a_damaged_record_is_one_line(refused, kept, text, words, how):
    Path("first/run.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(*how, says=words)


def test_missing_answers_are_told(refused, kept):
    Path("first/answers.jsonl").unlink()
    refused("eval", "--repeat", "first", says="answers.jsonl: expected the answers of first, found no file")


def test_texts_that_came_out_otherwise_exit_with_1(run, kept):
    kept.rows[3]["text"] = "other"
    kept.run["versions"]["torch"] = "0.1"
    kept.write(sealed=True)
    done = run("eval", "--repeat", "first")
    assert done.exit_code == 1
    assert f"not the same: 1 problems, the first is {kept.rows[3]['place']}" in done.stdout
    assert 'torch was "0.1" and is' in done.stdout
    done = run("eval", "--repeat", "first", "--json")
    assert done.exit_code == 1
    repeat = json.loads(done.stdout)["repeat"]
    assert (repeat["is_same"], repeat["different"], repeat["verdicts"]) == (False, [kept.rows[3]["place"]], [])


def test_verdicts_and_totals_that_came_out_otherwise_exit_with_1(run, kept):
    kept.rows[1]["is_right"] = not kept.rows[1]["is_right"]
    kept.rows[6]["forwards"] += 7
    kept.write(sealed=True)
    done = run("eval", "--repeat", "first", "--json")
    assert done.exit_code == 1
    repeat = json.loads(done.stdout)["repeat"]
    assert (repeat["is_same"], repeat["different"]) == (False, [])
    assert repeat["verdicts"] == [kept.rows[1]["place"]]
    assert {phrase.split(" ")[0] for phrase in repeat["totals"]} >= {"accuracy", "forwards", "tokens_per_forward"}


def test_a_record_of_before_is_read_and_what_it_lacks_is_unknown(run, kept):
    del kept.run["answers_sha256"], kept.run["results"]["interval_method"]
    kept.run["results"]["interval"] = [0.0, 0.0]
    for of_k in kept.run["results"]["pass"].values():
        of_k["interval"] = [1.0, 1.0]
    kept.write()
    done = run("eval", "--repeat", "first", "--json")
    assert done.exit_code == 0, done.output
    repeat = json.loads(done.stdout)["repeat"]
    assert repeat["is_same"]
    assert repeat["unknown"] == ["hash of the answers' file", "intervals by the method of this version"]
    kept.run["results"]["pass"]["2"]["rate"] = 0.123
    kept.write()
    assert "pass.2 was 0.123 and is" in run("eval", "--repeat", "first").stderr


def test_a_finished_run_is_shown_and_not_touched(run, kept):
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path("first").iterdir()}
    queried = (*ASKED, "--out", "first", "--resume")
    done = run(*queried)
    assert done.exit_code == 0, done.output
    assert "was finished before; nothing is changed" in done.stdout
    found = json.loads(run(*queried, "--json").stdout)
    assert found["was_finished"]
    assert {name: found[name] for name in kept.run["results"]} == kept.run["results"]
    other = run(*queried, "--seed", "4")
    assert (other.exit_code, "seed was 0 and is 4" in other.stderr) == (2, True)
    kept.rows[0]["text"] = "changed"
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path("first").iterdir()} == before
    kept.write()
    assert "its texts were changed after the run" in run(*queried).stderr


@pytest.mark.parametrize("lost", ["results", "answers.jsonl"])
def test_a_finished_run_that_lost_something_is_not_made_anew(run, kept, lost):
    if lost == "results":
        Path("first/run.json").write_text(json.dumps({n: v for n, v in kept.run.items() if n != "results"}))
    else:
        Path("first/answers.jsonl").unlink()
    done = run(*ASKED, "--out", "first", "--resume")
    assert done.exit_code == 2
    assert f"a finished evaluation without {'its ' * (lost != 'results')}{lost}; restore it" in done.stderr


@pytest.mark.parametrize("resume", [False, True], ids=["fresh", "resumed"])
def test_a_second_owner_is_refused(run, kept, resume):
    if resume:
        Path("first/answers.jsonl").rename("first/answers-0.jsonl")  # as before the end
        begun = {name: kept.run[name] for name in kept.run if name not in ("results", "answers", "answers_sha256")}
        Path("first/run.json").write_text(json.dumps(begun))
    folder = Path("first" if resume else "new")
    with subprocess.Popen(
        [sys.executable, "-c", OWNS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        other.stdout.readline()
        before = {path: path.read_bytes() for path in folder.iterdir()}
        done = run(*ASKED, "--out", folder, *(["--resume"] if resume else []))
        assert done.exit_code == 2
        assert f"{folder}: in use by process {other.pid} on " in done.stderr
        assert {path: path.read_bytes() for path in folder.iterdir()} == before
        other.stdin.close()
    after = run(*ASKED, "--out", folder, *(["--resume"] if resume else []))
    assert after.exit_code == 0, after.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["answers.jsonl", "run.json"]


def test_two_starters_one_run(tmp_path):
    """Both at once, as processes: one run, one refusal."""
    command = [sys.executable, "-m", "unmask.cli.main", *ASKED, "--out", str(tmp_path / "run"), "--device", "cpu"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate()[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 2], told
    refusal = told[codes.index(2)]
    assert "in use by process" in refusal or "holds another evaluation" in refusal
    assert len(refusal.splitlines()) == 1
    assert len((tmp_path / "run/answers.jsonl").read_text().splitlines()) == 10


def test_a_start_that_failed_claims_no_folder(run, tmp_path):
    for wrong in (("--temperature", "0"), ("--resume",)):
        assert run(*ASKED, *wrong, "--out", "new/deep").exit_code == 2
        assert not Path("new").exists(), wrong
    assert run("eval", "nowhere", *ASKED[2:], "--out", "new").exit_code == 2
    assert not Path("new").exists()


def test_the_folder_is_owned_while_the_model_answers(run, monkeypatch):
    seen = []

    def look(*_, **__):
        seen.append(json.loads(Path("new/.lock.json").read_text())["pid"])
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("unmask.evaluate.api"), "generate", look)
    assert run(*ASKED, "--out", "new").exit_code == 130
    assert seen == [os.getpid()]
    assert not Path("new").exists(), "nothing was answered, so nothing is claimed"
