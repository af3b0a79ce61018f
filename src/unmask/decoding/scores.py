"""How sure a proposal is, by the un-noised, un-tempered logits over the whole vocabulary (LLaDA), and its rank."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import AfterValidator, Field
from torch import Tensor

from unmask.core.random import Draws
from unmask.errors import UserError, did_you_mean

Score = Callable[..., Tensor]
_NUMBERS = 2**19  # that fit a processor's cache: a softmax over these is several times as fast


def low_confidence(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Probability of the proposed token: the least sure stay hidden (LLaDA's low-confidence remasking)."""
    del draws, keys
    return probability(logits, token)


def probability(logits: Float[Tensor, "K V"], token: Int[Tensor, " K"]) -> Float[Tensor, " K"]:
    """Read the probability of one token in each row, in float64.

    What is left for the others decides among sure places, and float32 rounds it away: it is summed by itself.
    """
    found = []
    for some, at in zip(in_chunks(logits), in_chunks(token[:, None], like=logits), strict=True):
        share = some.softmax(-1)
        own = share.gather(-1, at).double()
        found.append(own / (own + share.scatter_(-1, at, 0).sum(-1, keepdim=True).double()))
    return torch.cat(found).squeeze(-1)


def negative_entropy(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Sum of p log p: higher is surer."""
    del token, draws, keys
    return -entropy(logits)


def entropy(logits: Float[Tensor, "K V"]) -> Float[Tensor, " K"]:
    """Measure in nats how spread each row is."""
    return torch.cat([torch.special.entr(chunk.softmax(-1)).sum(-1) for chunk in in_chunks(logits)])


def margin(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Probability of the best token minus that of the second best."""
    del token, draws, keys
    best = torch.cat([chunk.softmax(-1).topk(2, dim=-1).values for chunk in in_chunks(logits)])
    return best[:, 0] - best[:, 1]


def random(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """U(0, 1): any order."""
    del token
    return draws.uniform("score", *keys).to(logits.dtype)


def certainty(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Measure 1 - H / ln V: 1 is certain, 0 is uniform (SDLM, arXiv 2509.24007)."""
    del token, draws, keys
    return 1 - entropy(logits) / math.log(logits.shape[-1])


def random_order(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Draw from U(0, 1) once for each place, not for each forward: a random order that is fixed beforehand."""
    del token
    order, _, offset = keys
    return draws.uniform("order", order, offset).to(logits.dtype)


SCORES: dict[str, Score] = {
    "low_confidence": low_confidence,
    "entropy": negative_entropy,
    "margin": margin,
    "certainty": certainty,
    "random": random,
    "random_order": random_order,
}


def check_threshold(value: float) -> float:
    """Accept infinity (one token a step); refuse NaN, which every comparison would fail."""
    if math.isnan(value):
        raise ValueError("expected a number or .inf, found nan")
    return value


Limit = Annotated[float, Field(allow_inf_nan=True), AfterValidator(check_threshold)]
Positive = Annotated[float, Field(allow_inf_nan=True, ge=0), AfterValidator(check_threshold)]


def check_score(name: str) -> str:
    """Refuse an unknown score with the nearest name."""
    if name not in SCORES:
        raise UserError(f"unknown score '{name}'; {did_you_mean(name, SCORES)}")
    return name


def in_chunks(values: Tensor, *, like: Tensor | None = None) -> tuple[Tensor, ...]:
    """Split the rows of a tensor into pieces, of so many rows as those of ``like`` (default: its own) would have."""
    columns = (values if like is None else like).shape[-1]
    return torch.split(values, max(1, _NUMBERS // max(columns, 1)))


def top(score: Float[Tensor, "R W"], is_open: Bool[Tensor, "R W"], quota: Int[Tensor, " R"]) -> Bool[Tensor, "R W"]:
    """Pick the ``quota`` best open places of each row."""
    return is_open & (ranks(score, is_open) < quota[:, None])


def ranks(score: Float[Tensor, "R W"], is_open: Bool[Tensor, "R W"]) -> Int[Tensor, "R W"]:
    """Number the open places of each row from the best, 0, to the worst; closed places come last."""
    by_score = score.argsort(dim=-1, descending=True, stable=True)
    open_first = is_open.gather(1, by_score).long().argsort(dim=-1, descending=True, stable=True)
    return by_score.gather(1, open_first).argsort(dim=-1)
