"""What methods around another method share: they are decoded, divided and refused as the inner one is."""

from collections.abc import Mapping
from typing import Annotated, Any

from jaxtyping import Float
from pydantic import BeforeValidator, Field
from torch import Tensor

from unmask.attention import Attention
from unmask.config import part, resolver
from unmask.errors import UserError
from unmask.losses import Normaliser
from unmask.objectives.base import OBJECTIVES, WeightedLikelihood
from unmask.objectives.masking import Masking
from unmask.types import Noised, Scored, Traits, Want


@part
class Around(WeightedLikelihood):
    """A method around one that hides tokens of a response.

    Args:
        inner: the method inside.
    """

    inner: Annotated[Any, BeforeValidator(resolver(OBJECTIVES))] = Field(default="vanilla", validate_default=True)

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Masking):
            raise UserError(
                "inner: expected a method that hides tokens of a response (vanilla, blockwise, lift …), "
                f"found {getattr(self.inner, 'name', self.inner)!r}"
            )

    @property
    def method(self) -> Masking:
        """The method inside."""
        method: Masking = self.inner
        return method

    @property
    def block_size(self) -> int | None:
        """The inner method's."""
        return self.method.block_size

    @property
    def attention(self) -> Attention | None:
        """The inner method's."""
        return self.method.attention

    @property
    def denominator(self) -> Normaliser:
        """The inner method's."""
        return self.method.denominator

    @property
    def want(self) -> tuple[Want, ...]:
        """What the inner method wants."""
        return self.method.want

    @property
    def heads(self) -> Mapping[str, Mapping[str, Any]]:
        """The inner method's."""
        return self.method.heads

    def refuses(self, traits: Traits) -> str | None:
        """What the inner method refuses."""
        return self.method.refuses(traits)

    def scheduled(self, progress: float) -> Mapping[str, float]:
        """The inner method's schedule."""
        return self.method.scheduled(progress)

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """The inner method's loss."""
        return self.method.loss(scored, noised)
