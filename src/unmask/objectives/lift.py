"""LIFT: learn easy tokens while most is hidden, and hard ones once the context is there."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Float64, Int
from pydantic import Field
from torch import Tensor

from unmask.config.components import component
from unmask.core.protocols import Denoiser, Noised, Scored
from unmask.core.random import Draws
from unmask.core.reduction import rank_within
from unmask.errors import UserError
from unmask.objectives.base import OBJECTIVES, Composition, Hidden, Hide, Region, Weight
from unmask.objectives.masking import HIDES, Masking, TimeWeight, bernoulli

EASY, RANDOM, HARD = 1.0, -1.0, 0.0


@component
class LiftSettings:
    """The settings of LIFT, which its method and its ``hide`` share; t, rho, k and H are those of ``Lift``.

    Args:
        components: H, bins of t. 2: hard below 1/2, easy from there. 3: hard below 1/3, easy above 2/3, random
            between (see ``middle``). H: hard below 1/H, easy from 1 - 1/H.
        middle: what the bins between select: a ``random`` subset, or a ``window`` of k tokens that slides over the
            ranking from hard to easy as t grows.
        policy: the bin by ``time``, or drawn at ``random``.
        mode_per: one bin for each ``example``, or one for the ``batch``, by the mean of t (as released).
        rho_min: lower bound of rho, where 1 - t leaves room for it (0.1 in the released code, 0 in the paper).
        rho_max: upper bound of rho; 0 gives vanilla training.
        approximate: one forward: the whole superset is hidden, and the loss keeps the tokens that the same forward
            selects.
        order: ``informed``; or, as controls under the same budget, ``reversed`` (hard tokens at high t) or ``random``
            (k random tokens at every t).
        time_weight: divide by t, as the released launchers do.
    """

    components: Annotated[int, Field(ge=2)] = 3
    middle: Literal["random", "window"] = "random"
    policy: Literal["time", "random"] = "time"
    mode_per: Literal["example", "batch"] = "example"
    rho_min: Annotated[float, Field(ge=0, le=1)] = 0.1
    rho_max: Annotated[float, Field(ge=0, le=1)] = 1.0
    approximate: bool = False
    order: Literal["informed", "reversed", "random"] = "informed"
    time_weight: bool = True


@component
class LateWeight(Weight):
    """The weight of LIFT's approximation: of the whole superset, the forward that trains it selects what counts.

    Args:
        time_weight: divide by t where the denominator wants it.
    """

    name: ClassVar[str] = "lift"
    time_weight: bool = True

    def weigh(self, region: Region, hidden: Hidden, *, by_t: bool) -> Float[Tensor, " K"]:
        """Return 1/t of each token of the superset, or 1."""
        return super().weigh(region, hidden, by_t=by_t and self.time_weight)

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the weighted sum over the kept tokens, nats; which these are is found here, without gradient."""
        if noised.extra is None:
            raise TypeError("these predictions are not of a noised batch of the approximation")
        groups = int(noised.group.max()) + 1 if len(noised.group) else 0
        share, mode = noised.extra.new_zeros(2, groups)
        share[noised.group], mode[noised.group] = noised.extra[:, 0], noised.extra[:, 1]
        score = torch.where(mode[noised.group] == RANDOM, noised.extra[:, 2], -scored.nll.detach().double())
        is_kept = _keep(score, noised.group, share, mode)
        return (noised.weight * is_kept * scored.nll).sum()


@HIDES.register("lift")
@component
class LiftHide(LiftSettings, Hide):
    """Hide a superset at rate t + rho, score it, keep the share t / (t + rho) that suits t (LIFT, arXiv 2605.22939)."""

    def __post_init__(self) -> None:
        if self.mode_per == "batch" and self.policy == "random":
            raise UserError(
                "mode_per: batch takes the bin of the mean t, but policy: random draws a bin for each example; "
                "leave one of them out"
            )

    @property
    def weight(self) -> Weight:
        """1/t unless ``time_weight`` is False; with ``approximate``, a weight that selects in the loss."""
        if self.approximate:
            return LateWeight(time_weight=self.time_weight)
        return TimeWeight(when="denominator" if self.time_weight else "never")

    def refuses(self, whole: Composition) -> str | None:
        """Return why the approximation, or a weight beside ``time_weight``, does not fit, or None."""
        if not self.time_weight and whole.weight != self.weight:
            return f"time_weight: is LIFT's own weight, which {whole.weight.name} replaces; leave one of them out"
        if not self.approximate:
            return None
        if whole.hide is not self:
            return (
                "inner: lift with approximate: true hides more than it supervises, so no second view complements it; "
                "leave approximate out"
            )
        if whole.weight != self.weight or whole.supervise is not None:
            found = whole.name if whole.supervise is not None else f"the weight {whole.weight.name}"
            return (
                f"approximate: true selects tokens by the forward that trains them, and {found} takes all that is "
                "asked for hidden and supervised; leave approximate out"
            )
        return None

    def choose(self, region: Region, *, model: Denoiser, draws: Draws) -> Sequence[Hidden]:
        """Return the kept tokens of each group; with ``approximate``, the whole superset."""
        t, rho = region.t, self._rho(region, draws)
        rate = region.spread(t + rho)
        is_candidate = region.is_response & bernoulli(draws, "mask", region.batch, rate)
        mode = self._modes(t, region, draws)
        share, group = t / (t + rho), region.group[is_candidate]
        batch = region.batch
        chance = draws.uniform("keep", batch.spread(batch.order), batch.offset)[is_candidate]
        if self.approximate:
            extra = torch.stack([share[group], mode[group], chance], dim=1)
            kept = _how_many(torch.bincount(group, minlength=len(share)), share)
            return [Hidden(is_queried=is_candidate, level=region.spread(t), extra=extra, kept=kept)]
        score = self._score(region, is_candidate, mode, chance, model)
        is_kept = torch.zeros_like(is_candidate)
        is_kept[is_candidate] = _keep(score, group, share, mode)
        return [Hidden(is_queried=is_kept, level=region.spread(t))]

    def _rho(self, region: Region, draws: Draws) -> Float64[Tensor, " G"]:
        """Return how much larger than t the superset is, drawn from the unclamped t as in the released collator."""
        uniform = draws.uniform("rho", region.batch.order[region.example], region.block)
        room = (1 - region.u).clamp(max=self.rho_max)
        lower = torch.where(room > self.rho_min, self.rho_min, 0.0)
        return lower + (room - lower) * uniform

    def _modes(self, t: Float64[Tensor, " G"], region: Region, draws: Draws) -> Float64[Tensor, " G"]:
        """Return 0 (hardest) to 1 (easiest) for each group: where in the ranking its window lies; -1 is random."""
        bins = self.components
        if self.mode_per == "batch":
            t = (t * region.share).sum() / region.share.sum().clamp(min=1e-9) + torch.zeros_like(t)
        if self.policy == "random":
            keys = (region.batch.order[region.example], region.block)
            number = (draws.uniform("mode", *keys) * bins).floor()
        else:
            number = (t * bins).floor().clamp(max=bins - 1)
        place = number / (bins - 1)
        is_between = (number > 0) & (number < bins - 1)
        if self.order == "reversed":
            place = 1 - place
        if self.middle == "random":
            place = torch.where(is_between, RANDOM, place)
        return torch.full_like(place, RANDOM) if self.order == "random" else place

    def _score(
        self,
        region: Region,
        is_candidate: Bool[Tensor, "B L"],
        mode: Float64[Tensor, " G"],
        chance: Float64[Tensor, " K"],
        model: Denoiser,
    ) -> Float64[Tensor, " K"]:
        """Return the gold log-probability of each superset token, or chance in random bins (these need no forward)."""
        is_scored = is_candidate & (region.spread(mode) != RANDOM)
        if not bool(is_scored.any()):
            return chance
        with torch.no_grad():
            nll = self._read(region, is_candidate, is_scored, model).double()
        return chance.masked_scatter(is_scored[is_candidate], -nll)

    def _read(
        self, region: Region, is_candidate: Bool[Tensor, "B L"], is_scored: Bool[Tensor, "B L"], model: Denoiser
    ) -> Float[Tensor, " K"]:
        """Return the superset's losses in the rows that need them; only the logits of candidates are computed."""
        rows = is_scored.any(1).nonzero().squeeze(1)
        query, column = region.only(rows).ask(model, is_candidate[rows])
        is_scored = is_scored[rows]
        at = torch.stack([is_scored.nonzero()[:, 0], column[is_scored]], dim=1)
        return model.score(query, at, region.batch.ids[rows][is_scored]).nll


@OBJECTIVES.register("lift")
@component
class Lift(LiftSettings, Masking):
    """Hide a superset at rate t + rho, score it, keep the share t / (t + rho) that suits t (LIFT, arXiv 2605.22939).

    With t ~ U(eps, 1), rho ~ U(rho_min, min(rho_max, 1 - t)) and c_i = log p(x_i | the superset hidden), from a forward
    without gradient, each example keeps k = round(t / (t + rho) * |superset|) tokens: the k largest c_i (easy) at high
    t, the k smallest (hard) at low t, a random k between. What is rejected is filled in with the gold tokens. A second
    forward gives the loss, sum of CE_i / t over the kept tokens, divided as ``normaliser`` says. About n t of the n
    response tokens are kept, as in vanilla training at t; only which ones differs. The settings of the bins and of rho
    are those of ``LiftSettings``.

    Args:
        normaliser: the denominator, by the names of ``unmask.core.reduction``; ``per_token`` as released.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring examples.
        tail: whether the columns after the answer's last block are ``supervised`` or stay ``hidden``; padding is easy,
            so a long supervised tail attracts the easy bins.
        hide: is LIFT's; leave it out.
        weight: what each is worth instead of 1/t, a name of ``WEIGHTS``.

    Differs from the paper: rho has the released code's lower bound 0.1. The bin belongs to the example (the code takes
    the mean t of a micro-batch). Logits of shifted models are aligned (the code does not shift them). k may be 0 in the
    random bin (the code keeps at least one). Bins between the outer ones are not specified there beyond H = 3.
    """

    def compose(self) -> Composition:
        """Return LIFT's choice, with 1/t unless the recipe weighs otherwise."""
        return self.composed(hide=LiftHide(**{f.name: getattr(self, f.name) for f in fields(LiftSettings)}))


def _keep(
    score: Float64[Tensor, " K"],
    group: Int[Tensor, " K"],
    share: Float64[Tensor, " G"],
    mode: Float64[Tensor, " G"],
) -> Bool[Tensor, " K"]:
    """Return which tokens are in the window of round(share * candidates) tokens that the mode of their group points to.

    Ranks run from the highest score down; ties go to the earlier token. The easiest window starts at rank 0, the
    hardest ends at the last rank; a random one is the first of a random ranking.

    Args:
        score: to rank by.
        group: group of each token.
        share: share of each group's tokens to keep.
        mode: where each group's window lies, 0 (hardest) to 1 (easiest); -1 is random.

    Returns:
        Whether each token is kept.
    """
    candidates = torch.bincount(group, minlength=len(share))
    rank = rank_within(score, group, len(share))
    kept = _how_many(candidates, share)
    first = torch.round((candidates - kept) * (1 - torch.where(mode == RANDOM, EASY, mode))).long()
    return (rank >= first[group]) & (rank < (first + kept)[group])


def _how_many(candidates: Int[Tensor, " G"], share: Float64[Tensor, " G"]) -> Int[Tensor, " G"]:
    """Return share * candidates, rounded half to even, as the released code does."""
    return torch.round(candidates * share.clamp(1e-3, 1.0)).long()
