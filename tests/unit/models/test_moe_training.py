"""Training of mixtures of experts: what moves, how a run resumes, and how even the routers are."""

import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from mixtures import mixture_folder
from small_checkpoints import ar_folder, question

from unmask.core.batch import Example, lay_out
from unmask.data import Encoded
from unmask.errors import UserError
from unmask.models import LoraSpec, add_lora, load
from unmask.objectives import Blockwise
from unmask.recipes.check import check
from unmask.recipes.run import sft
from unmask.train import TrainRun, train
from unmask.train.metrics import MetricsFile
from unmask.train.routing import RouterLoad

RUN = TrainRun(objective=Blockwise(block_size=4), steps=3, batch_size=2, lr=1e-2, save_every=1, keep=5)
ROWS = [Encoded(prompt=[i % 16, 3, 5], answer=[*range(i % 3 + 2), 17], source=f"row {i}") for i in range(12)]
main_kinds = pytest.mark.parametrize("kind", ["glm4_moe", "qwen3_moe"])
LINE = "LoRA on attention, dense MLP, shared MLP, experts and the mask token's row; frozen: router"


@pytest.fixture
def base(tmp_path):
    return lambda kind: mixture_folder(tmp_path / kind, kind)


def adapted(folder, targets=("all-linear", "experts")):
    return add_lora(load(folder), LoraSpec(rank=2, targets=targets))


def lines_of(result):
    return [line for line in MetricsFile.read(result.folder / "metrics.jsonl") if line["step"]]


def run_of(lm, out, run=RUN, **options):
    return train(lm, ROWS, run, out=out, show=False, **options)


@main_kinds
def test_a_whole_mixture_trains_all_but_the_bias_of_its_router(base, tmp_path, kind):
    lm = load(base(kind))
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    biases = {name for name in before if name.endswith("e_score_correction_bias")}
    assert len(biases) == (kind == "glm4_moe")
    told = []
    result = run_of(lm, tmp_path / "run", tell=told.append)
    assert any(line.startswith("all weights are trained: attention, ") and line.endswith("router") for line in told)
    after = load(result.model).model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == before.keys() - biases
    assert all(before[name].abs().max() > 0 for name in biases)


@main_kinds
def test_a_run_of_expert_adapters_resumes_bit_for_bit(base, tmp_path, kind):
    folder = base(kind)
    whole = run_of(adapted(folder), tmp_path / "whole")
    run_of(adapted(folder), tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut/checkpoints/checkpoint-3")
    shutil.rmtree(tmp_path / "cut/checkpoints/checkpoint-2")
    shutil.rmtree(tmp_path / "cut/model")
    again = run_of(adapted(folder), tmp_path / "cut", resume=True)
    one, two = (load(result.model).model.state_dict() for result in (whole, again))
    assert one.keys() == two.keys()
    assert any(".experts.lora_B" in name and tensor.abs().max() > 0 for name, tensor in one.items())
    for name, tensor in one.items():
        assert torch.equal(two[name], tensor), name
    keys = ("loss", "router_entropy", "busiest_expert")
    assert [[x[k] for k in keys] for x in lines_of(whole)] == [[x[k] for k in keys] for x in lines_of(again)]


def test_a_run_is_not_resumed_with_other_targets(base, tmp_path):
    folder = base("qwen3_moe")
    run_of(adapted(folder), tmp_path / "run")
    (written,) = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["lora"]
    assert written["target_parameters"] == ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"]
    with pytest.raises(UserError, match=r"lora was .* and is"):
        run_of(adapted(folder, "all-linear"), tmp_path / "run", resume=True)


def test_check_and_sft_name_what_is_trained(base, tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"prompt": "{i}3", "response": "{i}{i}"}}\n' for i in range(8)))
    lora = {"rank": 2, "targets": ["all-linear", "experts"]}
    recipe = {
        "model": {"path": str(base("glm4_moe")), "lora": lora},
        "data": {"path": str(tmp_path / "rows.jsonl")},
        "objective": {"name": "blockwise", "block_size": 4},
        "run": {"steps": 1, "batch_size": 2},
    }
    found, told = check(recipe), []
    assert found.problems == []
    assert found.remarks == [LINE]
    sft(recipe, tmp_path / "run", show=False, tell=told.append)
    assert told == [LINE]
    lora["targets"] = ["q_proj", "mlp.gate"]
    (problem,) = check(recipe).problems
    assert problem.startswith("model: lora.targets names 'mlp.gate', which is a router")


def test_recomputed_activations_change_no_step_and_no_count(base, tmp_path):
    folder = base("glm4_moe")
    told = []
    plain = run_of(adapted(folder), tmp_path / "plain", tell=told.append)
    again = run_of(adapted(folder), tmp_path / "again", replace(RUN, gradient_checkpointing=True))
    assert told == [LINE]
    for one, two in zip(lines_of(plain), lines_of(again), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
        assert one["router_entropy"] == pytest.approx(two["router_entropy"], rel=1e-5)
        assert one["busiest_expert"] == pytest.approx(two["busiest_expert"], rel=1e-5)


@main_kinds
@pytest.mark.parametrize("lora", [False, True])
def test_a_run_logs_how_even_the_routers_are(base, tmp_path, kind, lora):
    lm = adapted(base(kind)) if lora else load(base(kind))
    for line in lines_of(run_of(lm, tmp_path / "run")):
        assert math.log(2) / math.log(4) <= line["router_entropy"] <= 1
        assert 1 <= line["busiest_expert"] <= 2


def test_a_dense_model_gets_no_hook_and_no_numbers(tmp_path):
    lm = load(ar_folder(tmp_path / "dense"))
    counter = lm.on_forward
    with RouterLoad(lm) as load_:
        assert lm.on_forward is counter
        assert not any(module._forward_hooks for module in lm.model.modules())
        loss(lm).backward()
        assert load_.values() == {}
    assert "router_entropy" not in lines_of(run_of(lm, tmp_path / "run"))[0]


def loss(lm, query=None, at=None):
    query, at = (query, at) if query is not None else question(lm)
    return lm.score(query, at, torch.full((len(at),), 7)).nll.mean()


def force(lm, order):
    """Make every router prefer its experts in this order, whatever it reads."""
    for name, module in lm.stock.named_modules():
        if name.endswith("mlp.gate") and hasattr(module, "weight"):

            def route(hidden, module=module, forward=module.forward):
                logits, weights, _ = forward(hidden)
                return logits, weights, order[: len(weights)]

            module.forward = route


@pytest.mark.parametrize(
    ("chosen", "entropy", "busiest"),
    [
        ([[0, 1]], math.log(2) / math.log(4), 2.0),
        ([[0, 1], [2, 3]], 1.0, 1.0),
        ([[0, 1], [0, 2]], (0.5 * math.log(2) + 0.5 * math.log(4)) / math.log(4), 2.0),
    ],
    ids=["two experts only", "even", "one in all"],
)
@main_kinds
def test_the_numbers_are_those_of_the_formula(base, kind, chosen, entropy, busiest):
    lm = load(base(kind))
    query, at = question(lm)  # 8 columns
    assert query.ids.numel() % len(chosen) == 0
    force(lm, torch.tensor(chosen).repeat(query.ids.numel() // len(chosen), 1))
    with RouterLoad(lm) as counted:
        loss(lm, query, at).backward()
        found = counted.values()
        assert found["router_entropy"] == pytest.approx(entropy, abs=1e-6)
        assert found["busiest_expert"] == pytest.approx(busiest, abs=1e-6)
        assert counted.values() == {}  # it began anew


@main_kinds
def test_padding_and_forwards_without_a_gradient_do_not_count(base, kind):
    lm = load(base(kind))
    short, long = (Example(prompt=(1, 2, 3), answer=[4, 5][:n], order=n, canvas=4 * n) for n in (1, 2))

    def query(*examples):
        batch = lay_out(list(examples), block_size=4, filler_id=lm.filler_id)
        return batch.query(torch.where(batch.is_canvas, lm.mask_id, batch.ids)), batch.is_canvas.nonzero()

    with RouterLoad(lm) as counted:
        for example in (short, long):  # no padding
            loss(lm, *query(example)).backward()
        alone = counted.values()
        loss(lm, *query(short, long)).backward()
        assert counted.values() == pytest.approx(alone)
        with torch.no_grad():
            loss(lm, *query(long))
        assert counted.values() == {}
    assert not any(module._forward_hooks for module in lm.model.modules())
