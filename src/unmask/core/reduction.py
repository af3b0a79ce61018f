"""Normalisers: the most common source of silent divergence between implementations, so each has a name.

With S = sum of the masked tokens' losses of an example and W = S / t:

=================  ==========================================  ====================================================
``per_sequence``   mean over examples of W / response length   LLaDA guideline (arXiv 2502.09992)
``per_token``      sum of W / sum of response lengths          d1 (2504.12216), LIFT (2605.22939), dllm, SDAR
``per_row``        sum of W / examples                         dllm ``batch``
``fixed_length``   sum of W / all columns of the batch         LLaDA pre-training, BD3LM (2503.09573)
``per_masked_row`` mean over examples of S / masked tokens     Blockwise SFT's code (2508.19529), PUMA, PAPL
``per_masked``     sum of S / all masked tokens                Dream (2508.15487), Fast-dLLM v2, SDLM, GIFT
=================  ==========================================  ====================================================

The ``per_masked`` pair drops the 1/t: each noise level counts the same per step, and the result is no ELBO.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Normaliser = Literal["per_sequence", "per_token", "per_row", "fixed_length", "per_masked_row", "per_masked"]


def divides_by_t(normaliser: Normaliser) -> bool:
    """Return whether the tokens' weights carry 1/t; the ``per_masked`` pair divides by the masked tokens instead."""
    return not normaliser.startswith("per_masked")


def unit(normaliser: Normaliser) -> str:
    """Return what the denominator counts; losses that count different things cannot be mixed."""
    counted = {"per_token": "response tokens", "per_masked": "masked tokens", "fixed_length": "columns"}
    return counted.get(normaliser, "examples")


def normalise(
    normaliser: Normaliser,
    weight: Float[Tensor, " K"],
    group: Int[Tensor, " K"],
    *,
    response_length: Int[Tensor, " G"],
    share: Float[Tensor, " G"],
    columns: float,
    masked: Int[Tensor, " G"] | None = None,
) -> tuple[Float[Tensor, " K"], Float[Tensor, ""]]:
    """Return (weights, count) of masked tokens such that the loss is sum(weight * nll) / sum(count).

    Args:
        normaliser: a name from the table above.
        weight: factor of each masked token's loss, with 1/t where ``divides_by_t`` says so.
        group: the example, or the block of an example, that each masked token belongs to; it has a t of its own.
        response_length: response tokens of the example behind each group.
        share: how much of its example each group stands for; 1 where an example is one group.
        columns: of the whole batch, for ``fixed_length``.
        masked: masked tokens of each group; None: as many as there are. For a loss that drops some of those given.

    Returns:
        The weight of each token, and this batch's share of the denominator (float32).
    """
    shared = weight * share.to(weight.dtype)[group]
    masked = torch.bincount(group, minlength=share.numel()) if masked is None else masked
    examples = float(share.sum())
    match normaliser:
        case "per_sequence":
            return shared / response_length.clamp(min=1)[group], _count(examples, weight)
        case "per_token":
            return shared, _count(float((share * response_length).sum()), weight)
        case "per_row":
            return shared, _count(examples, weight)
        case "fixed_length":
            return shared, _count(columns, weight)
        case "per_masked_row":
            return shared / masked.clamp(min=1)[group], _count(examples, weight)
        case "per_masked":
            return weight, _count(float(masked.sum()), weight)


def _count(value: float, like: Tensor) -> Float[Tensor, ""]:
    return torch.tensor(value, dtype=torch.float32, device=like.device)


def rank_within(values: Float[Tensor, " K"], group: Int[Tensor, " K"], groups: int) -> Int[Tensor, " K"]:
    """Return the rank of each value within its group, 0 for the largest; ties go to the earlier one.

    >>> rank_within(torch.tensor([1.0, 3.0, 2.0]), torch.tensor([0, 1, 0]), 2).tolist()
    [1, 0, 0]
    """
    by_value = values.argsort(descending=True, stable=True)
    by_group = by_value[group[by_value].argsort(stable=True)]
    members = torch.bincount(group, minlength=groups)
    start = members.cumsum(0) - members
    rank = torch.empty_like(group)
    rank[by_group] = torch.arange(len(group), device=group.device) - start[group[by_group]]
    return rank
