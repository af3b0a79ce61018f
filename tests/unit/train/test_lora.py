"""Adapters in training: what moves, what does not, and that a run of them resumes."""

import shutil

import pytest
import torch

from unmask.models import LoraSpec, add_lora, load
from unmask.objectives import Blockwise
from unmask.train import TrainRun, train

RUN = TrainRun(objective=Blockwise(block_size=4), steps=4, batch_size=2, lr=1e-2, save_every=2, keep=5)


@pytest.fixture
def base(tiny, tmp_path):
    tiny().save(tmp_path / "base")
    return tmp_path / "base"


def adapted(base):
    return add_lora(load(str(base)), LoraSpec(rank=2))


def test_only_adapters_and_the_mask_row_move(base, sorting, tmp_path):
    lm = adapted(base)
    before = {n: p.detach().clone() for n, p in lm.model.named_parameters()}
    embedding = lm.model.get_input_embeddings()
    everything = torch.arange(lm.vocab_size)
    rows = embedding(everything).detach().clone()
    train(lm, sorting, RUN, out=tmp_path / "run", show=False)
    moved = {n for n, p in lm.model.named_parameters() if not torch.equal(before[n], p)}
    assert moved
    assert all("lora_" in n or "trainable_tokens" in n for n in moved)
    changed = (embedding(everything) != rows).any(1).nonzero().flatten().tolist()
    assert changed == [lm.mask_id]


def test_a_run_of_adapters_loads_and_resumes_bit_for_bit(base, sorting, tmp_path):
    whole = train(adapted(base), sorting, RUN, out=tmp_path / "whole", show=False)
    train(adapted(base), sorting, RUN, out=tmp_path / "cut", show=False)
    shutil.rmtree(tmp_path / "cut/checkpoints/checkpoint-4")
    shutil.rmtree(tmp_path / "cut/model")
    again = train(adapted(base), sorting, RUN, out=tmp_path / "cut", resume=True, show=False)
    one, two = (load(str(result.model)).model.state_dict() for result in (whole, again))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert torch.equal(two[name], weight), name


def test_gradient_checkpointing_changes_no_gradient(base, sorting, tmp_path):
    from dataclasses import replace

    plain = train(adapted(base), sorting, RUN, out=tmp_path / "plain", show=False)
    saving = train(
        adapted(base), sorting, replace(RUN, gradient_checkpointing=True), out=tmp_path / "saving", show=False
    )
    one, two = (load(str(result.model)).model.state_dict() for result in (plain, saving))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, atol=1e-5, rtol=0)
