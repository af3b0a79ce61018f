"""What every objective promises, checked on toy models and two small random ones."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from unmask.core.attention import ANCHORED, CLEAN, PAD, may_attend
from unmask.core.batch import Batch, Example, lay_out
from unmask.core.protocols import Denoiser, Noised, Objective, Scored, Traits
from unmask.core.random import Draws
from unmask.models import ScratchSpec, from_scratch
from unmask.testing.toys import Hash, Uniform

PROMPT = 3  # tokens of each prompt
LAYOUTS = {"padded": None, "packed": 40}
SEEDS = range(20)
ALPHABET = 64  # examples of the batch that an expectation is taken over


def check_objective(objective: Objective, *, skip: Collection[str] = (), uniform_loss: float | None = None) -> None:
    """Check that an objective keeps what every objective promises.

    An ``AssertionError`` names the promise that is broken, and the case.

    Args:
        objective: made with blocks of 4, if it has blocks.
        skip: names of ``OBJECTIVE_CHECKS`` that are not meant to hold for it.
        uniform_loss: its expected loss on a model to which all 11 tokens are alike, nats: ``math.log(11)`` where the
            weights of an example sum to 1 in expectation; None: not checked.
    """
    for name, check in OBJECTIVE_CHECKS.items():
        if name not in skip:
            check(objective)
    if uniform_loss is not None:
        mean, error = mean_uniform_loss(objective)
        assert abs(mean - uniform_loss) < 4 * error + 1e-6, (
            f"the mean loss of a uniform model is {mean:.4f} +- {error:.4f} nats, expected {uniform_loss:.4f}"
        )


def objective_batch(
    orders: Sequence[int] = (0, 1, 2, 3),
    lengths: Sequence[int] = (9, 4, 1, 14),
    tail: int = 4,
    seed: int = 0,
    **options: Any,
) -> Batch:
    """Lay out examples of random text: prompts of 3 tokens, answers with their end, canvases cut into blocks of 4.

    Args:
        orders: indices of the examples in the global order.
        lengths: tokens of each answer, without its end.
        tail: columns of each canvas beyond the block that the answer ends in.
        seed: of the text.
        **options: of ``lay_out``.

    Returns:
        The batch, with one row for each example unless ``options`` pack them.
    """
    rng = torch.Generator().manual_seed(seed)
    examples = []
    for order, length in zip(orders, lengths, strict=True):
        text = torch.randint(0, 9, (PROMPT + length,), generator=rng).tolist()
        canvas = math.ceil((length + 1) / 4) * 4 + tail
        examples.append(Example(prompt=text[:PROMPT], answer=[*text[PROMPT:], 9], order=order, canvas=canvas))
    return lay_out(examples, block_size=4, filler_id=9, **options)


def noise(
    objective: Objective, batch: Batch, seed: int = 0, model: Denoiser | None = None, draws: Draws | None = None
) -> Noised:
    """Noise a batch by an objective, half-way through a run.

    Args:
        objective: hides tokens.
        batch: clean text.
        seed: of the draws, where none are given.
        model: the model that the objective may use; None: ``Hash``.
        draws: random numbers by example.

    Returns:
        The noised batch.
    """
    return objective.noise(batch, model=model or Hash(), draws=draws or Draws(seed=seed), progress=0.5)


def gold(batch: Batch) -> dict[tuple[int, int], int]:
    """Return the token at each (example, position in its text)."""
    real = ~batch.is_pad
    keys = zip(batch.owner[real].tolist(), batch.position[real].tolist(), strict=True)
    return dict(zip(keys, batch.ids[real].tolist(), strict=True))


def mean_uniform_loss(objective: Objective) -> tuple[float, float]:
    """Return the mean loss of a model to which all tokens are alike, nats, and its standard error over 100 seeds."""
    batch = objective_batch(orders=range(ALPHABET), lengths=(15,) * ALPHABET, tail=0)
    values = []
    for seed in range(100):
        n = noise(objective, batch, seed, model=Uniform())
        scored = Uniform().score(n.query, n.query_positions, n.targets, want=objective.want)
        values.append(float(objective.loss(scored, n) / n.count))
    mean = sum(values) / len(values)
    return mean, (sum((v - mean) ** 2 for v in values) / len(values) / len(values)) ** 0.5


def prompt_is_clean(objective: Objective) -> None:
    """Check that prompts are read as they are and never predicted, and that all fields are of one length."""
    for layout, packed in LAYOUTS.items():
        batch = objective_batch(row_length=packed)
        truth = gold(batch)
        for seed in SEEDS:
            case = f"{layout} batch, seed {seed}"
            n = noise(objective, batch, seed)
            columns = n.query.columns
            is_prompt = (columns.segment != PAD) & (columns.position < PROMPT)
            keys = zip(columns.segment[is_prompt].tolist(), columns.position[is_prompt].tolist(), strict=True)
            anchored = (columns.stream[is_prompt] == ANCHORED).tolist()  # positions run on from an anchor in the prompt
            for key, seen, may_hide in zip(keys, n.query.ids[is_prompt].tolist(), anchored, strict=True):
                is_right = seen == truth[key] or (may_hide and seen == Hash.mask_id)
                assert is_right, f"prompt token {key[1]} of example {key[0]} was changed to {seen} ({case})"
            assert len(n.query_positions), f"nothing is queried ({case})"
            row, column = n.query_positions.unbind(1)
            assert torch.equal(columns.segment[row, column], n.example), f"example: not the positions' own ({case})"
            assert (columns.position[row, column] >= PROMPT).all(), f"a position of the prompt is queried ({case})"
            lengths = {len(value) for value in (n.query_positions, n.weight, n.targets, n.example, n.noise_level)}
            assert len(lengths) == 1, f"fields of the noised batch differ in length: {sorted(lengths)} ({case})"


def targets_are_gold(objective: Objective) -> None:
    """Check that targets are the text's tokens, hidden from the column that predicts them."""
    for layout, packed in LAYOUTS.items():
        batch = objective_batch(row_length=packed)
        truth = gold(batch)
        for seed in SEEDS:
            case = f"{layout} batch, seed {seed}"
            n = noise(objective, batch, seed)
            row, column = n.query_positions.unbind(1)
            position = n.query.columns.position[row, column]
            expected = [truth[key] for key in zip(n.example.tolist(), position.tolist(), strict=True)]
            assert n.targets.tolist() == expected, f"targets are not the text's tokens ({case})"
            # A clean copy predicts from the state before a token.
            counts = (n.weight > 0) & (n.query.columns.stream[row, column] != CLEAN)
            is_hidden = n.query.ids[row, column][counts] == Hash.mask_id
            assert is_hidden.all(), f"a token is queried where it can be read ({case})"


def no_answer_can_be_read(objective: Objective) -> None:
    """Check with small models that other visible tokens in the column of a target change nothing in its logits.

    The models predict a column from itself and from the one before; one that the objective refuses is left out.
    """
    for shift in (False, True):
        if objective.refuses(Traits(shift=shift, attention=objective.attention or "bidirectional")):
            continue
        lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2), "digits", shift=shift)
        for name, settings in objective.heads.items():
            lm.attach(name, settings)
        batch = objective_batch(row_length=40)
        n, truth = objective.noise(batch, model=lm, draws=Draws(seed=2), progress=0.5), gold(batch)
        columns = n.query.columns
        assert may_attend(n.query.rule, columns, columns).any(-1).all(), "a column attends to nothing"
        with torch.no_grad():
            before = lm.logits(n.query, n.query_positions)
            for k in range(0, len(n.query_positions), max(1, len(n.query_positions) // 12)):
                if n.weight[k] == 0:
                    continue
                ids = _without_target(n, k, truth, shift=shift)
                after = lm.logits(type(n.query)(**{**vars(n.query), "ids": ids}), n.query_positions)
                leak = float((after[k] - before[k]).abs().max())
                case = f"position {n.query_positions[k].tolist()} of a model with shift={shift}"
                assert leak <= 1e-5, f"the target can be read: its logits move by {leak:.2g} ({case})"


def _without_target(n: Noised, k: int, truth: Mapping[tuple[int, int], int], *, shift: bool) -> Int[Tensor, "R N"]:
    """Return what is read with another token at every column that holds the k-th target."""
    (row, column), target = n.query_positions[k].tolist(), int(n.targets[k])
    columns, ids = n.query.columns, n.query.ids.clone()
    # Where the target stands: at the column that is read or, with shifted logits, one further on.
    before = column - 1 if n.query.before is None else int(n.query.before[row, column])
    position = int(columns.position[row, before]) + 1 if shift else int(columns.position[row, column])
    assert truth[int(n.example[k]), position] == target, (
        f"the target of {n.query_positions[k].tolist()} is not the text's token"
    )
    same = (columns.segment[row] == n.example[k]) & (ids[row] == target) & (columns.position[row] == position)
    ids[row, same] = (target + 1) % 9
    return ids


def draws_decide(objective: Objective) -> None:
    """Check that the same draws give the same noise, and that some other seed gives another."""
    batch = objective_batch()
    one, again = noise(objective, batch, 5), noise(objective, batch, 5)
    assert torch.equal(one.query.ids, again.query.ids), "the same seed hides other tokens"
    assert torch.equal(one.weight, again.weight), "the same seed gives other weights"

    def queried(seed: int) -> tuple[object, ...]:
        n = noise(objective, batch, seed)
        return n.query.ids.shape, n.query.ids.tolist(), n.query.columns.position.tolist()

    assert any(queried(5) != queried(seed) for seed in range(6, 10)), "seeds 5 to 9 all hide the same tokens"


def noise_belongs_to_the_example(objective: Objective) -> None:
    """Check that an example is noised alike alone, in company and packed; its weights, too, where examples count."""
    for layout, packed in LAYOUTS.items():
        everyone, row = objective_batch(row_length=packed), 3
        together = noise(objective, everyone)
        alone = noise(objective, objective_batch().only(torch.tensor([row])))
        mine = together.example == row
        same = torch.equal(alone.targets, together.targets[mine])
        assert same, f"other targets are queried of an example in company than alone ({layout} batch)"
        assert _rows(alone, 0) == _rows(together, row), f"an example is read otherwise in company ({layout} batch)"
        if (float(alone.count), float(together.count)) == (1, len(everyone.order)):
            is_close = torch.allclose(alone.weight, together.weight[mine], rtol=1e-5, atol=1e-6)
            assert is_close, f"an example weighs otherwise in company ({layout} batch)"


def _rows(n: Noised, segment: int) -> list[tuple[list[int], list[int]]]:
    """Return the tokens and positions of an example in each row that has it."""
    found = [
        (n.query.ids[r][s == segment].tolist(), n.query.columns.position[r][s == segment].tolist())
        for r, s in enumerate(n.query.columns.segment)
    ]
    return [each for each in found if each[0]]


class _Edge(Draws):
    """Draws whose every noise level is one value."""

    value: float

    def fixed_at(self, value: float) -> "_Edge":
        """Return these draws with noise levels of this value."""
        object.__setattr__(self, "value", value)
        return self

    def uniform(self, name: str, *keys: Int[Tensor, "..."]) -> Float64[Tensor, "..."]:
        """Return uniform numbers; the one value where they are noise levels (``t``)."""
        drawn = super().uniform(name, *keys)
        return torch.full_like(drawn, self.value) if name == "t" else drawn

    def stratified(self, name: str, *keys: Int[Tensor, "..."]) -> Float64[Tensor, "..."]:
        """Return stratified numbers; the one value where they are noise levels (``t``)."""
        drawn = super().stratified(name, *keys)
        return torch.full_like(drawn, self.value) if name == "t" else drawn


def finite_at_the_edges(objective: Objective) -> None:
    """Check that loss and weights are finite where the draw named ``t`` is next to 0 or to 1, or an answer is empty."""
    batch = objective_batch(lengths=(9, 0, 1, 14))
    for t in (0.0, 1e-9, 0.5, 1.0 - 1e-12):
        n = noise(objective, batch, model=Uniform(), draws=_Edge(seed=0).fixed_at(t))
        scored = Uniform().score(n.query, n.query_positions, n.targets, want=objective.want)
        loss = objective.loss(scored, n) / n.count.clamp(min=1)
        assert torch.isfinite(loss), f"the loss is {float(loss)} where t is drawn at {t}"
        assert torch.isfinite(n.weight).all(), f"a weight is not finite where t is drawn at {t}"
        assert (n.weight >= 0).all(), f"a weight is negative where t is drawn at {t}"


def gradients_are_weights(objective: Objective) -> None:
    """Check that the loss depends on each likelihood by no more than a finite, non-negative factor."""
    n = noise(objective, objective_batch())
    nll = torch.full((len(n.query_positions),), math.log(11), dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(len(n.query_positions), dtype=torch.float64)
    scored = Scored(nll=nll, entropy=zero, is_top=zero > 0, confidence=zero, correctness=zero)
    objective.loss(scored, n).backward()
    assert nll.grad is not None, "the loss does not depend on the likelihoods"
    assert torch.isfinite(nll.grad).all(), "a gradient of the loss is not finite"
    assert (nll.grad >= 0).all(), "the loss falls where a target becomes less likely"


def nothing_queried_costs_nothing(objective: Objective) -> None:
    """Check that a batch without query positions has the loss 0, with a graph that can be differentiated."""
    n = noise(objective, objective_batch())
    none = n.only(torch.zeros(len(n.query_positions), dtype=torch.bool))
    nll, empty = torch.zeros(0, requires_grad=True), torch.zeros(0)
    loss = objective.loss(Scored(nll=nll, entropy=empty, is_top=empty > 0, correctness=empty), none)
    assert loss.requires_grad, "the loss of a batch of which nothing is queried has no graph"
    loss.backward()
    assert float(loss.detach()) == 0, f"a batch of which nothing is queried has the loss {float(loss.detach())}"


OBJECTIVE_CHECKS: dict[str, Callable[[Objective], None]] = {
    check.__name__: check
    for check in (
        prompt_is_clean,
        targets_are_gold,
        no_answer_can_be_read,
        draws_decide,
        noise_belongs_to_the_example,
        finite_at_the_edges,
        gradients_are_weights,
        nothing_queried_costs_nothing,
    )
}
"""Name -> check of one promise."""
