"""What every objective shares: its registry and the default answers."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from unmask.attention import Attention
from unmask.canvas import Batch
from unmask.config import part
from unmask.registry import Registry
from unmask.seeds import Draws
from unmask.types import Denoiser, Noised, Objective, Scored, Traits, Want

OBJECTIVES = Registry[Objective]("objective")


@part
class WeightedLikelihood:
    """The loss of nearly every method: the weighted sum of negative log-likelihoods. Subclasses bring ``noise``."""

    name: ClassVar[str]

    @property
    def want(self) -> tuple[Want, ...]:
        """Nothing beyond the likelihoods."""
        return ()

    @property
    def block_size(self) -> int | None:
        """No grid of its own: the canvas is cut by the decoder's."""
        return None

    @property
    def attention(self) -> Attention | None:
        """Whatever the model has."""
        return None

    @property
    def heads(self) -> Mapping[str, Mapping[str, Any]]:
        """None."""
        return {}

    def refuses(self, traits: Traits) -> str | None:
        """Any model will do."""
        del traits
        return None

    def scheduled(self, progress: float) -> Mapping[str, float]:
        """Nothing changes over the run."""
        del progress
        return {}

    def noise(self, batch: Batch, *, model: Denoiser, draws: Draws, progress: float) -> Noised:
        """Turn clean text into a question."""
        del batch, model, draws, progress
        raise TypeError(f"{type(self).__name__} brings no noise()")

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Sum weight * nll: 0 with a usable graph where nothing is asked."""
        return (noised.weight * scored.nll).sum()


def sized(objective: Any, block_size: int) -> Any:
    """Return the objective with a block size wherever it, or a method inside it, leaves the size to the model.

    Args:
        objective: a method; one that does not cut the answer into blocks is returned as it is.
        block_size: columns of a block.

    Raises:
        UserError: the method cannot have blocks of this size.
    """

    def filled(name: str, value: Any) -> Any:
        if name == "block_size":
            return value or block_size
        if isinstance(value, tuple):
            return tuple(filled("", member) for member in value)
        return sized(value, block_size) if is_dataclass(value) else value

    values = {f.name: getattr(objective, f.name) for f in fields(objective)}
    changes = {name: new for name, value in values.items() if (new := filled(name, value)) != value}
    return replace(objective, **changes) if changes else objective


def bernoulli(draws: Draws, name: str, batch: Batch, rate: Float[Tensor, "B L"] | float) -> Bool[Tensor, "B L"]:
    """Draw a coin for every canvas column, keyed by the example and the column's offset; False elsewhere."""
    return batch.is_canvas & (draws.uniform(name, batch.spread(batch.order), batch.offset) < rate)
