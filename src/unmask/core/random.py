"""Random numbers that belong to an example, not to a batch.

A draw is a pure function of (seed, name of the draw, index of the example in the global order, further keys such as
the token's offset in its canvas). So the noise does not depend on batch shape, padding, packing, accumulation, ranks,
restarts or device, and a test can replace drawn numbers with recorded ones.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float64, Int
from torch import Tensor

# Irrational steps of the additive recurrence: the golden ratio's has the lowest discrepancy; sqrt(2) - 1 is the next.
STEPS = (0.6180339887498949, 0.41421356237309515)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= (1 << 63) else value


_STEP, _MULTIPLY_1, _MULTIPLY_2 = (_signed(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Return a logical shift: torch's ``>>`` on int64 copies the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """Return the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): every input bit moves every output bit."""
    x = (x ^ _shift_right(x, 30)) * _MULTIPLY_1
    x = (x ^ _shift_right(x, 27)) * _MULTIPLY_2
    return x ^ _shift_right(x, 31)


def _hash_name(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return _signed(int.from_bytes(digest, "little"))


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The source of all randomness in objectives and decoders.

    Args:
        seed: two sources with the same seed give the same numbers.
    """

    seed: int

    def uniform(self, name: str, *keys: Int[Tensor, "..."]) -> Float64[Tensor, "..."]:
        """Return numbers from U[0, 1), one for each element of the broadcast keys.

        Args:
            name: which draw of the method this is (``"mask"``, ``"block"``); other names are independent.
            *keys: integers that identify the draw, by convention the example's global index first.

        Returns:
            float64 numbers, in the shape of the broadcast keys.
        """
        shape = torch.broadcast_shapes(*(key.shape for key in keys))  # torch's own
        state = torch.full(shape, _hash_name(self.seed, name), dtype=torch.int64, device=keys[0].device)
        for key in keys:
            state = _mix(state + (key.to(torch.int64) + 1) * _STEP)
        return _shift_right(_mix(state), 11).to(torch.float64) * 2.0**-53

    def stratified(self, name: str, *keys: Int[Tensor, "..."]) -> Float64[Tensor, "..."]:
        """Return numbers from U[0, 1) that cover it evenly over neighbouring keys; more than two: a ValueError."""
        # The additive recurrence frac(u + key * golden ratio): each key is uniform over seeds, while n neighbours leave
        # no gap much wider than 1/n. It lowers the variance of the noise level without a batch. A second key, a block,
        # has a step of its own. Two draws by the same key move in step whatever their names: swap the keys of one.
        if len(keys) > len(STEPS):
            raise ValueError(f"stratified draws take at most {len(STEPS)} keys, found {len(keys)}")
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode(), digest_size=6).digest()
        place = torch.tensor(math.ldexp(int.from_bytes(digest, "little"), -48), dtype=torch.float64)
        for key, step in zip(keys, STEPS, strict=False):
            place = place.to(key.device) + key.to(torch.float64) * step
        return torch.frac(place)


@dataclass(frozen=True, kw_only=True)
class RecordedDraws(Draws):
    """Draws whose named numbers were recorded elsewhere; names without a record are drawn from the seed.

    Args:
        seed: for the names that are not recorded.
        values: name of the draw -> the numbers to return, in the shape that the method asks for.
    """

    values: Mapping[str, Tensor] = field(default_factory=dict)

    def uniform(self, name: str, *keys: Int[Tensor, "..."]) -> Float64[Tensor, "..."]:
        """Return the recorded numbers of ``name``; without a record, draw them."""
        return self.values[name].to(torch.float64) if name in self.values else super().uniform(name, *keys)

    def stratified(self, name: str, *keys: Int[Tensor, "..."]) -> Float64[Tensor, "..."]:
        """Return the recorded numbers of ``name``; without a record, draw them."""
        return self.values[name].to(torch.float64) if name in self.values else super().stratified(name, *keys)
