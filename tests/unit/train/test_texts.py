"""Texts without prompts under every objective: packed or not, shifted or not, the loss is that of each text alone."""

import json

import pytest
import torch

from unmask.config.components import choose
from unmask.config.defaults import Layout
from unmask.core.random import Draws
from unmask.data import Collator, Record, encode
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import OBJECTIVES
from unmask.train import TrainRun, train

METHODS = [
    {"name": "vanilla", "normaliser": "per_sequence"},
    {"name": "blockwise", "block_size": 4},
    {"name": "block_diffusion", "block_size": 4},
    {"name": "block_diffusion", "block_size": 4, "first_from": "noisy"},
    {"name": "lift"},
    {"name": "mixture", "members": ["vanilla", {"name": "blockwise", "block_size": 4}]},
]


def model_of(*, shift):
    return from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, seed=1), shift=shift)


def examples_of(lm, *texts, max_length=16):
    records = [Record(completion=text, is_text=True, source=text) for text in texts]
    return encode(records, lm.tokenizer, max_length=max_length, block_size=4, end_ids=lm.eos_ids, mask_id=lm.mask_id)


def loss_of(lm, objective, examples, *, pack, orders):
    layout = Layout(block_size=4, max_length=16, tail="block", pack=pack)
    collator = Collator(layout=layout, filler_id=lm.filler_id, draws=Draws(seed=0))
    items = [{"prompt": e.prompt, "answer": e.answer, "order": n} for e, n in zip(examples, orders, strict=True)]
    noised = objective.noise(collator(items), model=lm, draws=Draws(seed=3), progress=0.5)
    scored = lm.score(noised.query, noised.query_positions, noised.targets, want=objective.want)
    return float(objective.loss(scored, noised)), float(noised.count), len(collator(items).ids)


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: "-".join(str(v) for k, v in m.items() if k != "members"))
def test_packed_texts_have_the_loss_of_each_alone(method, shift):
    lm, objective = model_of(shift=shift), choose(OBJECTIVES, method)
    examples = examples_of(lm, "abcdefg", "12345", "xy", "hello world, this is long")
    orders = list(range(len(examples)))
    assert len(examples) == 5
    with torch.no_grad():
        packed, count, rows = loss_of(lm, objective, examples, pack=True, orders=orders)
        alone = [loss_of(lm, objective, [e], pack=False, orders=[n]) for e, n in zip(examples, orders, strict=True)]
    assert rows < len(examples), "some share a row"
    assert packed == pytest.approx(sum(loss for loss, _, _ in alone), rel=1e-5)
    assert count == pytest.approx(sum(n for _, n, _ in alone))
    assert packed > 0


@pytest.mark.parametrize("shift", [False, True])
def test_the_loss_by_hand(shift):
    """Two packed texts, all hidden: each token from the state before it, the first of a text from its own."""
    lm = model_of(shift=shift)
    objective = choose(OBJECTIVES, {"name": "vanilla", "normaliser": "per_token", "eps": 0.999})
    examples = examples_of(lm, "ab", "cde")
    with torch.no_grad():
        loss, _, rows = loss_of(lm, objective, examples, pack=True, orders=[0, 1])
        by_hand = 0.0
        for example in examples:  # columns of 4: text, end, filler
            target = [*example.answer, *[lm.filler_id] * (4 - len(example.answer))]
            logits = lm.model(
                input_ids=torch.full((1, 4), lm.mask_id), attention_mask=torch.ones(1, 1, 4, 4) > 0
            ).logits[0]
            read = [max(c - 1, 0) for c in range(4)] if shift else list(range(4))
            by_hand += float(
                torch.nn.functional.cross_entropy(logits[read].float(), torch.tensor(target), reduction="sum")
            )
    assert rows == 1
    assert loss == pytest.approx(by_hand, rel=2e-3)  # 1 / t with t in [0.999, 1]


def test_a_run_packs_texts_unless_told_otherwise(tmp_path):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in ("abcdefg", "12345", "hello world, this is long"))
    (tmp_path / "a.jsonl").write_text(lines)
    run = TrainRun(objective="vanilla", steps=2, batch_size=2)
    for pack in (None, False):
        layout = Layout(block_size=4, max_length=16, pack=pack)
        out = tmp_path / str(pack)
        train(model_of(shift=True), tmp_path / "a.jsonl", run, out=out, layout=layout, show=False)
        settings = json.loads((out / "run.json").read_text())["settings"]
        assert settings["pack"] is (pack is None)
        assert settings["examples"] == 4
    with pytest.raises(Exception, match="pack was True and is False"):
        train(
            model_of(shift=True), tmp_path / "a.jsonl", run, out=tmp_path / "None", show=False, resume=True,
            layout=Layout(block_size=4, max_length=16, pack=False),
        )  # fmt: skip
