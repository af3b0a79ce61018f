"""The Info-Gain sampler: the positions after which the rest is most certain."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.random import Draws
from unmask.decoding.defaults import SelectionDefaults, share
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import Limit, Positive, entropy, top
from unmask.decoding.state import Candidates


@SELECTIONS.register("info_gain")
@component
class InfoGain(SelectionDefaults):
    """Try several choices of the quota's size, and write the one that leaves least uncertainty (arXiv 2602.18176).

    The first choice is the positions of the highest score; the others are drawn without replacement from
    softmax(p / temperature) over the open positions. One more forward reads the text after each choice, rows times
    choices. Written is the choice with the largest -``cost`` * (sum of its positions' entropies now) - (mean entropy of
    the block's positions still open then), in nats.

    Args:
        choices: N, choices that are tried; 1 tries nothing and, with ``bypass`` infinity, is ``quota``.
        temperature: of the draw of positions, by probability.
        bypass: a block whose open positions all have at least this probability is written at once.
        cost: weight of the choice's own entropy; 0 is the paper's LookUM.

    Differs from the paper: uncertainty is that of the active block, as in the released code with a cache, not of the
    whole canvas; a token is proposed once for each position, not anew for each choice; what was read ahead is not used
    again as the next step's forward, so that a step that tries takes two calls of the model, which both count.
    """

    choices: Annotated[int, Field(ge=1)] = 8
    temperature: Annotated[float, Field(gt=0)] = 0.2
    bypass: Limit = 0.8
    cost: Positive = 1.0

    score: ClassVar[str] = "low_confidence"

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the choice that leaves least uncertainty; a block that is likely enough is chosen whole."""
        is_open, quota = candidates.is_open, share(candidates)
        surest = top(candidates.score, is_open, quota)
        is_clear = ((candidates.score >= self.bypass) | ~is_open).all(1)
        chosen = torch.where(is_clear[:, None], is_open, surest)
        if self.choices == 1:
            return chosen
        own = candidates.measure("random")  # drawn at every step: whether a decoder draws shows at the first one
        is_choice = ~is_clear & (is_open.sum(1) > quota)
        if not bool(is_choice.any()):
            return chosen
        tried = self._tries(candidates, surest, own)
        gain = self._gain(candidates, tried)
        best = top(gain, torch.ones_like(gain, dtype=torch.bool), torch.ones_like(quota)).long().argmax(1)
        found = tried[best, torch.arange(len(best), device=best.device)]
        return torch.where(is_choice[:, None], found, chosen)

    def _tries(
        self, candidates: Candidates, surest: Bool[Tensor, "R W"], own: Float[Tensor, "R W"]
    ) -> Bool[Tensor, "N R W"]:
        """Return the choices, without those that every row has already."""
        key = torch.where(candidates.is_open, own.double() * 2.0**53, 0).long()
        tried, is_new = [surest], [torch.ones_like(surest[:, 0])]
        for number in range(1, self.choices):
            # The number that a position has drawn for this step seeds one more for each choice.
            uniform = Draws(seed=number).uniform("place", key).clamp(min=2.0**-54)
            score = candidates.score.double() / self.temperature - torch.log(-torch.log(uniform))
            choice = top(score, candidates.is_open, surest.sum(1))
            is_new.append(~torch.stack([(choice == each).all(1) for each in tried]).any(0))
            tried.append(choice)
        return torch.stack([choice for choice, new in zip(tried, is_new, strict=True) if bool(new.any())])

    def _gain(self, candidates: Candidates, tried: Bool[Tensor, "N R W"]) -> Float[Tensor, "R N"]:
        """Return each choice's worth: minus its own entropy and what is left after it, nats."""
        now = torch.where(tried, -candidates.measure("entropy"), 0).sum(2)
        left = candidates.is_open & ~tried
        logits = candidates.look_ahead(tried, candidates.token.expand_as(tried), left)
        doubt = entropy(logits)
        after = doubt.new_zeros(left.shape).masked_scatter(left, doubt)
        after = after.sum(2) / left.sum(2).clamp(min=1)
        return -(self.cost * now + after).T
