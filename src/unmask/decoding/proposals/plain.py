"""Proposals: from logits to tokens. The loop has already banned the mask token."""

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import PROPOSALS
from unmask.decoding.pieces import in_pieces
from unmask.seeds import Draws


class Unshaped:
    """The neutral half of a proposal: drawn from and scored by the model's own logits."""

    @property
    def scores_shaped(self) -> bool:
        """By the model's own."""
        return False

    def shape(self, logits: Float[Tensor, "K V"], eos_ids: Sequence[int]) -> Float[Tensor, "K V"]:
        """As they are."""
        del eos_ids
        return logits

    def rank(self, score: Float[Tensor, " K"], token: Int[Tensor, " K"], eos_ids: Sequence[int]) -> Float[Tensor, " K"]:
        """As it is."""
        del token, eos_ids
        return score


@PROPOSALS.register("greedy")
@part
class Greedy(Unshaped):
    """The most likely token."""

    def propose(
        self, logits: Float[Tensor, "K V"], draws: Draws, keys: Sequence[Int[Tensor, " K"]]
    ) -> Int[Tensor, " K"]:
        """Take the argmax."""
        del draws, keys
        return logits.argmax(-1)


@PROPOSALS.register("gumbel")
@part
class Gumbel(Unshaped):
    """An exact sample from softmax(logits / temperature): argmax of logits + temperature * Gumbel noise.

    Drawn in float64: low precision lowers the effective temperature (arXiv 2409.02908). The noise is keyed by
    (row, forward, offset, token), so a row's text does not depend on its neighbours.

    Args:
        temperature: 0 is greedy.
    """

    temperature: Annotated[float, Field(ge=0)] = 1.0

    def propose(
        self, logits: Float[Tensor, "K V"], draws: Draws, keys: Sequence[Int[Tensor, " K"]]
    ) -> Int[Tensor, " K"]:
        """Add noise, take the argmax."""
        if self.temperature == 0:
            return logits.argmax(-1)
        return sample(logits, draws, keys, temperature=self.temperature)


def sample(
    logits: Float[Tensor, "K V"], draws: Draws, keys: Sequence[Int[Tensor, " K"]], *, temperature: float = 1.0
) -> Int[Tensor, " K"]:
    """Draw exactly from softmax(logits / temperature)."""
    vocabulary = torch.arange(logits.shape[-1], device=logits.device)[None, :]
    columns = torch.stack([key.expand(len(logits)) for key in keys], dim=1)
    tokens = []
    for some, key in zip(in_pieces(logits), in_pieces(columns, like=logits), strict=True):
        uniform = draws.uniform("gumbel", *(each[:, None] for each in key.unbind(1)), vocabulary)
        noise = -torch.log(-torch.log(uniform.clamp(min=2.0**-54)))
        tokens.append((some.double() + temperature * noise).argmax(-1))
    return torch.cat(tokens)
