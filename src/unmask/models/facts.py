"""What a checkpoint must tell so that training, decoding and serving agree; written to ``config.unmask``."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The diffusion facts of a model.

    Args:
        mask_id: token that stands for "hidden".
        eos_ids: tokens that end an answer; decoding stops a row at the first of them.
        filler_id: end-of-text token that fills the canvas after the end of an answer.
        vocab_size: rows of the LM head.
        shift: whether the state at column c - 1 predicts column c (models adapted from autoregressive ones).
        attention: ``bidirectional`` or ``block_causal``.
        block_size: the block size it was trained for, if any; decoding uses it unless told otherwise.
        native_bidirectional: the stock class honours ``config.is_causal = False`` with a 2-D padding mask.
        added_rows: embedding rows that were added for the mask token.
    """

    mask_id: int
    eos_ids: tuple[int, ...]
    filler_id: int
    vocab_size: int
    shift: bool = False
    attention: Literal["bidirectional", "block_causal"] = "bidirectional"
    block_size: int | None = None
    native_bidirectional: bool = True
    added_rows: int = 0

    def as_config(self) -> dict[str, Any]:
        """Return what is written to ``config.unmask``: JSON types only."""
        return {**asdict(self), "eos_ids": list(self.eos_ids)}

    @classmethod
    def from_config(cls, written: dict[str, Any]) -> "Facts":
        """Read ``config.unmask`` back."""
        return cls(**{**written, "eos_ids": tuple(written["eos_ids"])})
