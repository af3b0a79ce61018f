"""Heads on disk, beside adapters, in the optimiser, and after a resume."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from unmask.config.components import choose
from unmask.data import Encoded
from unmask.errors import UserError
from unmask.models import LoraSpec, ScratchSpec, add_lora, from_scratch, load, merge
from unmask.models.export import export
from unmask.models.heads import FILE
from unmask.objectives import OBJECTIVES
from unmask.train import Layout, TrainRun, train
from unmask.train.trainer import DiffusionTrainer

METHODS = {
    "soft_mask": {"name": "soft_masked", "inner": "vanilla", "share": 1.0, "head_lr": 0.5},
    "confidence": {"name": "remedi", "taps": 2, "head_lr": 0.02},
}
each_head = pytest.mark.parametrize("head", METHODS)


def fresh(seed=1, tie=True, **shape):
    return from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.2, seed=seed, tie=tie, **shape))


def rows(lm):
    return [Encoded(prompt=[1, 2], answer=[3, 4 + i, 5, 6, 7, 8, 9, lm.filler_id], source=f"row {i}") for i in range(8)]


def trained(lm, head, out, steps=3, **options):
    method = choose(OBJECTIVES, METHODS[head])
    run = TrainRun(objective=method, **{"steps": steps, "batch_size": 2, "lr": 1e-2, "warmup": 0.0, **options})
    return train(lm, rows(lm), run, out=out, layout=Layout(block_size=4), show=False)


def resumed(lm, head, out, steps):
    method = choose(OBJECTIVES, METHODS[head])
    run = TrainRun(objective=method, steps=steps, batch_size=2, lr=1e-2, warmup=0.0, save_every=2)
    return train(lm, rows(lm), run, out=out, layout=Layout(block_size=4), show=False, resume=True)


def answers(lm, head):
    """What the model and its head say of a masked text."""
    from unmask.core.batch import Example, lay_out

    batch = lay_out([Example(prompt=[1, 2], answer=[3, 4, 5, 6], order=0, canvas=4)], block_size=4, filler_id=64)
    at = batch.is_canvas.nonzero()
    query = batch.query(torch.where(batch.offset % 2 == 0, lm.mask_id, batch.ids))
    with torch.no_grad():
        logits = lm.logits(query, at)
        if head == "soft_mask":
            return [logits, *lm.heads["soft_mask"].blend(logits, lm.mask_id)]
        return [logits, lm.score(query, at, batch.ids[batch.is_canvas], want=("correctness",)).correctness]


def assert_same(one, other, **tolerance):
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, **(tolerance or {"rtol": 0, "atol": 0}))


@each_head
@pytest.mark.parametrize("tie", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_saved_and_loaded_they_are_equal(head, tie, architecture, tmp_path):
    lm = fresh(tie=tie, architecture=architecture)
    result = trained(lm, head, tmp_path / "run")
    again = load(result.model)
    assert list(again.heads) == [head]
    assert again.heads[head].settings == lm.heads[head].settings
    for name, weight in lm.heads.state_dict().items():
        assert torch.equal(again.heads.state_dict()[name], weight), name
    assert_same(answers(again, head), answers(lm, head))
    assert any(weight.abs().max() > 0 for weight in answers(again, head)[1:])


@each_head
def test_every_checkpoint_has_them(head, tmp_path):
    lm = fresh()
    trained(lm, head, tmp_path / "run", steps=4, save_every=2)
    half, whole = (load(tmp_path / f"run/checkpoints/checkpoint-{step}") for step in (2, 4))
    assert list(half.heads) == [head]
    one, other = half.heads.state_dict(), whole.heads.state_dict()
    assert any(not torch.equal(one[name], other[name]) for name in one)


@each_head
@pytest.mark.parametrize("tie", [True, False], ids=["tied", "untied"])
def test_plain_transformers_finds_no_trace_of_them(head, tie, tmp_path):
    result = trained(fresh(tie=tie), head, tmp_path / "run")
    plain = export(load(result.model), tmp_path / "plain", to="transformers").folder
    model, report = AutoModelForCausalLM.from_pretrained(plain, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["missing_keys"]
    assert not any("unmask" in name for name, _ in model.named_parameters())


@each_head
@pytest.mark.parametrize("dtype", [None, "bfloat16", "float16"])
def test_heads_of_other_weights_are_refused_in_one_line(head, dtype, tmp_path):
    """In whatever dtype the weights are loaded; and those of the model itself are not."""
    mine = trained(fresh(), head, tmp_path / "mine").model
    assert list(load(mine, dtype=dtype).heads) == [head]
    fresh(seed=2).save(tmp_path / "other")
    shutil.copy(mine / FILE, tmp_path / "other" / FILE)
    with pytest.raises(UserError, match="expected heads of the model beside them .* found heads of") as error:
        load(tmp_path / "other", dtype=dtype)
    assert "\n" not in str(error.value)
    assert "take the file from the folder in which they were saved, or delete it" in str(error.value)


def test_heads_in_low_precision_models_work(tmp_path):
    for head in METHODS:
        lm = load(trained(fresh(), head, tmp_path / head).model, dtype="bfloat16")
        assert all(torch.isfinite(answer.float()).all() for answer in answers(lm, head))
        assert len(answers(lm, head)) == (3 if head == "soft_mask" else 2)
        trained(lm, head, tmp_path / f"{head} again", steps=1)


@each_head
def test_resume_restores_them_bit_for_bit(head, tmp_path):
    whole = trained(fresh(), head, tmp_path / "whole", steps=4, save_every=2)
    trained(fresh(), head, tmp_path / "cut", steps=4, save_every=2)
    shutil.rmtree(tmp_path / "cut/checkpoints/checkpoint-4")
    shutil.rmtree(tmp_path / "cut/model")
    again = resumed(fresh(), head, tmp_path / "cut", steps=4)
    one, two = (load_file(r.model / FILE) for r in (whole, again))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert torch.equal(two[name], weight), name
    assert_same(answers(load(whole.model), head), answers(load(again.model), head))
    one, two = ([json.loads(x) for x in (r.folder / "metrics.jsonl").read_text().splitlines()] for r in (whole, again))
    assert [line.get("loss") for line in one] == [line.get("loss") for line in two]


@each_head
def test_they_have_an_optimiser_group_of_their_own(head, tmp_path, monkeypatch):
    """Their learning rate, no weight decay, and no parameter twice or left out."""
    seen = []
    make = DiffusionTrainer.create_optimizer

    def record(self, *rest, **options):
        optimizer = make(self, *rest, **options)
        seen.append(
            [
                (g["initial_lr"] if "initial_lr" in g else g["lr"], g["weight_decay"], g["params"])
                for g in optimizer.param_groups
            ]
        )
        return optimizer

    monkeypatch.setattr(DiffusionTrainer, "create_optimizer", record)
    lm = fresh()
    trained(lm, head, tmp_path / "run", steps=1, weight_decay=0.1)
    groups = seen[0]
    lr, decay, params = groups[-1]
    assert (lr, decay) == (METHODS[head]["head_lr"], 0.0)
    assert {id(p) for p in params} == {id(p) for p in lm.heads.parameters()}
    ids = [id(p) for _, _, of_group in groups for p in of_group]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in lm.model.parameters()}
    assert {(lr, decay) for lr, decay, _ in groups[:-1]} == {(1e-2, 0.1), (1e-2, 0.0)}


def test_weight_decay_leaves_heads_alone(tmp_path):
    """The confidence stream ends in zeros, so that its blocks have no gradient at first: a step leaves them alone."""
    lm = fresh()
    lm.attach("confidence", {"taps": 2, "lr": 0.02})
    before = {name: p.detach().clone() for name, p in lm.heads.named_parameters()}
    trained(lm, "confidence", tmp_path / "run", steps=1, weight_decay=0.5, schedule="constant")
    moved = {name for name, p in lm.heads.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert not any("blocks" in name for name in moved)


def test_learning_rates_follow_the_schedule_together(tmp_path):
    """One step of warm-up out of two: both groups start at nothing, so nothing moves."""
    lm = fresh()
    lm.attach("confidence", {"taps": 2, "lr": 0.02})
    before = {name: p.detach().clone() for name, p in lm.model.named_parameters()}
    trained(lm, "confidence", tmp_path / "run", steps=1, warmup=1.0)
    for name, p in lm.model.named_parameters():
        assert torch.equal(before[name], p), name


@each_head
def test_adapters_and_heads_load_together_and_merge(head, tmp_path):
    fresh().save(tmp_path / "base")
    lm = add_lora(load(tmp_path / "base"), LoraSpec(rank=2))
    result = trained(lm, head, tmp_path / "run", steps=4, save_every=2)
    wanted = answers(lm, head)
    again = load(result.model)
    assert again.adapter is not None
    assert_same(answers(again, head), wanted)
    merged = merge(again)
    assert_same(answers(merged, head), wanted, rtol=1e-4, atol=1e-4)
    merged.save(tmp_path / "merged")
    assert_same(answers(load(tmp_path / "merged"), head), wanted, rtol=1e-4, atol=1e-4)
    shutil.rmtree(tmp_path / "run/checkpoints/checkpoint-4")
    shutil.rmtree(tmp_path / "run/model")
    resume = resumed(add_lora(load(tmp_path / "base"), LoraSpec(rank=2)), head, tmp_path / "run", steps=4)
    assert_same(answers(load(resume.model), head), wanted)


@each_head
def test_adapters_on_a_model_with_heads_leave_the_heads_alone(head, tmp_path):
    base = trained(fresh(), head, tmp_path / "base").model
    lm = add_lora(load(base), LoraSpec(rank=2))
    assert not any("lora" in name for name, _ in lm.heads.named_parameters())
    wanted_before = answers(load(base), head)
    assert_same(answers(lm, head), wanted_before)
    result = trained(lm, head, tmp_path / "run")
    assert_same(answers(load(result.model), head), answers(lm, head))


def test_heads_of_an_adapter_belong_to_its_base(tmp_path):
    for seed in (1, 2):
        fresh(seed).save(tmp_path / f"base{seed}")
        lm = add_lora(load(tmp_path / f"base{seed}"), LoraSpec(rank=2))
        trained(lm, "soft_mask", tmp_path / f"run{seed}")
    shutil.copy(tmp_path / "run1/model" / FILE, tmp_path / "run2/model" / FILE)
    (tmp_path / "run2/model/manifest.json").unlink()  # which would call it damage
    with pytest.raises(UserError, match="expected heads of the model beside them"):
        load(tmp_path / "run2/model")


def test_gradient_checkpointing_and_the_confidence_stream_are_refused_in_either_order(tmp_path):
    lm = fresh()
    lm.attach("confidence", {"taps": 2})
    with pytest.raises(UserError, match="write gradient_checkpointing: false") as error:
        lm.checkpoint_gradients()
    assert "\n" not in str(error.value)
    lm = fresh()
    lm.checkpoint_gradients()
    with pytest.raises(UserError, match="write gradient_checkpointing: false"):
        lm.attach("confidence", {"taps": 2})
    lm.attach("soft_mask", {})
    with pytest.raises(UserError, match="gradient checkpointing runs layers twice"):
        trained(fresh(), "confidence", tmp_path / "run", gradient_checkpointing=True)
    trained(fresh(), "soft_mask", tmp_path / "soft", steps=1, gradient_checkpointing=True)


def test_a_head_is_attached_once():
    """Other settings are refused, but for the learning rate, which is the run's."""
    lm = fresh()
    lm.attach("soft_mask", {"top_k": 3, "lr": 0.01})
    head = lm.heads["soft_mask"]
    lm.attach("soft_mask", {"top_k": 3, "lr": 0.5})
    assert lm.heads["soft_mask"] is head
    assert head.lr == 0.5
    with pytest.raises(
        UserError, match=r"has a head 'soft_mask' with .*'top_k': 3.* the objective asks for .*'top_k': 1"
    ):
        lm.attach("soft_mask", {"top_k": 1, "lr": 0.5})


@each_head
def test_training_goes_on_from_a_saved_model(head, tmp_path):
    """A second run of the same method keeps the head, also where it asked for more taps than there are layers."""
    METHODS_MORE = {**METHODS[head], **({"taps": 4} if head == "confidence" else {}), "head_lr": 0.1}  # noqa: N806
    objective = choose(OBJECTIVES, METHODS_MORE)
    lm = fresh()
    for number in (1, 2):
        run = TrainRun(objective=objective, steps=2, batch_size=2, lr=1e-2)
        result = train(lm, rows(lm), run, out=tmp_path / f"{number}", layout=Layout(block_size=4), show=False)
        before = {name: weight.clone() for name, weight in lm.heads.state_dict().items()}
        lm = load(result.model)
        assert all(torch.equal(weight, before[name]) for name, weight in lm.heads.state_dict().items())
    assert lm.heads[head].lr == 0.1


def test_a_refused_objective_leaves_the_model_as_it_was(tmp_path):
    lm = fresh()
    method = choose(OBJECTIVES, {"name": "nbdiff", "block_size": 4})
    with pytest.raises(UserError, match="this model's logits are not shifted"):
        train(lm, rows(lm), TrainRun(objective=method, steps=1), out=tmp_path / "run", show=False)
    assert lm.facts.attention == "bidirectional"
    assert not lm.heads


def test_a_copy_with_other_facts_keeps_the_heads():
    lm = fresh()
    lm.attach("soft_mask", {})
    other = replace(lm, facts=replace(lm.facts, block_size=8))
    assert other.heads is lm.heads
