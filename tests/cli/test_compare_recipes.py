"""``unmask compare``: recipes from one base, judged on one's own questions, ending in a report with intervals."""

import json
import re

import pytest

MODEL = "asset:quickstart/model"
A = f"""
model: {{path: {MODEL}}}
data: {{path: lists.jsonl, canvas: 28}}
objective: vanilla
decoder: {{block_size: 7, steps: 4}}
run: {{steps: 2, batch_size: 4, lr: 1.0e-3}}
"""
B = A.replace("objective: vanilla", "objective: {name: blockwise, block_size: 7}").replace("1.0e-3", "2.0e-3")
TASK = "{name: sorting, shortest: 8, longest: 8}"


@pytest.fixture(autouse=True)
def a_day(run, tmp_path):
    """Two recipes of the quick start's kind, rows to train on, and questions; three of the rows are questions."""
    (tmp_path / "a.yaml").write_text(A)
    (tmp_path / "b.yaml").write_text(B)
    run("tasks", "write", TASK, "--split", "train", "--problems", 24, "--out", "lists.jsonl")
    run("tasks", "write", TASK, "--split", "test", "--problems", 8, "--out", "q.jsonl")
    leaked = (tmp_path / "q.jsonl").read_text().splitlines()[:3]
    with (tmp_path / "lists.jsonl").open("a") as file:
        file.write("\n".join(leaked) + "\n")


ASK = ("--questions", "q.jsonl", "--answer", "contains")
FAST = ("--jobs", 2, "--out", "runs/c")


def test_two_recipes_and_their_base(run, tmp_path):
    general = ("--general", "{name: sorting, shortest: 5, longest: 5}", "--general-problems", 20)
    done = run("compare", "a.yaml", "b.yaml", "--seeds", 2, *ASK, *general, *FAST)
    assert done.exit_code == 0, done.stderr
    assert "mind: only 8 questions" in done.stderr
    assert re.search(r"^b answers .* (than|as) a \(95 % interval [-+]\d+ to [-+]\d+\)", done.stdout, re.MULTILINE)
    assert re.search(
        r"^a answers .* than the base|^a answers as many questions right as the base", done.stdout, re.MULTILINE
    )
    assert re.search(r"^On the general problems b has", done.stdout, re.MULTILINE)

    out = tmp_path / "runs/c"
    summary = json.loads((out / "summary.json").read_text())
    made = summary["headline"]
    assert [row["model"] for row in made["models"]] == ["base", "a", "b"]
    assert list(made["models"][0]["judged"]) == ["blocks", "full canvas", "general problems"]
    assert (made["questions"], made["general_problems"]) == (8, 20)
    for row in made["models"]:
        for kind, judged in row["judged"].items():
            low, high = judged["interval"]
            assert low <= judged["accuracy"] <= high
            if row["model"] != "base":
                base = made["models"][0]["judged"][kind]["accuracy"]
                assert judged["difference"] == pytest.approx(judged["accuracy"] - base)
                assert judged["difference_interval"][0] <= judged["difference"] <= judged["difference_interval"][1]
    # Each recipe kept its own rate, and each seed its own run.
    results = {path: json.loads((out / path / "result.json").read_text()) for path in summary["results"]}
    rates = {(each["arm"], each["seed"]): each["rate"] for each in results.values() if each["arm"]}
    assert rates == {("a", 0): 1e-3, ("a", 1): 1e-3, ("b", 0): 2e-3, ("b", 1): 2e-3}
    assert {each["fingerprint"] if "fingerprint" in each else each["problems"] for each in results.values()} == {8}
    # The three questions that were put into the training data, and no other one.
    for overlap in made["overlap"].values():
        assert [share > 0 for share in overlap["shares"]] == [True] * 3 + [False] * 5

    report = (out / "report.md").read_text()
    title, first, *_ = report.split("\n\n")
    assert title == "# Which recipe is better on q.jsonl: a or b?"
    assert first.startswith("> **b** answers ")
    assert report.index("![") < report.index("| base |")
    assert "3 of 8 questions share" in report
    assert "There are only 8 questions, so intervals are wide" in report
    assert (out / "figures/models.png").stat().st_size > 5_000
    assert (out / "report.html").read_text().count("<h1>") == 1
    assert (out / "runs/all/b/seed-0/train/model/model.safetensors").is_file()

    # The same again trains nothing; a seed more trains two runs.
    stamps = {path: path.stat().st_mtime for path in out.glob("runs/all/*/seed-*/result.json")}
    again = run("compare", "a.yaml", "b.yaml", "--seeds", 2, *ASK, *general, *FAST, "--json")
    assert json.loads(again.stdout)["headline"] == made
    assert {path: path.stat().st_mtime for path in out.glob("runs/all/*/seed-*/result.json")} == stamps
    other = run("compare", "a.yaml", "b.yaml", "--questions", "q.jsonl", "--answer", "exact", *general, *FAST)
    assert other.exit_code == 2
    assert "holds another study" in other.stderr


def test_one_recipe_is_compared_with_its_base(run, tmp_path):
    done = run("compare", "b.yaml", "--seeds", 1, *ASK, *FAST, "--json")
    assert done.exit_code == 0, done.stderr
    made = json.loads(done.stdout)["headline"]
    assert [row["model"] for row in made["models"]] == ["base", "b"]
    assert made["differences"] == []
    assert re.match(r"\*\*b\*\* answers .* the \*\*base\*\* \(95 % interval", made["sentences"][0])
    assert "--general with a task or a file" in made["sentences"][1]
    assert "What does b change in its base, on q.jsonl?" in (tmp_path / "runs/c/report.md").read_text()


def test_epochs_and_settings_of_other_ends(run, tmp_path):
    held = B.replace("canvas: 28", "canvas: 28, held_out: 3")
    other = "epochs: 0.5, save_best: true, best_metric: held_out_loss,"
    (tmp_path / "b.yaml").write_text(held.replace("steps: 2,", other))
    done = run("compare", "b.yaml", "--seeds", 1, *ASK, *FAST)
    assert done.exit_code == 0, done.stderr
    assert (
        "mind: b: run.save_best and run.best_metric left out, as models are compared at the end of runs" in done.stderr
    )
    result = json.loads((tmp_path / "runs/c/runs/all/b/seed-0/result.json").read_text())
    assert result["points"][-1]["steps"] == 3  # half of 24 rows, 4 at a time


def test_a_dry_run_trains_nothing(run, tmp_path):
    done = run("compare", "a.yaml", "b.yaml", *ASK, *FAST, "--dry-run")
    assert done.exit_code == 0
    assert re.search(r"runs +6 and 0 to choose rates; 6 are missing", done.stdout)
    assert "mind: only 8 questions" in done.stdout
    assert not (tmp_path / "runs").exists()
    seen = json.loads(run("compare", "a.yaml", "b.yaml", *ASK, *FAST, "--dry-run", "--json").stdout)
    assert (seen["arms"], seen["seeds"], seen["questions"]) == (["a", "b"], [0, 1, 2], 8)
    general = run("compare", "a.yaml", *ASK, *FAST, "--general", "q.jsonl", "--dry-run")
    assert "mind: general problems: q.jsonl, judged by the rule contains" in general.stdout
    rates = json.loads(run("compare", "a.yaml", *ASK, *FAST, "--rates", "1e-4,3e-4", "--dry-run", "--json").stdout)
    assert (rates["trials"], rates["questions"]) == (2, 6)  # a quarter of the questions chooses the rate


def test_questions_of_the_recipes(run, tmp_path):
    section = "evaluate: {questions: q.jsonl, answer: contains, problems: 5}\n"
    for name, text in (("a", A), ("b", B)):
        (tmp_path / f"{name}.yaml").write_text(text + section)
    seen = json.loads(run("compare", "a.yaml", "b.yaml", *FAST, "--dry-run", "--json").stdout)
    assert seen["questions"] == 5
    (tmp_path / "b.yaml").write_text(B + section.replace("5", "4"))
    done = run("compare", "a.yaml", "b.yaml", *FAST, "--dry-run")
    assert done.exit_code == 2
    assert "b.yaml: its section evaluate is not that of a.yaml" in done.stderr
    (tmp_path / "b.yaml").write_text(B + section.replace("5}", "5, while_training: 2}"))
    assert run("compare", "a.yaml", "b.yaml", *FAST, "--dry-run").exit_code == 0
    (tmp_path / "b.yaml").write_text(B + section.replace("5", "4"))
    outranked = run("compare", "a.yaml", "b.yaml", *ASK, *FAST, "--dry-run", "--json")
    assert json.loads(outranked.stdout)["questions"] == 5


def test_recipes_of_other_decoders_are_decoded_each_by_its_own(run, tmp_path):
    (tmp_path / "b.yaml").write_text(B.replace("steps: 4}", "steps: 8}"))
    seen = json.loads(run("compare", "a.yaml", "b.yaml", *ASK, *FAST, "--dry-run", "--json").stdout)
    assert seen["decoders"] == ["blocks", "full canvas"]
    assert "each recipe's models are decoded by its own decoder, the base by that of a" in seen["remarks"]
    (tmp_path / "b.yaml").write_text(B.replace("steps: 4}", "blocks: whole}"))
    done = run("compare", "a.yaml", "b.yaml", *ASK, *FAST, "--dry-run", "--json")
    assert json.loads(done.stdout)["decoders"] == ["full canvas"]


@pytest.mark.parametrize(("more", "options", "said"), [
    ({}, ("a.yaml", "b.yaml"), "a.yaml: expected a section evaluate that says how it is judged, found none"),
    ({}, ("a.yaml", "./a.yaml", *ASK), "a.yaml: is given twice"),
    ({}, ("a.yaml", "none.yaml", *ASK), "none.yaml: no such recipe"),
    ({"c": A.replace(MODEL, "asset:quickstart")}, ("a.yaml", "c.yaml", *ASK), "c.yaml: model.path"),
    ({"c": A.replace(f"path: {MODEL}", "from_scratch: {hidden_size: 32, layers: 2, heads: 2}")},
     ("a.yaml", "c.yaml", *ASK), "c.yaml: model.from_scratch has no base to compare with"),
    ({"c": A.replace("lists.jsonl", "lost.jsonl")}, ("a.yaml", "c.yaml", *ASK), "c.yaml: lost.jsonl: expected"),
    ({"base": A}, ("a.yaml", "base.yaml", *ASK), "base.yaml: the name base stands for the model"),
    ({}, ("a.yaml", "--questions", "q.jsonl"), "answer: expected a rule by which answers are right"),
    ({}, ("a.yaml", *ASK, "--general", "nowhere"), "--general: expected a task or a file of questions"),
    ({}, ("a.yaml", "--task", "sorting", "--general", "q.jsonl"), "--general q.jsonl: expected a rule for its answers"),
    ({}, ("a.yaml", *ASK, "--rates", "fast"), "--rates: expected numbers such as 1e-4,3e-4, found 'fast'"),
    ({}, ("a.yaml", *ASK, "--equal", "miles"), "equal.miles: unknown budget; did you mean"),
    ({}, ("a.yaml", *ASK, "--problems", 9), "q.jsonl: expected 9 problems, found 8"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_one_line(run, tmp_path, more, options, said):
    for name, text in more.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    done = run("compare", *options, *FAST)
    assert done.exit_code == 2, done.stdout
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "runs").exists()


def test_all_mistakes_of_all_recipes_are_told_at_once(run, tmp_path):
    (tmp_path / "a.yaml").write_text(A.replace("vanilla", "vanila").replace("lr:", "rate:"))
    (tmp_path / "b.yaml").write_text(B.replace("batch_size", "batchsize"))
    done = run("compare", "a.yaml", "b.yaml", *ASK, *FAST)
    lines = done.stderr.splitlines()
    assert done.exit_code == 2
    assert [line.split(": ")[1] for line in lines] == ["a.yaml", "a.yaml", "b.yaml"]
    assert "did you mean 'vanilla'" in done.stderr
    assert "did you mean 'batch_size'" in done.stderr


def test_recipes_of_other_bases_are_refused(run, models, tmp_path):
    (tmp_path / "c.yaml").write_text(A.replace(MODEL, models.digits))
    done = run("compare", "a.yaml", "c.yaml", *ASK, *FAST)
    assert done.exit_code == 2
    assert f"c.yaml: starts from {models.digits}, and a.yaml from {MODEL}; a comparison needs one base" in done.stderr
