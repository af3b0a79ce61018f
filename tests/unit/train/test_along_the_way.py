"""The best step by a metric, early stopping, epochs, the average of the weights: each survives a kill and a resume."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from unmask.config.components import InvalidConfigError
from unmask.errors import UserError
from unmask.models import load
from unmask.objectives import Blockwise
from unmask.train import TrainRun, train
from unmask.train.average import FILE
from unmask.train.best import Best

METHOD = Blockwise(block_size=4)


def weights(folder):
    return dict(load(str(folder)).model.named_parameters())


def same(one, other):
    return all(torch.equal(weight, other[name]) for name, weight in one.items())


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def scores(*values):
    """Return an ``evaluate`` that gives these accuracies in turn; the first is the base's."""
    left = iter(values)
    return lambda: {"accuracy": next(left)}


def settings(**more):
    return TrainRun(
        **{"objective": METHOD, "steps": 6, "batch_size": 2, "lr": 1e-2, "eval_every": 1, "save_every": 1, **more}
    )


def test_of_a_loss_less_is_better_and_of_an_accuracy_more():
    loss, accuracy = Best(metric="held_out_loss", patience=2), Best(metric="accuracy", min_delta=0.1)
    assert [loss.see(step, {"held_out_loss": x}) for step, x in ((1, 3.0), (2, 2.0), (3, 2.0), (4, 5.0))] == [
        True, True, False, False,
    ]  # fmt: skip
    assert (loss.step, loss.waited, loss.is_over) == (2, 2, True)
    assert [accuracy.see(step, {"accuracy": x}) for step, x in ((1, 0.5), (2, 0.55), (3, 0.4))] == [True, True, False]
    assert (accuracy.step, accuracy.waited, accuracy.is_over) == (2, 2, False)
    assert not accuracy.see(4, {})
    assert accuracy.waited == 2


def test_the_saved_model_is_that_of_the_best_step(tiny, sorting, tmp_path):
    run = settings(best_metric="accuracy", save_best=True, keep=1)
    evaluate = scores(0.1, 0.2, 0.3, 0.9, 0.4, 0.5, 0.6)
    result = train(tiny(), sorting, run, out=tmp_path / "a", evaluate=evaluate, show=False)
    assert result.saved == {"step": 3, "last_step": 6, "best_step": 3, "metric": "accuracy", "value": 0.9}
    assert json.loads((result.folder / "run.json").read_text())["result"] == result.saved
    assert same(weights(result.model), weights(result.folder / "checkpoints/checkpoint-3"))
    assert not same(weights(result.model), weights(result.folder / "checkpoints/checkpoint-6"))
    # Only the choice of the model changes: it may be made afterwards.
    again = train(
        tiny(),
        sorting,
        settings(best_metric="accuracy"),
        out=tmp_path / "a",
        evaluate=scores(),
        resume=True,
        show=False,
    )
    assert again.saved["step"] == 6
    assert same(weights(again.model), weights(result.folder / "checkpoints/checkpoint-6"))


def test_a_lost_best_checkpoint_is_named(tiny, sorting, tmp_path):
    run = settings(best_metric="accuracy", save_best=True, keep=1)
    train(tiny(), sorting, run, out=tmp_path / "a", evaluate=scores(0, 0, 1, 0, 0, 0, 0), show=False)
    shutil.rmtree(tmp_path / "a/checkpoints/checkpoint-2")
    with pytest.raises(UserError, match="checkpoint-2: expected the checkpoint of the best step.*save_best: false"):
        train(tiny(), sorting, run, out=tmp_path / "a", evaluate=scores(), resume=True, show=False)


def test_a_run_stops_when_nothing_gets_better(tiny, sorting, tmp_path):
    accuracies = [0.1, 0.2, 0.5, 0.4, 0.5, 0.6, 0.7]
    run = settings(best_metric="accuracy", patience=2)
    result = train(tiny(), sorting, run, out=tmp_path / "whole", evaluate=scores(*accuracies), show=False)
    assert [line["step"] for line in lines(result.folder)] == [0, 1, 2, 3, 4]
    assert (result.saved["last_step"], result.saved["best_step"]) == (4, 2)

    # Killed after step 3, with one evaluation of patience left: the count is in the checkpoint.
    train(tiny(), sorting, run, out=tmp_path / "cut", evaluate=scores(*accuracies), show=False)
    shutil.rmtree(tmp_path / "cut/checkpoints/checkpoint-4")
    shutil.rmtree(tmp_path / "cut/model")
    again = train(tiny(), sorting, run, out=tmp_path / "cut", evaluate=scores(0.5), resume=True, show=False)
    assert again.saved == result.saved
    assert same(weights(again.model), weights(result.model))

    # Killed after its last checkpoint, it is finished all the same, and evaluates nothing.
    shutil.rmtree(tmp_path / "cut/model")
    again = train(tiny(), sorting, run, out=tmp_path / "cut", evaluate=scores(), resume=True, show=False)
    assert same(weights(again.model), weights(result.model))
    assert [line["step"] for line in lines(again.folder)] == [0, 1, 2, 3, 4]
    assert again.totals["examples"] == 8

    # With more patience it goes on.
    more = settings(best_metric="accuracy", patience=3)
    last = train(tiny(), sorting, more, out=tmp_path / "cut", evaluate=scores(0.6, 0.7), resume=True, show=False)
    assert last.saved["last_step"] == 6
    straight = train(tiny(), sorting, more, out=tmp_path / "more", evaluate=scores(*accuracies), show=False)
    assert same(weights(last.model), weights(straight.model))


def test_a_metric_that_is_not_measured_is_refused_before_the_first_step(tiny, sorting, tmp_path):
    with pytest.raises(UserError, match=r"\(none\), found held_out_loss; write data.held_out: 50"):
        train(tiny(), sorting, settings(save_best=True), out=tmp_path / "a", show=False)
    run = settings(best_metric="accuracy")
    with pytest.raises(UserError, match=r"\(held_out_loss\), found accuracy; write a section evaluate"):
        train(tiny(), sorting[4:], run, out=tmp_path / "a", held_out=sorting[:4], show=False)
    assert not (tmp_path / "a").exists()
    with pytest.raises(InvalidConfigError, match="patience: counts evaluations"):
        TrainRun(patience=2)


def test_epochs_are_counted_in_examples(tiny, sorting, tmp_path, caplog):
    assert TrainRun(epochs=3, batch_size=8).in_steps(1234).steps == 463
    assert TrainRun(epochs=3, batch_size=4, accumulate=2).in_steps(1234, ranks=2).steps == 232
    assert TrainRun(epochs=0.01, batch_size=8).in_steps(40).steps == 1
    with pytest.raises(InvalidConfigError, match="epochs: expected either epochs or steps, found both"):
        TrainRun(epochs=1, steps=5)
    said = []
    run = TrainRun(objective=METHOD, epochs=1.5, batch_size=8, lr=1e-3, save_every=4)
    result = train(tiny(), sorting, run, out=tmp_path / "a", show=False, tell=said.append)
    assert "1.5 epochs of 40 examples: 8 steps" in said
    assert result.totals["examples"] == 64
    assert json.loads((result.folder / "run.json").read_text())["settings"]["steps"] == 8
    in_steps = TrainRun(objective=METHOD, steps=8, batch_size=8, lr=1e-3, save_every=4)
    other = train(tiny(), sorting, in_steps, out=tmp_path / "b", show=False)
    assert same(weights(result.model), weights(other.model))
    shutil.rmtree(tmp_path / "a/checkpoints/checkpoint-8")
    again = train(tiny(), sorting, run, out=tmp_path / "a", show=False, resume=True)
    assert same(weights(again.model), weights(other.model))


def test_the_average_is_evaluated_saved_and_resumed(tiny, sorting, tmp_path):
    seen, lm = [], tiny()
    name, weight = next((n, w) for n, w in lm.model.named_parameters() if w.requires_grad)

    def evaluate():
        seen.append(weight.detach().clone())
        return {}

    run = settings(ema=0.5, lr=1e-2)
    whole = train(lm, sorting, run, out=tmp_path / "whole", evaluate=evaluate, show=False)
    assert whole.saved["ema"] == 0.5
    expected = seen[0]
    for step in range(1, 7):
        folder = whole.folder / f"checkpoints/checkpoint-{step}"
        if folder.exists():  # two are kept
            own = load_file(folder / "model.safetensors")[name]
            assert not torch.equal(own, seen[step])
            assert torch.equal(load_file(folder / FILE)[name], seen[step])
    plain = train(tiny(), sorting, settings(keep=6), out=tmp_path / "plain", show=False)
    for step in range(1, 7):  # the same run, but for what is averaged
        own = load_file(plain.folder / f"checkpoints/checkpoint-{step}/model.safetensors")[name]
        expected = expected.lerp(own, 0.5)
        assert torch.equal(seen[step], expected)
    assert torch.equal(weights(whole.model)[name], expected)

    train(tiny(), sorting, run, out=tmp_path / "cut", show=False)
    shutil.rmtree(tmp_path / "cut/checkpoints/checkpoint-6")
    again = train(tiny(), sorting, run, out=tmp_path / "cut", resume=True, show=False)
    assert same(weights(again.model), weights(whole.model))


def test_the_best_average_is_saved(tiny, sorting, tmp_path):
    run = settings(ema=0.5, best_metric="accuracy", save_best=True)
    result = train(tiny(), sorting, run, out=tmp_path / "a", evaluate=scores(0, 0, 1, 0, 0, 0, 0), show=False)
    average = load_file(result.folder / "checkpoints/checkpoint-2" / FILE)
    saved = weights(result.model)
    assert all(torch.equal(saved[name], value) for name, value in average.items())


def test_a_long_average_of_a_short_run_is_told(tiny, sorting, tmp_path):
    said = []
    train(tiny(), sorting, settings(ema=0.999, steps=2), out=tmp_path / "a", show=False, tell=said.append)
    assert any("run.ema=0.999 averages over about 1,000 steps, and the run has 2" in line for line in said)
