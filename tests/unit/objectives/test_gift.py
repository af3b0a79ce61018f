"""GIFT: rates from entropies by hand, and what must hold of them."""

import itertools
import math

import pytest
import torch
from knowing import Spread, no_graph
from texts import ask, lay, region_of, tiny

from toys import Saturated, Uniform
from unmask.core.random import Draws
from unmask.objectives import Gift, Vanilla

EPS = 1e-12
T = 0.488  # 1 - t = .512 = .8^3
SHORT = (0.36, 0.5904)  # 1 - .8^2 and 1 - .8^4: relative square roots of 2/3 and 4/3


def rates(objective, batch, model, t):
    """The rate of every column."""
    region = region_of(objective, batch, _Level(t))
    (hidden,) = objective.composition.hide.choose(region, model=model, draws=Draws(seed=0))
    return hidden.level


class _Level(Draws):
    """Noise levels that the test gives."""

    def __init__(self, t):
        object.__setattr__(self, "t", torch.tensor(t, dtype=torch.float64))

    def stratified(self, name, *keys):
        return self.t


@pytest.mark.parametrize(("first", "second", "hidden"), [(0.35, 0.59, [0, 1]), (0.37, 0.59, [1]), (0.35, 0.6, [0])])
def test_by_hand(first, second, hidden):
    """Entropies ln 2 and ln 16 = 4 ln 2: square roots of 2/3 and 4/3 of their mean, rates .36 and .5904."""
    b, model = lay((1, 2), block=2), Spread(choices=[1, 2, 16])
    n = ask(Gift(eps=EPS), b, model, t=[T], mask=[[0.0, first, second]])
    assert model.texts[0].tolist() == [[int(b.ids[0, 0]), 16, 16]]  # entropies are read off the hidden response
    assert n.query_positions.tolist() == [[0, 1 + place] for place in hidden]
    assert n.noise_level.tolist() == pytest.approx([SHORT[i] for i in hidden])
    assert n.weight.tolist() == pytest.approx([1 / SHORT[i] / len(hidden) for i in hidden])
    assert float(n.count) == 1


@pytest.mark.parametrize(
    ("normaliser", "weights", "count"),
    [
        ("per_masked", [1 / r for r in (*SHORT, T, T)], 4),
        ("per_masked_row", [1 / r / 2 for r in (*SHORT, T, T)], 2),
        ("per_sequence", [1 / r / 2 for r in (*SHORT, T, T)], 2),
        ("per_token", [1 / r for r in (*SHORT, T, T)], 4),
    ],
)
def test_every_denominator_keeps_the_tokens_own_rate(normaliser, weights, count):
    """A second example of constant entropy has t_i = t."""
    b = lay((1, 2), (1, 2), block=2)
    model = Spread(choices=[1, 2, 16])
    model.predict = lambda query, query_positions, plain=model.predict: torch.where(
        query_positions[:, :1] == 1, 0.0, plain(query, query_positions)
    )
    n = ask(Gift(eps=EPS, normaliser=normaliser), b, model, t=[T, T], mask=[[0.0] * 3] * 2)
    assert n.weight.tolist() == pytest.approx(weights)
    assert float(n.count) == count


def test_reference_is_the_example_or_the_batch():
    """Entropies ln 2 in one example and 4 ln 2 in the other: each is average alone, 2/3 and 4/3 of it together."""
    b = lay((0, 2), (2, 2), block=2)  # the response stands at positions 0 and 1, and at 2 and 3
    model = Spread(choices=[2, 2, 16, 16])
    alone, together = (rates(Gift(eps=EPS, reference=r), b, model, [T, T]) for r in ("example", "batch"))
    response = b.is_canvas
    assert alone[response].tolist() == pytest.approx([T] * 4)
    assert together[response].tolist() == pytest.approx([SHORT[0]] * 2 + [SHORT[1]] * 2)


def test_constant_entropy_is_vanilla():
    """t_i = t: the same tokens are hidden, and under per_sequence the weights are those of vanilla."""
    b = lay((3, 20), (0, 9), (4, 1), (2, 30))
    for seed in range(5):
        mine = ask(Gift(normaliser="per_sequence"), b, Uniform(), seed=seed)
        theirs = ask(Vanilla(), b, Uniform(), seed=seed)
        assert torch.equal(mine.query.ids, theirs.query.ids)
        torch.testing.assert_close(mine.weight, theirs.weight)


def test_rates_grow_with_entropy_and_do_not_depend_on_its_scale():
    choices = [2, 3, 4]
    for t in (0.01, 0.3, 0.9):
        found = rates(Gift(eps=EPS), lay((0, 3), block=3), Spread(choices=choices), [t])[0].tolist()
        assert found == sorted(found)
        assert found[0] < t < found[2]
        assert all(0 < rate <= 1 for rate in found)
        squared = rates(Gift(eps=EPS), lay((0, 3), block=3), Spread(choices=[c**2 for c in choices]), [t])[0].tolist()
        assert squared == pytest.approx(found)
        beta = [math.sqrt(math.log(c)) for c in choices]
        assert found == pytest.approx([1 - (1 - t) ** (x / (sum(beta) / 3)) for x in beta])


def test_certainty_is_safe():
    """Nothing uncertain: every token is average. One certain token among others: it is hidden at rate eps."""
    b = lay((1, 3), block=3)
    assert rates(Gift(), b, Saturated(), [0.3])[0].tolist() == pytest.approx([1e-3 + 0.999 * 0.3] * 4)
    model = Spread(choices=[1, 1, 4, 4])
    found = rates(Gift(eps=0.01), b, model, [0.3])[0, 1:].tolist()
    assert found[0] == 0.01
    assert found[1] == found[2] > 0.3
    for coin in (0.005, 0.02):
        n = ask(Gift(eps=0.01, normaliser="per_token"), b, model, t=[0.3], mask=[[0.0, coin, 0.99, 0.99]])
        assert n.weight.tolist() == ([pytest.approx(100)] if coin < 0.01 else [])
        loss = Gift().loss(model.score(n.query, n.query_positions, n.targets.clamp(max=0)), n)
        assert torch.isfinite(loss)
    for t in (0.0, 1.0):
        n = ask(Gift(), b, model, t=[t], mask=[[0.0] * 4])
        assert torch.isfinite(n.weight).all()


@pytest.mark.parametrize("normaliser", ["per_sequence", "per_token"])
def test_in_expectation_every_token_counts_as_in_vanilla(normaliser):
    """E[m_i / t_i] = 1 with a fixed denominator, by enumeration of what is hidden."""
    b, model, t = lay((0, 3), block=3), Spread(choices=[2, 3, 16]), 0.4
    rate = rates(Gift(eps=EPS), b, model, [t])[0].tolist()
    expected = torch.zeros(3)
    for pattern in itertools.product([0, 1], repeat=3):
        chance = math.prod(r if hit else 1 - r for r, hit in zip(rate, pattern, strict=True))
        n = ask(Gift(eps=EPS, normaliser=normaliser), b, model, t=[t], mask=[[0.0 if hit else 1.0 for hit in pattern]])
        expected[n.query_positions[:, 1]] += chance * n.weight / n.count
    assert expected.tolist() == pytest.approx([1 / 3] * 3)


def test_reading_entropies_keeps_no_graph():
    lm = tiny()
    lm.model.train()
    with no_graph():
        n = ask(Gift(), lay((3, 20), (0, 9)), lm)
    assert lm.flops.forwards == 1
    assert not n.weight.requires_grad


def test_the_tail_is_hidden_and_has_no_say():
    """A hidden tail is masked while entropies are read, and is not part of their mean."""
    b, model = lay((1, 2), block=2, tail=2), Spread(choices=[1, 2, 16, 16, 16])
    n = ask(Gift(eps=EPS, tail="hidden"), b, model, t=[T], mask=[[0.0] * 5])
    assert model.texts[0][0, 1:].tolist() == [16] * 4
    assert n.noise_level.tolist() == pytest.approx(SHORT)
