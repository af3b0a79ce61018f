"""By coins: the reverse posterior of masked diffusion, with or without re-masking."""

from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from unmask.config import part
from unmask.decoding.base import SELECTIONS
from unmask.decoding.remasking import Remasking, chance_to_write, moments
from unmask.decoding.selection.unrefined import Unrefined
from unmask.decoding.state import Candidates


@SELECTIONS.register("remdm")
@part
class Posterior(Remasking, Unrefined):
    """Write each open place by a coin of its own, as the posterior says (MDLM, 2406.07524; ReMDM, arXiv 2503.00307).

    With probability (alpha_s - (1 - sigma) alpha_t) / (1 - alpha_t) in a step from t to s: enough to make up for the
    written places that the revision of the same name, which brings this selection along, takes back with probability
    sigma. With ``conf``, as published, it makes up for nothing. ``eta: 0`` is the plain posterior. A step may write
    nothing; the last one writes all.

    Args:
        strategy: of re-masking; see ``unmask.decoding.remasking``.
        eta: its strength.
        t_on: of ``loop``.
        t_off: of ``loop``.
        alpha_on: of ``loop``.

    Differs from the paper: time ends at 0, so that the last step is the noise removal, with the decoder's own proposal
    (nucleus sampling at 0.9 in the paper: ``proposal: {name: nucleus, top_p: 0.9}``); the phases of ``loop`` meet
    within a step where the steps do not fall on them.
    """

    score: ClassVar[str] = "low_confidence"
    may_wait: ClassVar[bool] = True

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Toss the coins."""
        before, after = moments(candidates)
        sigma = torch.zeros_like(before) if self.strategy == "conf" else self.sigma(before, after)
        chance = chance_to_write(self.alpha(after), self.alpha(before), sigma)[:, None]
        # A number below 1 may round to 1.
        return candidates.is_open & ((candidates.measure("random") < chance) | (chance >= 1))
