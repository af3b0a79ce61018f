"""The toys, where tests have always found them."""

from unmask.testing.toys import (
    AlwaysMask,
    Doubts,
    EndFirst,
    Half,
    Hash,
    Saturated,
    Slots,
    Table,
    Toy,
    Uniform,
    pseudo_random,
)

__all__ = [
    "AlwaysMask",
    "Doubts",
    "EndFirst",
    "Half",
    "Hash",
    "Saturated",
    "Slots",
    "Table",
    "Toy",
    "Uniform",
    "pseudo_random",
]
