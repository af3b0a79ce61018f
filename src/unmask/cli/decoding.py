"""How the commands that decode read their options."""

from typing import Any


def decoder_fields(
    *, block_size: int | None, steps: int | None, threshold: float | None, temperature: float, whole: bool = False
) -> dict[str, Any]:
    """Collect the fields of ``Decoder`` that were given."""
    fields: dict[str, Any] = {"temperature": temperature}
    fields |= {
        name: value
        for name, value in (("block_size", block_size), ("steps", steps), ("threshold", threshold))
        if value is not None
    }
    return fields | ({"blocks": "whole"} if whole else {})
