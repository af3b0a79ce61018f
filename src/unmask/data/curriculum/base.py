"""The base class of curricula, and their registry."""

from typing import Annotated, ClassVar

from jaxtyping import Float64
from pydantic import Field, model_validator
from torch import Tensor

from unmask.config.components import component
from unmask.config.registry import Registry

LENGTH = "length"
BUCKETS = 4


@component
class Curriculum:
    """A law of how likely each bucket of difficulty is at each point of the run. Subclasses define ``weights``.

    Args:
        by: what makes an example difficult: ``length`` (tokens of its answer), or a column of the data, with numbers
            (larger is harder) or labels.
        buckets: number of buckets of equal size that numbers are cut into; None: 4. Where there are no more different
            numbers than that, each is a bucket.
        order: the labels of the column from easy to hard, each a bucket of its own.
    """

    name: ClassVar[str]
    by: Annotated[str, Field(min_length=1)] = LENGTH
    buckets: Annotated[int, Field(ge=1)] | None = None
    order: tuple[str | int | float, ...] | None = None

    @model_validator(mode="after")
    def _fitting(self) -> "Curriculum":
        if self.order is None:
            return self
        if self.by == LENGTH:
            raise ValueError("order is for the labels of a column, found by: length; name the column in by")
        if self.buckets is not None:
            raise ValueError("expected either buckets (of numbers) or order (of labels), found both; leave one out")
        if not self.order or len({label(value) for value in self.order}) < len(self.order):
            raise ValueError(f"order: expected different labels from easy to hard, found {list(self.order)}")
        return self

    @property
    def column(self) -> str | None:
        """Column of the data with the difficulty of a row; None where it is the length of the answer."""
        return None if self.by == LENGTH else self.by

    def weights(self, progress: Float64[Tensor, " P"], buckets: int) -> Float64[Tensor, "P N"]:
        """Return the probability of each of N ``buckets``, easiest first, at each point of the run.

        Args:
            progress: share of the run that is done, in [0, 1].
            buckets: N.

        Returns:
            Probabilities, each row of which sums to 1.

        Raises:
            TypeError: the subclass does not define it.
        """
        del progress, buckets
        raise TypeError(f"{type(self).__name__} brings no weights()")


CURRICULA = Registry[Curriculum]("curriculum")


def label(value: float | str) -> str:
    """Return a label as text: 1, 1.0 and "1" are the same label, whatever a file format makes of them.

    >>> label(1.0), label("hard")
    ('1', 'hard')
    """
    return str(int(value) if isinstance(value, (int, float)) and value == int(value) else value)
