"""PAPL: the planner's weights by hand, and what they sum to."""

import math

import pytest
import torch
from knowing import Known
from texts import ask, lay, tiny

from unmask.core.protocols import Scored
from unmask.objectives import Blockwise, Complementary, Mixture, Papl, Vanilla

LN2, LN4 = math.log(2), math.log(4)


def loss_of(objective, nll, noised):
    return objective.loss(Scored(nll=torch.as_tensor(nll, dtype=torch.float64)), noised) / noised.count


def both(alpha=1.0, tau=1.0, **options):
    """Two hidden tokens with p = 1/2 and 1/4."""
    objective = Papl(alpha=alpha, tau=tau, **options)
    n = ask(objective, lay((1, 2), block=2), t=[0.5], mask=[[0.0] * 3])
    return float(loss_of(objective, [LN2, LN4], n))


def test_by_hand():
    """w = 2/3 and 1/3 at tau = 1; at tau = 1/2 the squares: 4/5 and 1/5."""
    assert both() == pytest.approx(((1 + 2 / 3) * LN2 + (1 + 1 / 3) * LN4) / 2, rel=1e-6)
    assert both(alpha=5.0, tau=0.5) == pytest.approx(((1 + 5 * 0.8) * LN2 + (1 + 5 * 0.2) * LN4) / 2, rel=1e-6)
    assert both(alpha=0.0) == pytest.approx((LN2 + LN4) / 2, rel=1e-6)


def test_over_the_response_by_hand():
    """As a factor on any other denominator: 1 / t over the response length."""
    options = {"normaliser": "per_sequence", "eps": 1e-12}
    assert both(**options) == pytest.approx(((1 + 2 / 3) * LN2 + (1 + 1 / 3) * LN4) / 0.5 / 2, rel=1e-6)


def test_the_mean_over_examples_by_hand():
    """The second example has one hidden token, which gets all of the planner; the third has none and counts as 0."""
    objective, b = Papl(), lay((1, 2), (1, 2), (1, 2), block=2)
    n = ask(objective, b, t=[0.5] * 3, mask=[[0.0] * 3, [0.0, 0.9, 0.1], [0.9] * 3])
    assert n.example.tolist() == [0, 0, 1]
    expected = ((1 + 2 / 3) * LN2 / 2 + (1 + 1 / 3) * LN4 / 2 + 2 * LN4) / 3
    assert float(loss_of(objective, [LN2, LN4, LN4], n)) == pytest.approx(expected, rel=1e-6)


def test_nothing_hidden_is_zero_with_a_graph():
    objective = Papl()
    n = ask(objective, lay((1, 2), block=2), t=[0.5], mask=[[0.9] * 3])
    nll = torch.zeros(0, dtype=torch.float64, requires_grad=True)
    loss = objective.loss(Scored(nll=nll), n)
    loss.backward()
    assert float(loss.detach()) == 0


def sums(objective, n, nll):
    """Gradient by token, summed by group: what the weights of a view of an example sum to."""
    nll = nll.clone().requires_grad_()
    (objective.loss(Scored(nll=nll), n) / n.count).backward()
    groups = int(n.group.max()) + 1
    total = torch.zeros(groups, dtype=torch.float64).index_add(0, n.group, nll.grad)
    return nll.grad, total, torch.bincount(n.group, minlength=groups)


VIEWS = {
    "papl": (lambda inner: inner, 1.0),
    "blockwise": (lambda inner: Blockwise(block_size=4, inner=inner), 1.0),
    "all blocks": (lambda inner: Blockwise(block_size=4, blocks="all", inner=inner), 1 / 5),
    "two streams": (lambda inner: Blockwise(block_size=4, blocks="all", layout="two_streams", inner=inner), 1 / 5),
    "complementary": (lambda inner: Complementary(inner=inner), 1 / 2),
}


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
@pytest.mark.parametrize(("around", "share"), VIEWS.values(), ids=list(VIEWS))
def test_weights_of_a_view_sum_to_its_share(around, share, alpha):
    """1 + alpha / |m| for each view of each example, each weight between 1 / |m| and (1 + alpha) / |m|.

    There are two examples of five blocks; a view stands for its share of an example, and the loss is their mean.
    """
    objective, b = around(Papl(alpha=alpha)), lay((3, 20), (2, 18))
    generator = torch.Generator().manual_seed(0)
    for seed in range(5):
        n = ask(objective, b, seed=seed)
        nll = 5 * torch.rand(len(n.query_positions), generator=generator, dtype=torch.float64)
        weight, total, masked = sums(objective, n, nll)
        scale = share / 2
        expected = torch.where(masked > 0, scale * (1 + alpha / masked.clamp(min=1)), 0.0).double()
        torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-8)
        base = scale / masked[n.group]
        assert (weight >= base * (1 - 1e-6)).all()
        assert (weight <= base * (1 + alpha) * (1 + 1e-6)).all()


def test_easy_tokens_get_more():
    objective = Papl(alpha=3.0)
    n = ask(objective, lay((0, 6), block=6), t=[0.9], mask=[[0.0] * 6])
    weight, _, _ = sums(objective, n, torch.tensor([3.0, 1.0, 2.0, 0.5, 4.0, 2.5], dtype=torch.float64))
    assert weight.argsort(descending=True).tolist() == [3, 1, 2, 5, 0, 4]


def test_without_alpha_it_is_the_mean_over_masked_tokens():
    b, theirs = lay((3, 20), (0, 9)), Vanilla(normaliser="per_masked_row")
    for seed in range(5):
        mine = ask(Papl(alpha=0.0), b, seed=seed)
        other = ask(theirs, b, seed=seed)
        assert torch.equal(mine.query.ids, other.query.ids)
        nll = torch.rand(len(mine.query_positions), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(loss_of(Papl(alpha=0.0), nll, mine), loss_of(theirs, nll, other))


def test_no_gradient_through_the_planner():
    """Through a model: the gradient is that of CE under fixed weights."""
    lm, objective = tiny(), Papl(alpha=4.0, tau=0.7)
    n = ask(objective, lay((3, 20), (0, 9)), lm)
    nll = lm.score(n.query, n.query_positions, n.targets).nll
    mine = torch.autograd.grad(objective.loss(Scored(nll=nll), n), lm.model.parameters(), retain_graph=True)
    planner = torch.zeros_like(nll)
    for group in (0, 1):
        planner[n.group == group] = (-nll[n.group == group].detach() / 0.7).softmax(0)
    fixed = torch.autograd.grad((n.weight * (1 + 4 * planner) * nll).sum(), lm.model.parameters())
    for a, b in zip(mine, fixed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-6)


def test_hopeless_tokens_are_safe():
    """Losses of thousands of nats: the softmax is taken relative to the largest."""
    objective = Papl(tau=0.01)
    n = ask(objective, lay((0, 4), block=4), t=[0.9], mask=[[0.0] * 4])
    weight, total, _ = sums(objective, n, torch.tensor([1e4, 2e4, 3e4, 4e4], dtype=torch.float64))
    assert weight.tolist() == pytest.approx([0.5, 0.25, 0.25, 0.25])
    assert float(total) == pytest.approx(1.25)


def test_the_planner_looks_at_its_own_examples_only():
    """In a mixture the other member's tokens do not dilute the softmax."""
    members = (Vanilla(normaliser="per_masked_row"), Papl())
    objective, b = Mixture(members=members), lay((1, 2), (1, 2), block=2)
    n = ask(objective, b, Known(nll=[0.0] * 3), t=[0.5], mask=[[0.0] * 3], mixture=[0.1, 0.9])
    expected = ((LN2 + LN4) / 2 + ((1 + 2 / 3) * LN2 + (1 + 1 / 3) * LN4) / 2) / 2
    assert float(loss_of(objective, [LN2, LN4, LN2, LN4], n)) == pytest.approx(expected, rel=1e-6)
