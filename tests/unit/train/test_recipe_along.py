"""What a recipe measures along the way: the held-out bound, the score on its task, samples."""

import json
import shutil

import pytest
import torch

import unmask
from unmask.evaluate import evaluate, likelihood_bound
from unmask.recipes.inputs import load_examples
from unmask.recipes.recipe import build, build_sections
from unmask.recipes.run import run_recipe
from unmask.train.memory import Size, check_training_memory

TASK = {"name": "sorting", "shortest": 2, "longest": 3}
RECIPE = {
    "model": {"from_scratch": {"hidden_size": 32, "layers": 2, "heads": 2}, "tokenizer": "digits", "device": "cpu"},
    "data": {"task": TASK, "size": 60, "held_out": 10, "canvas": 8},
    "objective": {"name": "blockwise", "block_size": 4},
    "decoder": {"threshold": 0.9},
    "run": {"steps": 4, "batch_size": 4, "lr": 1e-2, "eval_every": 2, "samples": 2, "seed": 0},
    "evaluate": {"task": TASK, "problems": 50, "while_training": 5},
}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def changed(**sections):
    return RECIPE | {name: RECIPE[name] | values for name, values in sections.items()}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run_recipe(build(RECIPE), tmp_path_factory.mktemp("along") / "run", show=False)


def test_bound_and_accuracy_are_those_of_the_commands(result):
    """What the last line says is what the saved model gives when it is judged afterwards."""
    recipe, lm = build(RECIPE), unmask.load(str(result.model), device="cpu")
    held_out = load_examples(recipe.data, lm, block_size=4).held_out
    bound = likelihood_bound(lm, held_out[:8], order="blocks", samples=4, block_size=4)
    problems = recipe.evaluate.task.problems("test", 5, 0)
    accuracy = evaluate(lm, recipe.evaluate.task, problems, decoder=recipe.decoder).accuracy
    found = [line for line in lines(result.folder / "metrics.jsonl") if "held_out_bound" in line]
    assert [line["step"] for line in found] == [0, 2, 4]
    assert found[-1]["held_out_bound"] == pytest.approx(bound.per_token, rel=1e-5)
    assert found[-1]["accuracy"] == accuracy
    assert found[0]["held_out_bound"] != found[-1]["held_out_bound"]


def test_samples_are_the_answers_of_the_model(result):
    rows = lines(result.folder / "samples.jsonl")
    assert [row["step"] for row in rows] == [0, 0, 2, 2, 4, 4]
    lm = unmask.load(str(result.model), device="cpu")
    texts = unmask.generate(lm, [row["prompt"] for row in rows[-2:]], threshold=0.9, chat=False).texts
    assert [row["text"] for row in rows[-2:]] == texts
    sources = [each.source for each in load_examples(build(RECIPE).data, lm, block_size=4).held_out[:2]]
    right = {p.source: (p.prompt, p.solution) for p in build(RECIPE).data.task.problems("train", 60, 0)}
    assert [row["source"] for row in rows] == sources * 3
    assert all((row["prompt"], row["expected"]) == right[row["source"]] for row in rows)


def test_a_resumed_run_measures_what_it_would_have(result, tmp_path):
    cut = tmp_path / "cut"
    shutil.copytree(result.folder, cut)
    shutil.rmtree(cut / "model")
    for folder in sorted((cut / "checkpoints").iterdir())[1:]:
        shutil.rmtree(folder)
    kept = next((cut / "checkpoints").iterdir())
    run_recipe(build(RECIPE), cut, resume=True, show=False)
    names = ("step", "loss", "held_out_loss", "held_out_bound", "accuracy", "nll_by_noise_level", "masked_share")
    one, two = (
        [{name: line.get(name) for name in names} for line in lines(folder / "metrics.jsonl")]
        for folder in (result.folder, cut)
    )
    assert kept.name != "checkpoint-4"
    assert one == two
    assert lines(cut / "samples.jsonl") == lines(result.folder / "samples.jsonl")


def test_the_weights_do_not_depend_on_what_is_measured(result, tmp_path):
    bare = changed(run={"samples": 0, "eval_bound": 0}) | {"evaluate": None}
    other = run_recipe(build(bare), tmp_path / "bare", show=False)
    one, two = ([line["loss"] for line in lines(r.folder / "metrics.jsonl") if "loss" in line] for r in (result, other))
    assert one == two
    assert not (other.folder / "samples.jsonl").exists()
    assert not any("held_out_bound" in line or "accuracy" in line for line in lines(other.folder / "metrics.jsonl"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"run": {"steps": 4, "epochs": 2}}, "run.epochs: expected either epochs or steps, found both"),
        ({"run": {"steps": 1000, "epochs": 2}}, "run.epochs: expected either epochs or steps, found both"),
        ({"data": {"held_out": 0}}, "run.samples: expected held-out prompts to answer, found none"),
        ({"data": {"held_out": 0}, "run": {"samples": 0, "save_best": True}},
         "run.save_best: expected a run that measures held_out_loss, found none; write data.held_out: 50"),
        ({"run": {"best_metric": "held_out_bound", "eval_bound": 0}}, "write data.held_out: 50 .and not"),
        ({"run": {"best_metric": "accuracy"}, "evaluate": {"while_training": None}},
         "run.best_metric: expected a run that measures accuracy, found none; write a section evaluate"),
        ({"run": {"best_metric": "accurracy"}}, "run.best_metric: expected"),
        ({"run": {"patience": 1, "eval_every": None}}, "run.patience: counts evaluations"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_before_anything_is_loaded(values, said):
    _, problems = build_sections(changed(**values))
    assert len(problems) == 1
    assert said.split(" .and")[0] in problems[0]


def test_memory_counts_the_average_and_the_copies(monkeypatch):
    from unmask.train import memory

    size = Size(weights=10**9, item=2, hidden=8, layers=1)
    needs = {}
    monkeypatch.setattr(memory, "free_memory", lambda _: 10**6)
    for averaged in (False, True):
        for copied in (False, True):
            with pytest.raises(unmask.UserError) as refused:
                check_training_memory(
                    size, torch.device("cpu"), columns=1, recomputed=False, averaged=averaged, copied=copied
                )
            needs[averaged, copied] = float(str(refused.value).split("at least ")[1].split(" GiB")[0]) * 2**30 / 1e9
    bytes_each = {key: round(value) for key, value in needs.items()}
    assert bytes_each == {(False, False): 8, (True, False): 12, (False, True): 20, (True, True): 24}
