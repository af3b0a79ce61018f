"""Mixtures: who is drawn, who is asked, whose loss it is, and what cannot be mixed."""

import pytest
import torch
from texts import ask, lay, places, tiny

from toys import Hash
from unmask.config.components import choose
from unmask.core.attention_rules import PerRow
from unmask.core.random import Draws
from unmask.errors import UserError
from unmask.objectives import OBJECTIVES, Blockwise, Lift, Mixture, Papl, Vanilla

SHAPES = [(3, 20), (0, 9), (4, 1), (2, 30), (1, 7), (5, 12)]
each_layout = pytest.mark.parametrize("packed", [None, 60], ids=["padded", "packed"])


def drawn(objective, examples, seed=0):
    """Which member each example gets, and its noise level."""
    b = lay(*[(0, 32)] * examples, block=4)
    n = ask(objective, b, seed=seed)
    member, level = torch.full((examples,), -1), torch.zeros(examples)
    member[n.example] = n.member
    level[n.example] = n.noise_level
    assert (member >= 0).all()
    return member, level


FULL = {"eps": 0.999}  # nearly every token is hidden, so that every example is asked


@pytest.mark.parametrize(("weights", "share"), [(None, 0.5), ((3.0, 1.0), 0.75), ((1.0, 9.0), 0.1)])
@pytest.mark.parametrize("stratified", [True, False])
def test_shares(weights, share, stratified):
    members = (Vanilla(**FULL), Blockwise(block_size=4, **FULL))
    for seed in range(3):
        member, _ = drawn(Mixture(members=members, weights=weights, stratified=stratified), 512, seed)
        assert float((member == 0).float().mean()) == pytest.approx(share, abs=0.006 if stratified else 0.07)
        if stratified:
            neighbours = (member == 0).float().unfold(0, 64, 64).mean(1)
            assert (neighbours - share).abs().max() < 0.05


@pytest.mark.parametrize("members", [2, 3, 4])
def test_every_member_meets_every_noise_level(members):
    """Members and noise levels are both spread evenly over neighbours, but not in step."""
    objective = Mixture(members=(Vanilla(eps=0.25),) * members)
    for seed in range(4):
        member, level = drawn(objective, 1024, seed)
        for number in range(members):
            histogram = torch.histc(level[member == number], 8, 0.25, 1)
            assert (histogram / (1024 / members / 8) - 1).abs().max() < 0.25


@each_layout
def test_each_example_is_asked_by_its_member_alone(packed):
    """The question and the weights are those of the member on its own examples; nothing is lost, nothing is twice."""
    members = (Lift(), Papl(), Blockwise(block_size=4))
    objective, b = Mixture(members=members), lay(*SHAPES, row_length=packed)
    met = set()
    for seed in range(6):
        n = ask(objective, b, seed=seed)
        owner = _owners(objective, b, seed)
        total, count = 0.0, 0.0
        for number, member in enumerate(members):
            mine = torch.tensor([e for e in range(len(SHAPES)) if owner[e] == number])
            if not len(mine):
                continue
            met.add(number)
            alone = ask(member, b.only(mine), seed=seed)
            together = n.member == number
            assert places(n.only(together)) == [(int(mine[e]), p) for e, p in places(alone)]
            assert torch.equal(n.weight[together], alone.weight)
            assert torch.equal(n.targets[together], alone.targets)
            total += float(member.loss(Hash().score(alone.query, alone.query_positions, alone.targets), alone))
            count += float(alone.count)
        scored = Hash().score(n.query, n.query_positions, n.targets)
        assert float(objective.loss(scored, n)) == pytest.approx(total, rel=1e-6)
        assert float(n.count) == pytest.approx(count) == len(SHAPES)
    assert met == {0, 1, 2}


def _owners(objective, batch, seed):
    """Which member each example is drawn for, by the recurrence itself."""
    zero = torch.zeros_like(batch.order)
    u = Draws(seed=seed).stratified("mixture", zero, batch.order)
    return (u * len(objective.members)).long().tolist()


def test_dispatch_by_hand():
    """Example 0 is vanilla's, example 1 PAPL's: the planner's factor touches the second only."""
    objective = Mixture(members=(Vanilla(normaliser="per_masked_row"), Papl(alpha=3.0)))
    n = ask(objective, lay((0, 2), (0, 2), block=2), t=[0.5], mask=[[0.0] * 2], mixture=[0.1, 0.7])
    assert n.member.tolist() == [0, 0, 1, 1]
    nll = torch.tensor([2.0, 4.0, 1.0, 1.0]).requires_grad_()
    objective.loss(type(Hash().score(n.query, n.query_positions, n.targets))(nll=nll), n).backward()
    assert nll.grad.tolist() == pytest.approx([0.5, 0.5, (1 + 1.5) / 2, (1 + 1.5) / 2])


def test_all_examples_may_fall_to_one_member():
    objective, b = Mixture(members=(Vanilla(), Papl(normaliser="per_sequence"))), lay((0, 2), (0, 2), block=2)
    for u, number in ((0.2, 0), (0.5, 1), (0.8, 1)):
        n = ask(objective, b, t=[0.5, 0.5], mask=[[0.0] * 2] * 2, mixture=[u, u])
        assert n.member.tolist() == [number] * 4
        loss = objective.loss(Hash().score(n.query, n.query_positions, n.targets), n)
        alone = objective.members[number]
        expected = ask(alone, b, t=[0.5, 0.5], mask=[[0.0] * 2] * 2)
        assert float(loss) == float(
            alone.loss(Hash().score(expected.query, expected.query_positions, expected.targets), expected)
        )


def test_packed_and_padded_are_the_same_question():
    objective = Mixture(members=(Lift(), Blockwise(block_size=4), Vanilla()))
    for seed in range(4):
        apart, together = (ask(objective, lay(*SHAPES, row_length=length), seed=seed) for length in (None, 60))
        key = [dict(zip(places(n), zip(n.weight.tolist(), n.member.tolist(), strict=True), strict=True))
               for n in (apart, together)]  # fmt: skip
        assert key[0] == key[1]
        assert float(apart.count) == float(together.count)


@each_layout
def test_layouts_mix_in_one_forward_of_a_real_model(packed):
    """Plain text and two streams: loss and gradients are those of a forward for each member."""
    members = (Lift(), choose(OBJECTIVES, {"name": "block_diffusion", "block_size": 4}))
    objective, b, lm = Mixture(members=members), lay(*SHAPES, row_length=packed), tiny("llama-shifted")
    seed = next(s for s in range(9) if len(set(_owners(objective, b, s))) == 2)
    n = ask(objective, b, lm, seed=seed)
    assert isinstance(n.query.rule, PerRow)
    mine = objective.loss(lm.score(n.query, n.query_positions, n.targets), n) / n.count
    owner, total = torch.tensor(_owners(objective, b, seed)), 0.0
    for number, member in enumerate(members):
        alone = ask(member, b.only((owner == number).nonzero().squeeze(1)), lm, seed=seed)
        total = total + member.loss(lm.score(alone.query, alone.query_positions, alone.targets), alone)
    theirs = total / len(SHAPES)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    gradients = (torch.autograd.grad(loss, lm.model.parameters()) for loss in (mine, theirs))
    for a, c in zip(*gradients, strict=True):
        torch.testing.assert_close(a, c, rtol=1e-4, atol=2e-6)


def mixture(*members, **more):
    return choose(OBJECTIVES, {"name": "mixture", "members": list(members), **more})


STREAMS = {"name": "block_diffusion", "block_size": 4}


@pytest.mark.parametrize(
    ("members", "more", "message"),
    [
        (["vanilla"], {}, "at least two"),
        (["vanilla", {"name": "lift", "normaliser": "per_token"}], {}, "lift by response tokens"),
        (["lift", {"name": "lift", "normaliser": "per_token"}], {}, "lift by examples, lift by response tokens"),
        ([{"name": "lift", "normaliser": "per_token"}, {"name": "lift", "normaliser": "per_masked"}], {}, "different"),
        (["vanilla", {"name": "cart", "normaliser": "per_masked"}], {}, "masked tokens"),
        ([{"name": "blockwise", "block_size": 4}, {"name": "blockwise", "block_size": 8}], {}, "one block_size"),
        ([{"name": "complementary", "inner": STREAMS}, {"name": "blockwise", "block_size": 8}], {}, "one block_size"),
        (["vanilla", {"name": "mixture"}], {}, "inside a mixture"),
        (["vanilla", "lift"], {"weights": [1.0]}, "one for each member"),
        (["vanilla", "lift"], {"weights": [1.0, 0.0]}, "weights"),
        ([STREAMS, {"name": "nbdiff", "block_size": 4}], {}, "one attention"),
        ("vanilla", {}, "a list of objectives"),
    ],
)
def test_what_cannot_be_mixed(members, more, message):
    with pytest.raises(UserError, match=message):
        choose(OBJECTIVES, {"name": "mixture", "members": members, **more})


def test_means_over_examples_mix_whatever_they_weigh():
    found = mixture("vanilla", "papl", {"name": "cart"}, {"name": "blockwise", "block_size": 4, "weighting": "elbo"})
    assert found.block_size == 4
    assert found.attention is None
    assert mixture("lift", STREAMS).attention == "block_causal"
    assert mixture(*[{"name": n, "normaliser": "per_token"} for n in ("vanilla", "lift")]).denominator == "per_token"


def test_denominators_that_count_tokens_add_up():
    b = lay((0, 4), (0, 8), (0, 12))
    n = ask(mixture(*[{"name": n, "normaliser": "per_token"} for n in ("vanilla", "lift")]), b)
    assert float(n.count) == 24
