"""Whose random numbers are whose: those of a row belong to its text, its seed and its number among the samples.

So a sampled text depends neither on the batch that it was decoded in nor on its place there. Two different prompts get
independent numbers from one seed. The same prompt given twice with one seed is answered twice in the same way: ``n``
asks for several samples.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral

from torch import Tensor

from unmask.decoding import Parts, Step
from unmask.errors import UserError
from unmask.seeds import Draws

Seed = int | Sequence[int]


def row_keys(rows: Sequence[Sequence[int]], seed: Seed, n: int, particles: int = 1) -> list[int]:
    """Return the key of each row's random numbers, those of a text side by side.

    Args:
        rows: tokens of each text.
        seed: of all texts, or one for each.
        n: samples of each text.
        particles: rows of each sample.

    Raises:
        UserError: no sample is asked for, or there are more or fewer seeds than texts.
    """
    if n < 1:
        raise UserError(f"n={n}: expected at least 1 sample of each prompt")
    seeds = [int(seed)] * len(rows) if isinstance(seed, Integral) else list(seed)  # type: ignore[arg-type]
    if len(seeds) != len(rows):
        raise UserError(f"seed: expected a number, or one for each of the {len(rows)} prompts, found {len(seeds)}")
    return [_key(ids, seed, sample) for ids, seed in zip(rows, seeds, strict=True) for sample in range(n * particles)]


def _key(ids: Sequence[int], seed: int, sample: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{sample}/{','.join(map(str, ids))}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1  # fits int64


@dataclass(frozen=True, kw_only=True)
class NotedDraws(Draws):
    """Draws that remember whether any number was drawn.

    Args:
        seed: as for ``Draws``.
        names: of the draws that were made.
    """

    names: set[str] = field(default_factory=set)

    def uniform(self, name: str, *keys: Tensor) -> Tensor:
        """Note the name, and draw."""
        self.names.add(name)
        return super().uniform(name, *keys)

    def stratified(self, name: str, *keys: Tensor) -> Tensor:
        """Note the name, and draw."""
        self.names.add(name)
        return super().stratified(name, *keys)


def checked(steps: Iterator[Step], parts: Parts, draws: NotedDraws) -> Iterator[Step]:
    """Refuse several samples of a decoder that would give the same one each time.

    Every part but the revision is asked in the first forward as in all others, so that the first forward tells.
    """
    for step in steps:
        if step.index == 0 and not draws.names and parts.revision.name == "none":
            what = "n" if parts.search.particles == 1 else f"search '{parts.search.name}'"
            raise UserError(
                f"{what}: expected a decoder that draws random numbers, found one whose samples would all be equal; "
                "write temperature=0.7, or ask for one"
            )
        yield step
