"""Complementary views: what one view hides the other shows, so that every response token is supervised."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated

from pydantic import BeforeValidator, Field

from unmask.config.components import component, resolver
from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser, Noised
from unmask.core.random import Draws
from unmask.errors import UserError
from unmask.objectives.around import Around
from unmask.objectives.base import OBJECTIVES, Composition, Hidden, Hide, Region, Weight
from unmask.objectives.masking import HIDES


@HIDES.register("complementary")
@component
class ComplementaryHide(Hide):
    """Hide a region in two views: what ``inner`` hides at rate t, and the rest (LaViDa, arXiv 2505.16839).

    The rest counts as hidden at rate max(1 - t, eps).

    Args:
        inner: what the first view hides: ``uniform``, ``lift`` or ``gift``.
    """

    inner: Annotated[Hide, BeforeValidator(resolver(HIDES))] = Field(default="uniform", validate_default=True)

    def __post_init__(self) -> None:
        if isinstance(self.inner, ComplementaryHide):
            raise UserError("inner: a pair of views has no second pair in it; leave one of them out")

    @property
    def weight(self) -> Weight:
        """Weight of the choice of the first view."""
        return self.inner.weight

    def refuses(self, whole: Composition) -> str | None:
        """Return why there is no second view, or None."""
        if whole.supervise is not None:
            return (
                f"inner: {whole.name} queries more than what it hides, which two views would lose; "
                "write it without complementary"
            )
        return self.inner.refuses(whole)

    def choose(self, region: Region, *, model: Denoiser, draws: Draws) -> Sequence[Hidden]:
        """Return what is hidden in the first view, and the rest, which is hidden in the second."""
        (first,) = self.inner.choose(region, model=model, draws=draws)
        t = (1 - first.level).clamp(min=region.schedule.eps)
        return [first, Hidden(is_queried=region.is_response & ~first.is_queried, level=t)]


@OBJECTIVES.register("complementary")
@component
class Complementary(Around):
    """Train on two views of each example: the inner method's m at rate t, and the rest of its region at 1 - t.

    Used by LaViDa (arXiv 2505.16839), Fast-dLLM v2 (2509.26328) and LLaDA2.0 (2512.15745). The two sets are disjoint
    and together make up the response (or the active block of ``blockwise``): every token is supervised exactly once.
    The second view's tokens weigh as the inner method would at t' = max(1 - t, eps). The loss is the mean of both
    views.

    Args:
        inner: the method that chooses the first view; any that hides tokens in place or in two streams.

    Differs from the paper: LIFT's complementary option adds the second view to an unchanged denominator, which doubles
    the loss; here the views share it.
    """

    def __post_init__(self) -> None:
        _ = self.composition  # refuses what has no second view

    @cached_property
    def composition(self) -> Composition:
        """The inner method's components, with two views of what it hides."""
        one_view = self.inner.composition
        return replace(one_view, hide=ComplementaryHide(inner=one_view.hide))

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Return a noised batch with both views of every region."""
        return self.composition.noise(batch, model=model, draws=draws, progress=progress)
