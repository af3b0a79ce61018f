"""Whether the samples of a prompt can differ: draws that know whether any number was drawn."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor

from unmask.config.registry import name_of
from unmask.core.random import Draws
from unmask.decoding.decoder import ResolvedDecoder
from unmask.decoding.state import Step
from unmask.errors import UserError


@dataclass(frozen=True, kw_only=True)
class NotedDraws(Draws):
    """Draws that remember whether any number was drawn.

    Args:
        seed: that all draws are a function of.
        names: of the draws that were made.
    """

    names: set[str] = field(default_factory=set)

    def uniform(self, name: str, *keys: Tensor) -> Tensor:
        """Return uniform numbers in [0, 1) for the keys, and record the name."""
        self.names.add(name)
        return super().uniform(name, *keys)

    def stratified(self, name: str, *keys: Tensor) -> Tensor:
        """Return stratified numbers in [0, 1) for the keys, and record the name."""
        self.names.add(name)
        return super().stratified(name, *keys)


def checked(steps: Iterator[Step], resolved: ResolvedDecoder, draws: NotedDraws) -> Iterator[Step]:
    """Yield the steps; a ``UserError`` if several samples are decoded and no random number is drawn.

    The first step shows it: every component but the revision acts in it as in all others.
    """
    for step in steps:
        if step.index == 0 and not draws.names and name_of(resolved.revision) == "none":
            what = "n" if resolved.search.particles == 1 else f"search '{name_of(resolved.search)}'"
            raise UserError(
                f"{what}: expected a decoder that draws random numbers, found one whose samples would all be equal; "
                "write temperature=0.7, or ask for one"
            )
        yield step
