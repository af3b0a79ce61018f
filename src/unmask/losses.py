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


def normalise(
    normaliser: Normaliser,
    weight: Float[Tensor, " K"],
    example: Int[Tensor, " K"],
    *,
    response_length: Int[Tensor, " E"],
    columns: int,
) -> tuple[Float[Tensor, " K"], Float[Tensor, ""]]:
    """Turn the ELBO weights of masked tokens into (weights, count) so that the loss is sum(weight * nll) / sum(count).

    Args:
        normaliser: a name from the table above.
        weight: 1/t (or its block-wise counterpart) of each masked token; unused by the ``per_masked`` pair.
        example: the example that each masked token belongs to.
        response_length: tokens of each example that could have been masked.
        columns: of the whole batch, for ``fixed_length``.
    """
    examples = response_length.numel()
    masked = torch.bincount(example, minlength=examples)
    one = torch.ones_like(weight)
    match normaliser:
        case "per_sequence":
            return weight / response_length.clamp(min=1)[example], _count(examples, weight)
        case "per_token":
            return weight, _count(int(response_length.sum()), weight)
        case "per_row":
            return weight, _count(examples, weight)
        case "fixed_length":
            return weight, _count(columns, weight)
        case "per_masked_row":
            return one / masked.clamp(min=1)[example], _count(examples, weight)
        case "per_masked":
            return one, _count(example.numel(), weight)


def _count(value: int, like: Tensor) -> Float[Tensor, ""]:
    return torch.tensor(float(value), dtype=torch.float32, device=like.device)
