"""LLaDA's two options that keep models trained on padded answers from ending too soon."""

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import BeforeValidator, SkipValidation
from torch import Tensor

from unmask.config.components import component, resolver
from unmask.core.random import Draws
from unmask.decoding.defaults import Greedy
from unmask.decoding.interfaces import PROPOSALS, Proposal

LATER = 64.0  # more than two scores differ: an entropy in nats, or a surprise over a trillion tokens


class Wrapped:
    """The base of proposals that change something about an inner one."""

    inner: Proposal

    @property
    def scores_shaped(self) -> bool:
        """Whether the inner proposal's scores are read from its shaped logits."""
        return bool(self.inner.scores_shaped)

    @property
    def scores_mask(self) -> bool:
        """Whether the inner proposal's shaped scores count the mask token's probability."""
        return bool(getattr(self.inner, "scores_mask", False))

    def shape(self, logits: Float[Tensor, "K V"], eos_ids: Sequence[int]) -> Float[Tensor, "K V"]:
        """Return the logits as the inner proposal shapes them."""
        shaped: Tensor = self.inner.shape(logits, eos_ids)
        return shaped

    def propose(
        self, logits: Float[Tensor, "K V"], draws: Draws, keys: Sequence[Int[Tensor, " K"]]
    ) -> Int[Tensor, " K"]:
        """Return the tokens that the inner proposal chooses."""
        token: Tensor = self.inner.propose(logits, draws, keys)
        return token

    def rank(self, score: Float[Tensor, " K"], token: Int[Tensor, " K"], eos_ids: Sequence[int]) -> Float[Tensor, " K"]:
        """Return the scores as the inner proposal ranks them."""
        ranked: Tensor = self.inner.rank(score, token, eos_ids)
        return ranked


@PROPOSALS.register("no_eos")
@component
class NoEos(Wrapped):
    """Never propose an end token (LLaDA, arXiv 2502.09992, ``logits_eos_inf`` of its generate.py).

    Unless a constraint leaves nothing else.

    Args:
        inner: the proposal that chooses among the other tokens.
        ids: tokens that are banned; default: all that end an answer. LLaDA bans its end of text, 126081, and leaves the
            end of turn.

    Differs from the paper: scores do not count the mask token's probability either.
    """

    inner: Annotated[Proposal, SkipValidation, BeforeValidator(resolver(PROPOSALS))] = Greedy()
    ids: tuple[int, ...] | None = None

    @property
    def scores_shaped(self) -> bool:
        """True: scores are read from what is left when end tokens are banned."""
        return True

    def shape(self, logits: Float[Tensor, "K V"], eos_ids: Sequence[int]) -> Float[Tensor, "K V"]:
        """Return the logits without the end tokens (-inf), shaped by the inner proposal."""
        banned = torch.tensor(list(eos_ids if self.ids is None else self.ids), device=logits.device, dtype=torch.int64)
        left = logits.index_fill(1, banned, -torch.inf)
        is_empty = left.amax(1, keepdim=True) == -torch.inf
        return super().shape(torch.where(is_empty, logits, left) if bool(is_empty.any()) else left, eos_ids)


@PROPOSALS.register("late_eos")
@component
class LateEos(Wrapped):
    """Write end tokens last (LLaDA, arXiv 2502.09992, ``confidence_eos_eot_inf`` of its generate.py).

    A position whose proposal is an end token ranks below all others; among such positions the usual order holds.

    Args:
        inner: the proposal itself.
        ids: tokens that wait; default: all that end an answer.

    Differs from the paper: the same at every temperature; the released code changes the logits after the choice of
    tokens, so that above 0 it suppresses only in part.
    """

    inner: Annotated[Proposal, SkipValidation, BeforeValidator(resolver(PROPOSALS))] = Greedy()
    ids: tuple[int, ...] | None = None

    def rank(self, score: Float[Tensor, " K"], token: Int[Tensor, " K"], eos_ids: Sequence[int]) -> Float[Tensor, " K"]:
        """Return the scores as the inner proposal ranks them, those of end tokens lowered by ``LATER``."""
        ranked = super().rank(score, token, eos_ids).double()
        late = torch.tensor(list(eos_ids if self.ids is None else self.ids), device=token.device, dtype=torch.int64)
        waits = torch.isin(token, late)
        return torch.where(waits, ranked - LATER, ranked)
