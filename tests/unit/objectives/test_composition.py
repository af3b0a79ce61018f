"""Methods put together of components: what they give, what is refused, and how they are written down."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from knowing import Known
from texts import ask, lay, region_of

from toys import Hash, Uniform
from unmask.config.components import InvalidConfigError, choose, component
from unmask.core.protocols import Scored
from unmask.core.random import Draws
from unmask.errors import UserError
from unmask.objectives import HIDES, OBJECTIVES, WEIGHTS, Blockwise, Hide, Lift, Vanilla, Weight
from unmask.objectives.base import Hidden
from unmask.objectives.cart import CartWeight
from unmask.train import Layout, TrainRun
from unmask.train.record import refuse_changes, settings_of_run


def make(name, **fields):
    return choose(OBJECTIVES, {"name": name, **fields})


BATCH = lay((3, 9), (0, 5), (2, 12), (4, 1), tail=4)


def question(objective, seed=3):
    """What is read, asked and counted, and a loss of it."""
    n = objective.noise(BATCH, model=Hash(), draws=Draws(seed=seed), progress=0.5)
    scored = Hash().score(n.query, n.query_positions, n.targets, want=("entropy", "is_top"))
    return [n.query.ids, n.query_positions, n.targets, n.weight, n.noise_level, n.count, objective.loss(scored, n)]


SAME = {
    "hide: lift is lift": ({"name": "vanilla", "hide": "lift"}, {"name": "lift"}),
    "hide: gift brings gift's weights": (
        {"name": "vanilla", "hide": "gift", "normaliser": "per_masked_row"}, {"name": "gift"}
    ),
    "weight: cart is cart": (
        {"name": "vanilla", "weight": {"name": "cart", "p": 0.3}, "normaliser": "per_masked_row"},
        {"name": "cart", "p": 0.3},
    ),
    "weight: papl is papl": (
        {"name": "vanilla", "weight": {"name": "papl", "alpha": 2}, "normaliser": "per_masked_row"},
        {"name": "papl", "alpha": 2},
    ),
    "hide: complementary": ({"name": "vanilla", "hide": "complementary"}, {"name": "complementary"}),
    "hide: complementary around lift": (
        {"name": "blockwise", "block_size": 4, "hide": {"name": "complementary", "inner": "lift"}},
        {"name": "complementary", "inner": {"name": "blockwise", "block_size": 4, "inner": "lift"}},
    ),
    "fast_dllm_v2": (
        {"name": "block_diffusion", "block_size": 4, "hide": "complementary", "normaliser": "per_masked"},
        {"name": "fast_dllm_v2", "block_size": 4},
    ),
    "cap": (
        {"name": "wsd", "block_size": 4, "weight": {"name": "cap", "strength": 0.5}},
        {"name": "wsd", "block_size": 4, "cap": 0.5},
    ),
    "hide in a block": (
        {"name": "blockwise", "block_size": 4, "hide": "gift"}, {"name": "blockwise", "block_size": 4, "inner": "gift"}
    ),
    "weight in a block": (
        {"name": "blockwise", "block_size": 4, "weight": "cart"},
        {"name": "blockwise", "block_size": 4, "inner": "cart"},
    ),
    "two components in a block": (
        {"name": "blockwise", "block_size": 4, "hide": {"name": "lift", "components": 2}, "weight": "cart"},
        {"name": "blockwise", "block_size": 4, "inner": {"name": "lift", "components": 2, "weight": "cart"}},
    ),
    "named defaults": ({"name": "vanilla", "hide": "uniform", "weight": "time"}, {"name": "vanilla"}),
    "no 1/t": ({"name": "lift", "weight": {"name": "time", "when": "never"}}, {"name": "lift", "time_weight": False}),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_two_spellings_of_one_method(name):
    one, other = (question(choose(OBJECTIVES, spec)) for spec in SAME[name])
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_lift_chooses_and_cart_weighs_by_hand():
    """Of a superset of four LIFT keeps 1 and 3 (easy) at t = 0.5; CART sees the four others and the prompt."""
    b = lay((1, 6), block=6)
    objective = make("lift", components=2, eps=1e-12, rho_min=0, weight={"name": "cart", "p": 0.5})
    coins, nll = [[0.99, 0.0, 0.1, 0.2, 0.3, 0.99, 0.99]], [0.0, 1.0, 4.0, 2.0, 3.0, 0.0, 0.0]
    n = ask(objective, b, Known(nll=nll), t=[0.5], rho=[0.9], mask=coins)  # k = round(4 * .5 / .95) = 2
    assert n.query_positions.tolist() == [[0, 1], [0, 3]]
    # w = 1/2 sum of 0.5 * 0.5^(d - 1) over the visible, d their distances: column 1 sees 0, 2, 4, 5, 6;
    # column 3 sees 0, 2, 4, 5, 6. Divided by the six response tokens of one example, and not by t.
    first = 0.25 * (1 + 1 + 0.25 + 0.125 + 0.0625)
    second = 0.25 * (0.25 + 1 + 1 + 0.5 + 0.25)
    assert n.weight.tolist() == pytest.approx([first / 6, second / 6])
    assert float(n.count) == 1
    plain = ask(Lift(components=2, eps=1e-12, rho_min=0), b, Known(nll=nll), t=[0.5], rho=[0.9], mask=coins)
    assert torch.equal(n.query.ids, plain.query.ids)
    assert plain.weight.tolist() == pytest.approx([1 / 0.5 / 6] * 2)


def test_lift_and_cart_are_the_pieces_put_together():
    """On many rows: LIFT's question with CART's factors in place of 1/t."""
    objective, lift, draws = make("lift", weight="cart"), Lift(), Draws(seed=3)
    found, plain = (o.noise(BATCH, model=Hash(), draws=draws, progress=0.0) for o in (objective, lift))
    region = region_of(lift, BATCH, draws)
    (hidden,) = lift.composition.hide.choose(region, model=Hash(), draws=draws)
    factor = CartWeight().weigh(region, hidden, by_t=True)
    assert torch.equal(found.query_positions, plain.query_positions)
    assert torch.equal(found.query.ids, plain.query.ids)
    torch.testing.assert_close(found.weight, factor / region.length[region.group[hidden.is_queried]])
    assert not torch.equal(found.weight, plain.weight)


def test_papl_on_vanilla_by_hand():
    """Two hidden tokens at t = 0.5 of four: 1/t, per response token, times 1 + softmax of the log-likelihoods."""
    objective = make("vanilla", weight="papl", eps=1e-12)
    n = ask(objective, lay((1, 4)), Uniform(), t=[0.5], mask=[[0.9, 0.0, 0.9, 0.0, 0.9]])
    assert n.weight.tolist() == pytest.approx([0.5, 0.5])
    nll = torch.log(torch.tensor([2.0, 4.0]))  # probabilities 1/2 and 1/4: the planner's shares are 2/3 and 1/3
    expected = 0.5 * (1 + 2 / 3) * float(nll[0]) + 0.5 * (1 + 1 / 3) * float(nll[1])
    assert float(objective.loss(Scored(nll=nll), n)) == pytest.approx(expected)


def test_the_mean_over_an_example_counts_what_the_approximation_keeps():
    """In two streams, too, a loss that drops tokens is divided by those that it keeps: a uniform model loses ln V."""
    losses = []
    for approximate in (True, False):
        hide = {"name": "lift", "approximate": approximate}
        objective = make("block_diffusion", block_size=4, normaliser="per_masked_row", hide=hide)
        n = objective.noise(BATCH, model=Uniform(), draws=Draws(seed=1), progress=0.0)
        losses.append(float(objective.loss(Uniform().score(n.query, n.query_positions, n.targets), n)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_recipe_lines_of_the_docs_are_valid():
    page = Path(__file__).parents[3] / "docs/methods.md"
    lines = re.findall(r"^\| `(\{name: .*\})` \|", page.read_text(), flags=re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        choose(OBJECTIVES, yaml.safe_load(line))


REFUSED = {
    "both choose": ({"name": "lift", "hide": "gift"}, "hide: lift chooses itself what is hidden, found gift"),
    "both weigh": ({"name": "cart", "weight": "papl"}, "weight: cart weighs tokens itself, found papl"),
    "cap and another": ({"name": "wsd", "cap": 1.0, "weight": "papl"}, "cap: is a weight itself, found papl"),
    "context, two streams": (
        {"name": "blockwise", "blocks": "all", "layout": "two_streams", "weight": "cart"},
        "weight: cart weighs tokens by what is visible",
    ),
    "context, all blocks": ({"name": "block_diffusion", "weight": "cart"}, "each block sees something else"),
    "context, growing blocks": ({"name": "wsd", "weight": "cart"}, "each block sees something else"),
    "inner and hide": ({"name": "blockwise", "inner": "lift", "hide": "gift"}, "inner: brings what is hidden"),
    "inner and weight": ({"name": "blockwise", "inner": "lift", "weight": "cart"}, "inner: brings what is hidden"),
    "late and papl": (
        {"name": "lift", "approximate": True, "weight": "papl"}, "approximate: true selects tokens by the forward"
    ),
    "late and more": (
        {"name": "remedi", "hide": {"name": "lift", "approximate": True}}, "selects tokens by the forward that trains"
    ),
    "late and two views": (
        {"name": "vanilla", "hide": {"name": "complementary", "inner": {"name": "lift", "approximate": True}}},
        "no second view complements it",
    ),
    "time weight and another": (
        {"name": "lift", "time_weight": False, "weight": "cart"}, "time_weight: is LIFT's own weight, which cart"
    ),
    "planner and more": ({"name": "remedi", "weight": "papl"}, "papl ranks hidden tokens, and remedi queries more"),
    "planner and next tokens": ({"name": "nbdiff", "weight": "papl"}, "papl ranks hidden tokens, and nbdiff queries"),
    "cap and mistakes": ({"name": "remedi", "weight": "cap"}, "cap sharpens hidden tokens, and remedi queries more"),
    "views and more": ({"name": "remedi", "hide": "complementary"}, "remedi queries more than what it hides"),
    "a pair of pairs": (
        {"name": "vanilla", "hide": {"name": "complementary", "inner": "complementary"}}, "no second pair in it"
    ),
    "redraw": ({"name": "block_diffusion", "redraw": 2, "hide": "lift"}, "hide: block_diffusion chooses itself"),
    "unknown": ({"name": "vanilla", "weight": "crat"}, "unknown weight 'crat'; did you mean 'cart'"),
    "a method": ({"name": "vanilla", "hide": "blockwise"}, "unknown hide 'blockwise'"),
    "field of a weight": ({"name": "vanilla", "weight": {"name": "cart", "p": 2}}, "weight.p: expected at most 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_means_nothing_is_refused_with_the_reason(name):
    spec, message = REFUSED[name]
    with pytest.raises(UserError) as raised:
        choose(OBJECTIVES, spec, "objective")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("registry", [OBJECTIVES, HIDES, WEIGHTS], ids=lambda registry: registry.kind)
def test_none_that_is_registered_subclasses_another(registry):
    classes = [registry[name] for name in registry]
    assert not [(a, b) for a in classes for b in classes if a is not b and issubclass(a, b)]


def test_no_method_is_a_component():
    """It has some."""
    for name in OBJECTIVES:
        assert not issubclass(OBJECTIVES[name], (Hide, Weight)), name


COMPOSED = {"name": "blockwise", "block_size": 4, "hide": {"name": "lift", "components": 2}, "weight": "cart"}


def settings(objective):
    return settings_of_run(TrainRun(objective=objective), Layout(), None)


@pytest.mark.parametrize(
    "spec", [COMPOSED, {"name": "lift", "weight": {"name": "cart", "p": 0.3}}, {"name": "vanilla"}]
)
def test_a_record_makes_the_method_again(spec):
    """As a run keeps it in JSON, with every default in it."""
    objective = choose(OBJECTIVES, spec)
    kept = json.loads(json.dumps(settings(objective)))["objective"]
    assert choose(OBJECTIVES, kept) == objective
    assert choose(OBJECTIVES, kept) != replace(objective, eps=0.5)


def test_a_record_tells_methods_apart_by_their_components():
    with pytest.raises(UserError, match="objective was"):
        refuse_changes("run", settings(make("lift")), settings(make("lift", weight="cart")))


def test_a_component_of_the_wrong_kind_is_refused():
    with pytest.raises(InvalidConfigError, match="weight: expected an instance of Weight"):
        Vanilla(weight=Uniform())
    with pytest.raises(InvalidConfigError, match="objective: expected an instance of Objective"):
        TrainRun(objective=Uniform())


@component
class Middle(Hide):
    """Hide the middle token of every response."""

    def choose(self, region, *, model, draws):
        is_middle = region.batch.offset == region.batch.spread(region.length) // 2
        return [Hidden(is_queried=region.is_response & is_middle, level=region.spread(region.t))]


@component
class Square(Weight):
    """Weigh each hidden token by t^2."""

    def weigh(self, region, hidden, *, by_t):
        return (hidden.level[hidden.is_queried] ** 2).float()


def test_a_component_of_ones_own_is_one_class_and_needs_no_name_in_a_registry():
    n = ask(Vanilla(hide=Middle(), weight=Square(), eps=1e-12), lay((2, 8)), t=[0.5])
    assert n.query_positions.tolist() == [[0, 6]]
    assert n.weight.tolist() == pytest.approx([0.5**2 / 8])
    n = ask(Blockwise(hide=Middle(), weight=Square(), block_size=8, eps=1e-12), lay((2, 8), block=8), t=[0.5])
    assert n.weight.tolist() == pytest.approx([0.5**2])
