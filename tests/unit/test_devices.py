"""Everything that trains or decodes runs on a device that is not the CPU; see ``far``. Numbers are the CPU's."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "contracts"))

from decoders import DECODERS  # noqa: E402  # as the contract tests run them
from test_objectives import COMPOSITIONS, make  # noqa: E402

from far import FAR, Far, far_device  # noqa: E402
from toys import Hash  # noqa: E402
from unmask.analyze import Study, learnability, mismatch  # noqa: E402
from unmask.config.components import choose  # noqa: E402
from unmask.config.defaults import Layout
from unmask.core.attention import BlockCausal  # noqa: E402
from unmask.core.random import Draws  # noqa: E402
from unmask.data import Collator, Encoded  # noqa: E402
from unmask.decoding import Decoder, decode, measure_drift  # noqa: E402
from unmask.evaluate.likelihood import likelihoods  # noqa: E402
from unmask.generate import generate, infill  # noqa: E402
from unmask.models import ScratchSpec, from_scratch  # noqa: E402
from unmask.models.call import learn_call  # noqa: E402
from unmask.objectives import OBJECTIVES  # noqa: E402
from unmask.testing.decoding import blank_canvas as canvas  # noqa: E402
from unmask.testing.decoding import with_heads  # noqa: E402
from unmask.testing.objectives import objective_batch as batch  # noqa: E402
from unmask.train import held_out_loss  # noqa: E402


def model(*, shift=False, attention="bidirectional", heads=(), device="cpu"):
    spec = ScratchSpec(hidden_size=32, layers=2, heads=4, kv_heads=2, init_std=0.3, seed=3, tie=False)
    lm = from_scratch(spec, shift=shift, attention=attention)
    learn_call(lm.stock)  # here: of a model on the device that is called meta it believes that there are no numbers
    for name, settings in dict(heads).items():
        lm.attach(name, settings)
    lm.model.to(device)
    lm.heads.to(device)
    return lm


def on_both(work):
    """What a piece of work returns for each device."""
    here = work("cpu")
    with far_device():
        there = work(FAR)
    return here, there


def test_the_far_device_refuses_what_a_gpu_refuses():
    with far_device():
        far = torch.arange(4, device=FAR)
        assert isinstance(far + 1, Far)
        assert (far + torch.tensor(2)).tolist() == [2, 3, 4, 5]
        assert far[torch.tensor([1, 3])].tolist() == [1, 3]
        assert not isinstance(far.cpu(), Far)
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            far + torch.arange(4)
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            torch.arange(4)[far]
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            torch.isin(far, torch.tensor([1, 2]))
        with pytest.raises((RuntimeError, TypeError)):
            far.numpy()


@pytest.mark.parametrize("name", DECODERS)
def test_decoders(name):
    fields = {"block_size": 4, "stop": "never", **DECODERS[name]}

    def work(device):
        toy = with_heads(Hash(rule=BlockCausal() if fields.get("cache") == "block" else Hash().rule))
        toy.heads["soft_mask"].to(device)
        steps = list(decode(toy, canvas().to(device), Decoder(**fields).resolve(), draws=Draws(seed=0)))
        return [(step.at.tolist(), step.tokens.tolist()) for step in steps]

    here, there = on_both(work)
    assert here == there


@pytest.mark.parametrize("name", [*OBJECTIVES, *COMPOSITIONS])
@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_objectives(name, layout):
    objective = choose(OBJECTIVES, COMPOSITIONS[name]) if name in COMPOSITIONS else make(name)

    def work(device):
        lm = model(
            shift=name in ("nbdiff", "fast_dllm_v2"), attention=objective.attention or "bidirectional",
            heads=objective.heads, device=device,
        )  # fmt: skip
        rows = batch(row_length=40 if layout == "packed" else None).to(device)
        noised = objective.noise(rows, model=lm, draws=Draws(seed=0), progress=0.5)
        loss = objective.loss(
            lm.score(noised.query, noised.query_positions, noised.targets, want=objective.want), noised
        )
        (loss / noised.count).backward()
        return (
            noised.query_positions.tolist(),
            noised.targets.tolist(),
            float(loss.detach()),
            next(lm.model.parameters()).grad.cpu(),
        )

    here, there = on_both(work)
    assert here[:2] == there[:2]
    assert here[2] == pytest.approx(there[2], rel=1e-5)
    assert (here[3] - there[3]).norm() < 1e-4 * here[3].norm()  # another kernel for attention


@pytest.mark.parametrize(
    ("cache", "attention"), [("block", "block_causal"), ("dual", None), ("prefix", None), ("dkv", None)]
)
@pytest.mark.parametrize("shift", [False, True])
def test_caches_of_a_real_model(cache, attention, shift):
    def work(device):
        lm = model(shift=shift, attention=attention or "bidirectional", device=device)
        parts = Decoder(block_size=4, stop="never", cache=cache).resolve()
        drift = measure_drift(lm, canvas(length=8).to(device), parts, draws=Draws(seed=0))
        return drift.logits, drift.tokens, drift.text

    here, there = on_both(work)
    assert there == pytest.approx(here, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.7, "n": 2}, {"regex": "[0-9]+", "threshold": 0.2}, {"search": "smc", "temperature": 1.0}],
    ids=["samples", "regex", "smc"],
)  # fmt: skip
def test_generate(options):
    def work(device):
        return generate(
            model(device=device), ["3+4=", "ab"], max_new_tokens=12, block_size=4, seed=[3, 4], **options
        ).texts

    here, there = on_both(work)
    assert here == there


def test_infill():
    here, there = on_both(
        lambda device: infill(model(device=device), "1 ___ 3 ___", blank_tokens=3, block_size=4).texts
    )
    assert here == there


TEXTS = [
    Encoded(prompt=[1, 2, 3], answer=[4, 5, 6, 64], source="a"),
    Encoded(prompt=[7], answer=[8, 9, 64], source="b"),
]


@pytest.mark.parametrize("attention", ["bidirectional", "block_causal"])
def test_likelihoods(attention):
    def work(device):
        lm = model(attention=attention, device=device)
        found = likelihoods(lm, TEXTS, samples=4, block_size=4)
        return [*found.any_order.nats.tolist(), *found.by_block.nats.tolist()]

    here, there = on_both(work)
    assert here == pytest.approx(there, rel=1e-5)


def test_analyses():
    def work(device):
        lm, draws = model(device=device), Draws(seed=0)
        collator = Collator(
            layout=Layout(block_size=4, tail_blocks=1, max_length=64), filler_id=lm.filler_id, draws=draws
        )
        made = learnability(lm, TEXTS, collator, Study(passes=1, batch_size=2)).rows()
        apart = mismatch(lm, TEXTS, collator, passes=1, batch_size=2).rows()
        loss = held_out_loss(lm, make("blockwise"), TEXTS, collator, batch_size=2)
        return json.dumps([made, apart]), loss

    here, there = on_both(work)
    assert numbers(here[0]) == pytest.approx(numbers(there[0]), rel=1e-3, abs=1e-5)
    assert here[1] == pytest.approx(there[1], rel=1e-5)


def numbers(text):
    return [float(found) for found in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]
