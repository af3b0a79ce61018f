"""What every objective must keep, parametrised over the registry: a new method is covered when its file exists."""

import math

import pytest
import torch

from toys import Hash, Uniform
from unmask.canvas import Example, lay_out
from unmask.config import choose, field_names
from unmask.objectives import OBJECTIVES
from unmask.seeds import Draws, RecordedDraws
from unmask.types import Scored


def make(name):
    grid = {"block_size": 4} if "block_size" in field_names(OBJECTIVES[name]) and name != "vanilla" else {}
    return choose(OBJECTIVES, {"name": name, **grid})


def batch(orders=(0, 1, 2, 3), lengths=(9, 4, 1, 14), tail=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    examples = []
    for order, length in zip(orders, lengths, strict=True):
        text = torch.randint(0, 9, (3 + length,), generator=rng).tolist()
        canvas = math.ceil((length + 1) / 4) * 4 + tail
        examples.append(Example(prompt=text[:3], answer=[*text[3:], 9], order=order, canvas=canvas))
    return lay_out(examples, block_size=4, filler_id=9)


def noise(objective, b, seed=0, model=None, draws=None):
    return objective.noise(b, model=model or Hash(), draws=draws or Draws(seed=seed), progress=0.5)


every = pytest.mark.parametrize("objective", [make(name) for name in OBJECTIVES], ids=list(OBJECTIVES))


@every
def test_the_prompt_is_never_corrupted_and_never_asked(objective):
    b = batch()
    for seed in range(20):
        n = noise(objective, b, seed)
        if n.query.ids.shape == b.ids.shape:
            outside = ~b.is_canvas
            assert torch.equal(n.query.ids[outside], b.ids[outside])
        assert (n.query.columns.segment[n.at[:, 0], n.at[:, 1]] >= 0).all()
        assert n.weight.shape == n.targets.shape == n.example.shape == n.noise_level.shape == n.at.shape[:1]


@every
def test_asked_positions_are_hidden_and_targets_are_gold(objective):
    b = batch()
    for seed in range(20):
        n = noise(objective, b, seed)
        assert (n.query.ids[n.at[:, 0], n.at[:, 1]] == Hash().mask_id).all()
        position = n.query.columns.position[n.at[:, 0], n.at[:, 1]]
        assert torch.equal(n.targets, b.ids[n.example, position])
        assert b.is_canvas[n.example, position].all()


@every
def test_same_draws_same_question_and_seeds_matter(objective):
    b = batch()
    one, again = noise(objective, b, 5), noise(objective, b, 5)
    assert torch.equal(one.query.ids, again.query.ids)
    assert torch.equal(one.weight, again.weight)
    assert any(not torch.equal(one.query.ids, noise(objective, b, seed).query.ids) for seed in range(6, 10))


@every
def test_noise_belongs_to_the_example_not_to_the_batch(objective):
    """Alone, in company, padded further: the same hidden tokens and, per example, the same weights."""
    together = noise(objective, batch())
    everyone = batch()
    row = 3
    width = int((everyone.owner[row] >= 0).sum())
    ids = everyone.ids[row, :width].tolist()
    start = int((everyone.offset[row] < 0)[:width].sum())
    text = int(everyone.text_length[row])
    single = lay_out(
        [Example(prompt=ids[:start], answer=ids[start : start + text], order=3, canvas=width - start)],
        block_size=4,
        filler_id=9,
    )
    alone = noise(objective, single)
    mine = together.example == row
    assert torch.equal(alone.targets, together.targets[mine])
    if alone.query.ids.shape[0] == 1:
        assert torch.equal(alone.query.ids[0], together.query.ids[row, :width])
    if getattr(objective, "normaliser", "per_sequence") == "per_sequence":  # a mean over examples
        share = together.weight[mine] / together.count * len(everyone.order)
        torch.testing.assert_close(alone.weight / alone.count, share)


@every
@pytest.mark.parametrize("t", [0.0, 1e-9, 0.5, 1.0 - 1e-12])
def test_finite_at_the_edges(objective, t):
    b = batch()
    draws = RecordedDraws(seed=0, values={"t": torch.full((4,), t)})
    n = noise(objective, b, model=Uniform(), draws=draws)
    scored = Uniform().score(n.query, n.at, n.targets, want=objective.want)
    loss = objective.loss(scored, n) / n.count.clamp(min=1)
    assert torch.isfinite(loss)
    assert torch.isfinite(n.weight).all()
    assert (n.weight >= 0).all()


@every
def test_uniform_model(objective):
    """With all logits zero the loss is ln V in expectation, or exactly where each example's weights sum to 1."""
    if getattr(objective, "weighting", "") == "per_masked":
        objective = choose(OBJECTIVES, {"name": objective.name, "block_size": 4, "weighting": "elbo"})
    b = batch(orders=tuple(range(64)), lengths=(15,) * 64, tail=0)
    values = []
    for seed in range(150):
        n = noise(objective, b, seed, model=Uniform())
        scored = Uniform().score(n.query, n.at, n.targets, want=objective.want)
        values.append(float(objective.loss(scored, n) / n.count))
    mean = sum(values) / len(values)
    deviation = (sum((v - mean) ** 2 for v in values) / len(values) / len(values)) ** 0.5
    assert abs(mean - math.log(11)) < 4 * deviation + 1e-6
    assert deviation < 0.05 * math.log(11)


@every
def test_gradient_support(objective):
    """The loss depends on the answers at asked positions, each by its weight."""
    n = noise(objective, batch())
    logits = torch.zeros(len(n.at), 11, dtype=torch.float64, requires_grad=True)
    nll = torch.nn.functional.cross_entropy(logits, n.targets, reduction="none")
    entropy = torch.zeros_like(nll)
    loss = objective.loss(Scored(nll=nll, entropy=entropy, is_top=entropy > 0, confidence=entropy), n)
    loss.backward()
    expected = n.weight.double() * (1 - 1 / 11)
    torch.testing.assert_close(-logits.grad.gather(-1, n.targets[:, None]).squeeze(-1), expected)
