"""The base of methods around another method: they are decoded, divided and refused as the inner one is."""

from collections.abc import Mapping
from typing import Annotated

from jaxtyping import Float
from pydantic import BeforeValidator, Field, SkipValidation
from torch import Tensor

from unmask.config.components import InvalidConfigError, choose, chooses, component
from unmask.core.attention import Attention
from unmask.core.protocols import HeadSettings, Noised, Scored, Traits, Want
from unmask.core.reduction import Normaliser
from unmask.objectives.base import OBJECTIVES, WeightedLikelihood
from unmask.objectives.masking import Masking


@chooses(OBJECTIVES)
def _resolve(spec: object) -> Masking:
    """Return the inner method; one that does not hide tokens is refused."""
    method = choose(OBJECTIVES, spec)
    if not isinstance(method, Masking):
        found = getattr(method, "name", method)
        raise InvalidConfigError(
            [f": expected a method that hides tokens of a response (vanilla, blockwise, lift …), found {found!r}"]
        )
    return method


@component
class Around(WeightedLikelihood):
    """A method around one that hides tokens of a response.

    Args:
        inner: the method inside.
    """

    inner: Annotated[SkipValidation[Masking], BeforeValidator(_resolve)] = Field(
        default="vanilla", validate_default=True
    )

    @property
    def block_size(self) -> int | None:
        """Block size that the inner method trains for."""
        return self.inner.block_size

    @property
    def attention(self) -> Attention | None:
        """How a model trained by the inner method attends in plain text."""
        return self.inner.attention

    @property
    def denominator(self) -> Normaliser:
        """Name of the normaliser that divides the inner method's loss."""
        return self.inner.denominator

    @property
    def want(self) -> tuple[Want, ...]:
        """What the inner method's loss needs beyond the likelihoods."""
        return self.inner.want

    @property
    def heads(self) -> Mapping[str, HeadSettings]:
        """Heads that the inner method needs, by name."""
        return self.inner.heads

    def refuses(self, traits: Traits) -> str | None:
        """Return why the inner method cannot train such a model, or None."""
        return self.inner.refuses(traits)

    def scheduled(self, progress: float) -> Mapping[str, float]:
        """Return the inner method's settings that change over the run."""
        return self.inner.scheduled(progress)

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Return the inner method's loss, a sum in nats."""
        return self.inner.loss(scored, noised)
