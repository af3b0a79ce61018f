"""Soft masks in training: who is blended, with what gradient, and that it is learnt."""

import math

import pytest
import torch
from texts import M, ask, lay, tiny

from toys import Table, Uniform
from unmask.config.components import choose
from unmask.core.attention import CLEAN
from unmask.core.protocols import Traits
from unmask.core.query import SoftTokens
from unmask.data import Encoded
from unmask.errors import UserError
from unmask.generate import generate
from unmask.heads import SoftMask
from unmask.models import load
from unmask.objectives import OBJECTIVES, Blockwise, NBDiff, Remedi, SoftMasked, Vanilla
from unmask.runtime.paths import resolve_path
from unmask.tasks import TASKS
from unmask.train import Layout, TrainRun, train


def softened(model, scale=0.5):
    """Give a model (or a toy) a head that blends at any entropy."""
    head = SoftMask(torch.nn.Identity())
    head.raw_scale.data = torch.tensor(math.log(scale / (1 - scale)))
    head.raw_centre.data = torch.tensor(6.0)
    if isinstance(model.heads, dict):
        model.heads["soft_mask"] = head
    else:
        model.attach("soft_mask", {})
        model.heads["soft_mask"].load_state_dict(head.state_dict())
    return model


def started(name, objective):
    lm = tiny(name)
    for head, settings in objective.heads.items():
        lm.attach(head, settings)
    return lm


def test_by_hand():
    """Two of four tokens are masked; both hold the mask and the three best of 10 equal predictions, H = ln 11."""
    toy = softened(Uniform())
    n = ask(SoftMasked(inner="vanilla", share=1.0), lay((1, 4)), toy, t=[0.5], mask=[[0.0, 0.1, 0.9, 0.2, 0.8]])
    head = toy.heads["soft_mask"]
    share = 0.5 / (1 + math.exp(-10 / 1.5 * (math.log1p(math.exp(6.0)) - math.log(11))))
    assert n.query.soft.query_positions.tolist() == n.query_positions.tolist() == [[0, 1], [0, 3]]
    assert n.query.soft.ids[:, 0].tolist() == [M, M]
    assert all(M not in row for row in n.query.soft.ids[:, 1:].tolist())
    assert n.query.soft.weights[0].tolist() == pytest.approx([1 - share, *[share / 3] * 3], rel=1e-4)
    assert float(head.share(torch.tensor(math.log(11))).detach()) == pytest.approx(share, rel=1e-4)


def test_predictions_by_hand():
    """What is blended is what the model answers to the hard question."""
    toy = softened(Table())
    n = ask(SoftMasked(inner="vanilla", share=1.0), lay((1, 4)), toy, t=[1.0], mask=torch.zeros(1, 5).tolist())
    logits = Table().predict(n.query, n.query_positions)
    logits[:, M] = -torch.inf
    assert torch.equal(n.query.soft.ids[:, 1:], logits.topk(3).indices)
    assert toy.forwards == 1


def test_the_inner_method_asks():
    """The same question, but for the blends."""
    batch = lay((2, 8), (3, 5), tail=4)
    for inner in (Vanilla(), Blockwise(block_size=4), Vanilla(tail="hidden")):
        plain = ask(inner, batch, Table())
        soft = ask(SoftMasked(inner=inner, share=1.0), batch, softened(Table()))
        assert torch.equal(plain.query.ids, soft.query.ids)
        assert torch.equal(plain.query_positions, soft.query_positions)
        assert torch.equal(plain.weight, soft.weight)
        assert torch.equal(
            soft.query.soft.query_positions, soft.query_positions
        )  # a hidden tail and later blocks stay hard
        assert (soft.query.ids == M).sum() >= len(soft.query_positions)


@pytest.mark.parametrize("inner", [NBDiff(block_size=4, grow_until=0.0), Remedi(corruption=0.5)], ids=lambda o: o.name)
def test_visible_tokens_that_are_asked_are_not_blended(inner):
    """NBDiff asks the clean stream, RemeDi every response token."""
    objective = SoftMasked(inner=inner, share=1.0)
    lm = started("llama-shifted", objective)
    n = ask(objective, lay((2, 8), (3, 5), end=lm.filler_id), lm)
    row, column = n.query.soft.query_positions.unbind(1)
    assert (n.query.ids[row, column] == lm.mask_id).all()
    assert (n.query.columns.stream[row, column] != CLEAN).all()
    assert 0 < len(row) < len(n.query_positions)
    hidden = n.query.ids[n.query_positions[:, 0], n.query_positions[:, 1]] == lm.mask_id
    assert torch.equal(n.query.soft.query_positions, n.query_positions[hidden])


def embeddings(lm, query):
    """What the model reads."""
    inputs = lm._inputs(query)
    return (
        inputs["inputs_embeds"] if "inputs_embeds" in inputs else lm.model.get_input_embeddings()(inputs["input_ids"])
    )


@pytest.mark.parametrize("name", ["llama", "qwen2-shifted"])
def test_at_first_the_embeddings_are_those_of_hard_masks(name):
    """7: lambda is about 0 at the start."""
    objective = SoftMasked(inner="vanilla", share=1.0)
    lm = started(name, objective)
    n = ask(objective, lay((2, 8)), lm)
    hard = lm.model.get_input_embeddings()(n.query.ids)
    torch.testing.assert_close(embeddings(lm, n.query), hard, rtol=0, atol=1e-6)
    plain = ask(Vanilla(), lay((2, 8)), lm)
    with torch.no_grad():
        torch.testing.assert_close(
            lm.logits(n.query, n.query_positions), lm.logits(plain.query, plain.query_positions), rtol=0, atol=1e-4
        )


def test_visible_positions_are_untouched_and_masked_ones_are_blends():
    lm = softened(tiny())
    n = ask(SoftMasked(inner="vanilla", share=1.0), lay((2, 8)), lm)
    table = lm.model.get_input_embeddings().weight
    found, hard = embeddings(lm, n.query), table[n.query.ids]
    is_blended = torch.zeros_like(n.query.ids, dtype=torch.bool)
    is_blended[n.query_positions[:, 0], n.query_positions[:, 1]] = True
    assert torch.equal(found[~is_blended], hard[~is_blended])
    soft = n.query.soft
    expected = torch.stack([w @ table[ids] for w, ids in zip(soft.weights, soft.ids, strict=True)])
    torch.testing.assert_close(found[is_blended], expected)
    assert (found[is_blended] - hard[is_blended]).abs().max() > 1e-3


def test_one_prediction_is_the_argmax():
    """7: k = 1."""
    lm = tiny()
    lm.attach("soft_mask", {"top_k": 1})
    n = ask(SoftMasked(inner="vanilla", share=1.0, top_k=1), lay((2, 8)), lm)
    plain = ask(Vanilla(), lay((2, 8)), lm)
    with torch.no_grad():
        logits = lm.logits(plain.query, plain.query_positions)
    logits[:, lm.mask_id] = -torch.inf
    assert n.query.soft.ids[:, 1].tolist() == logits.argmax(-1).tolist()
    assert n.query.soft.ids.shape[1] == 2


def test_the_first_forward_has_no_gradient():
    """7: the blends depend on the three scalars and on nothing of the model; the loss on both."""
    lm = softened(tiny())
    objective = SoftMasked(inner="vanilla", share=1.0)
    n = ask(objective, lay((2, 8)), lm)
    weights = list(lm.model.parameters())
    found = torch.autograd.grad(n.query.soft.weights[:, 0].sum(), weights, allow_unused=True, retain_graph=True)
    head = {id(p) for p in lm.heads.parameters()}
    reached = {id(p) for p, g in zip(weights, found, strict=True) if g is not None}
    assert reached == head
    assert not n.query.soft.ids.requires_grad
    objective.loss(lm.score(n.query, n.query_positions, n.targets), n).backward()
    with_constants = [p.grad.clone() for p in weights if id(p) not in head]
    assert all(float(p.grad.abs()) > 0 for p in lm.heads.parameters())
    lm.model.zero_grad()
    soft = n.query.soft
    fixed = SoftTokens(query_positions=soft.query_positions, ids=soft.ids, weights=soft.weights.detach())
    query = type(n.query)(**{**vars(n.query), "soft": fixed})
    objective.loss(lm.score(query, n.query_positions, n.targets), n).backward()
    for one, p in zip(with_constants, (p for p in weights if id(p) not in head), strict=True):
        torch.testing.assert_close(p.grad, one)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_the_share_is_of_examples(share):
    """Drawn for an example: all of its masked tokens are blended, or none."""
    toy = softened(Uniform())
    n = ask(SoftMasked(inner="vanilla", share=share), lay(*[(1, 4)] * 400), toy)
    queried, blended = set(n.query_positions[:, 0].tolist()), set(n.query.soft.query_positions[:, 0].tolist())
    assert len(n.query.soft.query_positions) == sum(row in blended for row, _ in n.query_positions.tolist())
    assert len(blended) / len(queried) == pytest.approx(share, abs=0.08)
    assert toy.forwards == (share > 0)
    assert n.query.soft.weights.requires_grad  # with a gradient of zero where nothing is blended


def test_without_a_head_the_masks_are_hard():
    assert ask(SoftMasked(inner="vanilla", share=1.0), lay((1, 4)), Uniform()).query.soft is None


def test_both_forwards_are_counted():
    lm = softened(tiny())
    batch = lay((2, 8))
    before = lm.flops.tokens
    n = ask(SoftMasked(inner="vanilla", share=1.0), batch, lm)
    assert lm.flops.tokens - before == batch.ids.numel()
    lm.score(n.query, n.query_positions, n.targets)
    assert lm.flops.tokens - before == 2 * batch.ids.numel()


def test_low_precision_models_can_be_blended():
    lm = softened(tiny())
    for weight in lm.model.parameters():
        weight.data = weight.data.bfloat16()
    n = ask(SoftMasked(inner="vanilla", share=1.0), lay((2, 8)), lm)
    assert torch.isfinite(lm.score(n.query, n.query_positions, n.targets).nll).all()


def test_in_a_mixture_the_blends_stay_with_their_rows():
    members = [{"name": "vanilla"}, {"name": "soft_masked", "share": 1.0, "inner": "vanilla"}]
    mixture = choose(OBJECTIVES, {"name": "mixture", "members": members})
    n = ask(mixture, lay(*[(2, 4)] * 6), softened(Uniform()))
    soft, of_second = n.query.soft, n.member % 2 == 1
    assert soft.query_positions.tolist() == n.query_positions[of_second].tolist()
    assert (n.query.ids[soft.query_positions[:, 0], soft.query_positions[:, 1]] == M).all()
    assert mixture.heads == {"soft_mask": {"top_k": 3, "lr": 1e-2, "scale": 1e-6}}


def test_it_is_decoded_and_refused_as_its_inner_method():
    objective = SoftMasked(inner={"name": "block_diffusion", "block_size": 4})
    assert (objective.block_size, objective.attention) == (4, "block_causal")
    traits = Traits(shift=False, attention="block_causal", takes_positions=False)
    assert "block_diffusion reads several copies" in objective.refuses(traits)
    assert SoftMasked(inner="remedi").heads.keys() == {"soft_mask", "confidence"}
    with pytest.raises(UserError, match="inner: expected a method that hides tokens of a response"):
        SoftMasked(inner="sdlm")


def test_it_learns_to_blend_and_decodes_otherwise(tmp_path):
    """The scalars move, come back as they were saved, and decoding with them reads something else.

    From the paper's start, a share of 1e-6, the head needs thousands of steps; it starts at 1/5 here.
    """
    task = TASKS["sorting"](shortest=5, longest=6)
    lm = load(resolve_path("asset:quickstart/model"))
    encode = lm.tokenizer.encode
    rows = [
        Encoded(prompt=encode(p.prompt), answer=[*encode(p.solution), lm.filler_id], source=p.source)
        for p in task.problems("train", 960, 0)
    ]
    objective = SoftMasked(inner=Blockwise(block_size=7), share=1.0, head_lr=0.1, first_scale=0.2)
    lm.attach("soft_mask", objective.heads["soft_mask"])
    start = [float(p.detach()) for p in lm.heads["soft_mask"].parameters()]
    run = TrainRun(objective=objective, steps=60, batch_size=16, lr=2e-3, warmup=0.0)
    result = train(lm, rows, run, out=tmp_path / "run", layout=Layout(), show=False)
    learnt = [float(p.detach()) for p in lm.heads["soft_mask"].parameters()]
    assert all(abs(a - b) > 0.05 for a, b in zip(learnt, start, strict=True))
    again = load(result.model)
    assert [float(p.detach()) for p in again.heads["soft_mask"].parameters()] == learnt
    assert again.heads["soft_mask"].settings == {"top_k": 3, "lr": 0.1, "scale": 0.2}
    problems = task.problems("test", 60, 0)
    texts = {
        view: generate(again, [p.prompt for p in problems], max_new_tokens=28, threshold=0.7, view=view).texts
        for view in ("canvas", "soft_mask", None)
    }
    assert texts["canvas"] != texts["soft_mask"]
    assert texts[None] == texts["soft_mask"]  # the default of a model with the head
    assert min(sum(map(task.is_right, texts[view], problems)) for view in texts) > 0
