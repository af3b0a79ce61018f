"""The settings of a study of learnability."""

from typing import Annotated

from pydantic import Field, field_validator

from unmask.config.components import component

RATIOS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 2**-0.5, 2**-0.25, 1.0)


@component
class Study:
    """What is measured, and how often.

    Args:
        ratios: noise levels t; kept in rising order.
        bins: number of frequency bins.
        passes: independent maskings of every example at each t below 1. At t = 1 there is one state, and one pass.
        batch_size: rows read at once; the numbers do not depend on it.
        seed: seed of the masks.
    """

    ratios: tuple[float, ...] = RATIOS
    bins: Annotated[int, Field(ge=1)] = 5
    passes: Annotated[int, Field(ge=1)] = 4
    batch_size: Annotated[int, Field(ge=1)] = 16
    seed: int = 0

    @field_validator("ratios")
    @classmethod
    def _rising(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        wrong = [ratio for ratio in ratios if not 0 < ratio <= 1]
        if wrong or not ratios:
            found = f"{wrong[0]:g}" if wrong else "none"
            raise ValueError(f"expected numbers above 0 and up to 1, found {found}; write for example 1/4,1/2,1")
        return tuple(sorted(set(ratios)))

    def rows(self, examples: int) -> int:
        """Return how many rows a model reads in all, of so many examples."""
        return examples * sum(self.passes_at(t) for t in self.ratios)

    def passes_at(self, t: float) -> int:
        """Return how many passes there are at one noise level."""
        return self.passes if t < 1 else 1
