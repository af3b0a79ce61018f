"""``unmask study``: built-in recipes expand, one runs end to end, and folders are kept apart."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from unmask.study import built_in_studies, overview, plan, read_study

STUDY = {
    "question": "Does it run?",
    "base": {"path": "asset:quickstart/model"},
    "recipe": {
        "data": {"task": {"name": "sorting"}, "size": 200, "canvas": 28},
        "decoder": {"block_size": 7},
        "run": {"steps": 2, "batch_size": 4, "schedule": "constant"},
    },
    "arms": {"vanilla": {"objective": "vanilla"}, "blockwise": {"objective": {"name": "blockwise", "block_size": 7}}},
    "evaluate": {
        "task": {"name": "sorting"}, "problems": 6, "validation": 3, "max_new_tokens": 28, "every": 1,
        "decoder": {"block_size": 7, "steps": 4},
    },
    "reference": "vanilla",
    "seeds": [0],
    "equal": ["steps", "supervised_tokens", "flops", "seconds"],
    "learnability": 4,
}  # fmt: skip


@pytest.fixture
def study(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(STUDY))
    return file


@pytest.mark.parametrize("size", ["smoke", "cpu", "gpu"])
@pytest.mark.parametrize("name", built_in_studies())
def test_every_built_in_study_expands_at_every_size(name, size, tmp_path):
    seen = overview(plan(read_study(name, size), tmp_path / "study"))
    assert seen["missing"] == seen["runs"] + seen["trials"] > 1
    assert seen["question"].endswith("?")
    if size != "smoke" and name != "real-weights":
        assert len(seen["seeds"]) >= 3
        assert len(seen["rates"]) > 1, "every arm gets the same grid of rates"
    assert any("full canvas" in decoder for decoder in seen["decoders"]), "both decodings are always told"
    assert (seen["seconds_per_run"] is None) == (size != "cpu")


def test_the_first_study_has_two_tasks_two_architectures_and_all_budgets(tmp_path):
    made = plan(read_study("blockwise-vs-vanilla", "cpu"), tmp_path / "study")
    assert [cell.name for cell in made.cells] == ["sorting-llama", "sorting-qwen3", "edits-llama", "edits-qwen3"]
    assert [cell.base["recipe"]["model"]["from_scratch"]["architecture"] for cell in made.cells] == [
        "llama",
        "qwen3",
    ] * 2
    assert list(made.study.equal) == ["steps", "supervised_tokens", "flops", "seconds"]
    assert len(made.base_jobs()) == 4
    for cell in made.cells:
        assert cell.base["recipe"]["data"]["canvas"] == cell.recipe["data"]["canvas"] == cell.judge.max_new_tokens


def test_a_dry_run_writes_nothing(run, tmp_path):
    done = run("study", "lift", "--size", "cpu", "--jobs", "2", "--dry-run")
    assert done.exit_code == 0
    assert "100 and 60 to choose rates" in done.stdout
    assert "minutes with 2 side by side" in done.stdout
    assert list(tmp_path.iterdir()) == []
    one = json.loads(
        run("study", "lift", "--size", "cpu", "--cell", "edits", "--only", "cart", "--dry-run", "--json").stdout
    )
    assert (one["cells"], one["arms"], one["runs"], one["trials"], one["bases_to_make"]) == (
        ["edits"],
        ["cart"],
        5,
        3,
        1,
    )
    assert json.loads(run("study", "lift", "--size", "cpu", "--dry-run", "--json").stdout)["runs"] == 100


def test_studies_are_listed(run):
    assert "block-size-consistency" in run("study", "--list").stdout


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("href", "src")]


def test_a_study_end_to_end(run, study, tmp_path):
    out = tmp_path / "out"
    done = run("study", study, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "no room" in done.stderr
    summary = json.loads((out / "summary.json").read_text())
    rows = {(row["budget"], row["decoder"], row["arm"]): row for row in summary["comparisons"]}
    assert len(rows) == 4 * 2 * 2

    # Every figure can be made anew of the raw outcomes.
    last = {
        arm: json.loads((out / f"runs/all/{arm}/seed-0/result.json").read_text())["points"][-1]
        for arm in ("vanilla", "blockwise")
    }
    for decoder in ("blocks", "full canvas"):
        mine = {arm: sum(point["decoders"][decoder]["right"]) / 6 for arm, point in last.items()}
        assert rows["steps", decoder, "blockwise"]["accuracy"] == pytest.approx(mine["blockwise"])
        assert rows["steps", decoder, "blockwise"]["difference"] == pytest.approx(mine["blockwise"] - mine["vanilla"])
    assert rows["supervised_tokens", "blocks", "vanilla"]["amount"] == last["blockwise"]["supervised_tokens"]

    links = Links()
    links.feed((out / "report.html").read_text())
    assert len(links.found) > 20
    for link in links.found:
        assert (out / link).exists(), link
    assert "## At equal supervised tokens" in (out / "report.md").read_text()
    for name in ("curves-all-0", "differences-flops", "learnability-all-blockwise"):
        assert (out / f"figures/{name}.png").stat().st_size > 0

    before = {file: file.stat().st_mtime_ns for file in out.rglob("result.json")}
    shutil.rmtree(out / "runs/all/blockwise/seed-0")
    assert run("study", study, "--out", out, "--json").exit_code == 0
    again = {file: file.stat().st_mtime_ns for file in out.rglob("result.json")}
    assert {file.parent.name for file in before if before[file] == again[file]} == {"base", "seed-0"}
    assert sum(before[file] != again[file] for file in before) == 1, "only what was missing ran again"
    point = json.loads((out / "runs/all/blockwise/seed-0/result.json").read_text())["points"][-1]
    assert point["decoders"]["blocks"]["right"] == last["blockwise"]["decoders"]["blocks"]["right"]

    short = run("study", study, "--out", out, "--set", "equal={supervised_tokens: 100000}")
    assert short.exit_code == 2
    assert "equal.supervised_tokens: 100000 cannot be met: arm 'blockwise' ends at" in short.stderr

    (out / "report.md").unlink()
    shown = tmp_path / "published"
    assert run("study", study, "--out", out, "--report-only", "--publish", shown).exit_code == 0
    assert (out / "report.md").exists()
    for link in links.found:
        assert (shown / link).exists(), link
    assert not list(shown.rglob("*.safetensors"))
    assert not list(shown.rglob("log.txt"))
    assert str(tmp_path) not in "".join(file.read_text() for file in shown.rglob("*.json"))
    _repeat(run, shown, tmp_path / "again")
    other = run("study", study, "--out", out, "--set", "recipe.run.steps=3")
    assert other.exit_code == 2
    assert "holds another study" in other.stderr


def _repeat(run, published, out):
    """A published study made again: one arm, the same outcomes; and a change that the comparison shows."""
    done = run("study", "--repeat", published, "--out", out, "--only", "vanilla", "--json")
    assert done.exit_code == 0, done.stderr
    rows = json.loads(done.stdout)["repeated"]
    assert [(row["arm"], row["decoder"]) for row in rows] == [("vanilla", "blocks"), ("vanilla", "full canvas")]
    assert all(row["changed"] == 0 and row["published"] == row["now"] for row in rows)

    queried = ("study", "--repeat", published, "--out", out, "--only", "vanilla", "--report-only")
    done = run(*queried)
    assert (done.exit_code, "2 of 2 outcomes are the same" in done.stdout) == (0, True)
    file = out / "runs/all/vanilla/seed-0/result.json"
    kept = file.read_text()
    result = json.loads(kept)
    row = result["points"][-1]["decoders"]["blocks"]
    row["right"][0] ^= 1
    row["accuracy"] = sum(row["right"]) / 6
    file.write_text(json.dumps(result))
    forged = run(*queried)
    assert (forged.exit_code, "expected the verdicts of" in forged.stderr) == (2, True)
    texts = file.parent / "points/answers/0.jsonl"
    judged = texts.read_text()
    first, *others = judged.splitlines(keepends=True)
    answer = json.loads(first)
    texts.write_text("".join([json.dumps({**answer, "is_right": not answer["is_right"]}) + "\n", *others]))
    done = run(*queried)
    assert (done.exit_code, "1 of 2 outcomes are the same" in done.stdout) == (1, True)
    texts.write_text(judged)
    result = json.loads(kept)
    result["points"][0]["flops"] += 1e6
    file.write_text(json.dumps(result))
    done = run(*queried)
    assert (done.exit_code, "0 of 2 outcomes are the same" in done.stdout) == (1, True)
    assert "flops after 1 steps was" in done.stdout

    changed = published / "runs/all/vanilla/seed-0/result.json"
    changed.write_text(changed.read_text().replace('"forwards": ', '"forwards": 1'))
    done = run(*queried)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert f"{changed}: was changed after the report" in done.stderr
    changed.write_text(kept)
    assert "expected a study's folder" in run("study", "--repeat", out / "runs", "--out", out).stderr
    assert "found 'lift' beside --repeat" in run("study", "lift", "--repeat", published, "--out", out).stderr


def test_some_cells_of_a_study(run, study, tmp_path):
    out, shown = tmp_path / "out", tmp_path / "published"
    vary = "vary={size: {few: {}, more: {recipe: {data: {size: 300}}}}}"
    queried = ("study", study, "--set", vary, "--set", "learnability=0", "--out", out)
    done = run(*queried, "--cell", "few", "--only", "vanilla", "--publish", shown)
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in (out / "runs").iterdir()} == {"few"}
    report = (out / "report.md").read_text()
    assert "1 run: 1 arm, 1 seed, 1 cell;" in report
    assert "3 runs of this study are missing" in report
    refused = run("study", "--repeat", shown, "--only", "vanilla", "--cell", "more", "--dry-run").stderr
    assert "vanilla, more: has no run whose rate" in refused
    planned = run("study", "--repeat", shown, "--only", "vanilla", "--dry-run", "--json")
    assert json.loads(planned.stdout)["cells"] == ["few"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--dry-run"], "nothing: neither a file nor a built-in study"),
        ([], "expected a study, found none"),
        (["lift"], "expected --out"),
        (["lift", "--size", "tiny", "--dry-run"], "has no size 'tiny'"),
        (["lift", "--dry-run", "--only", "lift-7"], "--only: unknown arm 'lift-7'; did you mean 'lift-"),
        (["lift", "--dry-run", "--cell", "sortin"], "--cell: unknown cell 'sortin'; did you mean 'sorting'"),
        (["lift", "--out", "new", "--report-only"], "no study here to report on"),
    ],
)
def test_mistakes_are_one_line(run, arguments, message):
    done = run("study", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("new").exists()
