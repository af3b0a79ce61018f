"""Scores and ranks of proposals, from the un-noised, un-tempered logits over the whole vocabulary (LLaDA).

Every score takes logits, the proposed tokens, random numbers and their keys; larger is written earlier.
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import AfterValidator, Field
from torch import Tensor

from unmask.core.random import Draws
from unmask.decoding.orders import random, random_order, sequential
from unmask.errors import UserError, did_you_mean

Score = Callable[..., Tensor]
_NUMBERS = 2**19  # that fit a processor's cache: a softmax over these is several times as fast


def low_confidence(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Return the probability of the proposed token: the least likely stay hidden (LLaDA's low-confidence remasking)."""
    del draws, keys
    return probability(logits, token)


def probability(logits: Float[Tensor, "K V"], token: Int[Tensor, " K"]) -> Float[Tensor, " K"]:
    """Return the probability of one token in each row, in float64."""
    # What is left for the others decides among nearly certain positions; float32 rounds it away: it is summed alone.
    found = []
    for some, at in zip(in_chunks(logits), in_chunks(token[:, None], like=logits), strict=True):
        share = some.softmax(-1)
        own = share.gather(-1, at).double()
        found.append(own / (own + share.scatter_(-1, at, 0).sum(-1, keepdim=True).double()))
    return torch.cat(found).squeeze(-1)


def negative_entropy(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Return the sum of p log p, nats: 0 is certain."""
    del token, draws, keys
    return -entropy(logits)


def entropy(logits: Float[Tensor, "K V"]) -> Float[Tensor, " K"]:
    """Return the entropy of each row, nats."""
    return torch.cat([torch.special.entr(chunk.softmax(-1)).sum(-1) for chunk in in_chunks(logits)])


def margin(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Return the probability of the best token minus that of the second best."""
    del token, draws, keys
    best = torch.cat([chunk.softmax(-1).topk(2, dim=-1).values for chunk in in_chunks(logits)])
    return best[:, 0] - best[:, 1]


def certainty(
    logits: Float[Tensor, "K V"], token: Int[Tensor, " K"], draws: Draws, keys: Sequence[Tensor]
) -> Float[Tensor, " K"]:
    """Return 1 - H / ln V: 1 is certain, 0 is uniform (SDLM, arXiv 2509.24007)."""
    del token, draws, keys
    return 1 - entropy(logits) / math.log(logits.shape[-1])


SCORES: dict[str, Score] = {
    "low_confidence": low_confidence,
    "entropy": negative_entropy,
    "margin": margin,
    "certainty": certainty,
    "random": random,
    "random_order": random_order,
    "sequential": sequential,
}


def check_threshold(value: float) -> float:
    """Return the value; infinity is allowed (one token a step), NaN, which every comparison would fail, is refused."""
    if math.isnan(value):
        raise ValueError("expected a number or .inf, found nan")
    return value


Limit = Annotated[float, Field(allow_inf_nan=True), AfterValidator(check_threshold)]
Positive = Annotated[float, Field(allow_inf_nan=True, ge=0), AfterValidator(check_threshold)]


def check_score(name: str) -> str:
    """Return the name of a score; an unknown one raises a UserError with the nearest name."""
    if name not in SCORES:
        raise UserError(f"unknown score '{name}'; {did_you_mean(name, SCORES)}")
    return name


def in_chunks(values: Tensor, *, like: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return the rows of a tensor in chunks, of as many rows as those of ``like`` (default: the tensor) would have."""
    columns = (values if like is None else like).shape[-1]
    return torch.split(values, max(1, _NUMBERS // max(columns, 1)))


def top(score: Float[Tensor, "R W"], is_open: Bool[Tensor, "R W"], quota: Int[Tensor, " R"]) -> Bool[Tensor, "R W"]:
    """Return whether each position is among the ``quota`` best open ones of its row."""
    return is_open & (ranks(score, is_open) < quota[:, None])


def ranks(score: Float[Tensor, "R W"], is_open: Bool[Tensor, "R W"]) -> Int[Tensor, "R W"]:
    """Return the rank of each open position in its row, 0 for the best; written ones come last."""
    by_score = score.argsort(dim=-1, descending=True, stable=True)
    open_first = is_open.gather(1, by_score).long().argsort(dim=-1, descending=True, stable=True)
    return by_score.gather(1, open_first).argsort(dim=-1)


def widened(logits: Float[Tensor, "K V"]) -> Float[Tensor, "K V"]:
    """Return the logits in at least float32."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
