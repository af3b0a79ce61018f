"""Facts of a checkpoint on which training, decoding and serving must agree; written to ``config.unmask``."""

from dataclasses import asdict, dataclass
from typing import Any, TypeGuard, get_args

from unmask.core.attention import Attention, Grid, LastBlock
from unmask.errors import UserError, did_you_mean, shorten
from unmask.runtime.sealed import FORMAT, check_format


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The diffusion facts of a model.

    Args:
        mask_id: token that stands for "hidden".
        eos_ids: tokens that end an answer; decoding stops a row at any of them. The first is the one that training puts
            at the end of an answer: the chat template's end of turn, if there is one.
        filler_id: end-of-text token that fills the canvas after the end of an answer.
        vocab_size: rows of the LM head.
        shift: whether the state at column c - 1 predicts column c (models adapted from autoregressive ones).
        attention: who attends to whom in plain text; a name from ``unmask.core.attention.ATTENTION``.
        block_size: the block size it was trained for, if any; decoding uses it by default.
        canvas: columns of the canvas it was trained for, if that is known; decoding fills as many by default. Training
            saves the canvas of its layout or, where each canvas was fitted to its answer, the longest answer rounded up
            to whole blocks: every answer of its kind fits, in columns that training showed.
        grid: where the blocks of a block-causal model are counted from: the ``answer``, or the whole ``text`` (SDAR).
        last_block: how its released sampler decodes a canvas that ends inside a block: the ``whole`` block, cut
            afterwards, or a block that is ``cut`` short; None: ``whole`` for block-causal models whose blocks are
            counted from the start of the text.
        native_bidirectional: the stock class honours ``config.is_causal = False`` with a 2-D padding mask.
        added_rows: embedding rows that were added for the mask token.
        family: name of the family of released checkpoints that it comes from; None for a plain or a new model.
        source: the released checkpoint that it comes from, a folder or hub name, whose files an export copies; None
            where there is none.
    """

    mask_id: int
    eos_ids: tuple[int, ...]
    filler_id: int
    vocab_size: int
    shift: bool = False
    attention: Attention = "bidirectional"
    block_size: int | None = None
    canvas: int | None = None
    grid: Grid = "answer"
    last_block: LastBlock | None = None
    native_bidirectional: bool = True
    added_rows: int = 0
    family: str | None = None
    source: str | None = None

    def as_config(self) -> dict[str, Any]:
        """Return the value of ``config.unmask``: the facts and their format, as JSON types."""
        return {"format": FORMAT, **asdict(self), "eos_ids": list(self.eos_ids)}

    def for_training(self) -> dict[str, Any]:
        """Return the facts that training depends on, as JSON types: not those of decoding, nor where it came from."""
        left_out = ("canvas", "last_block", "format", "family", "source")
        return {name: value for name, value in self.as_config().items() if name not in left_out}

    @classmethod
    def from_config(cls, written: dict[str, Any]) -> "Facts":
        """Return the facts that ``config.unmask`` holds.

        Args:
            written: the object, as JSON types.

        Returns:
            The facts, defaults where a key is absent.

        Raises:
            UserError: a required key is missing, a key is unknown, or a value is of another kind.
        """
        check_facts(written)
        known = {name: value for name, value in written.items() if name != "format"}
        try:
            return cls(**{**known, "eos_ids": tuple(written["eos_ids"])})
        except (KeyError, TypeError) as error:
            raise UserError(f"config.unmask must name mask_id, eos_ids, filler_id and vocab_size: {error}") from error


def check_facts(written: object) -> None:
    """Check the keys and values of ``config.unmask``; keys may be missing.

    Args:
        written: the value of ``config.unmask``.

    Raises:
        UserError: a newer format, an unknown key, or a value of another kind.
    """
    if not isinstance(written, dict):
        raise UserError(f"config.unmask: expected an object, found {shorten(repr(written), 60)}")
    check_format(written.get("format", 1), "config.unmask")
    for name, value in written.items():
        if name == "format":
            continue
        if name not in _KINDS:
            raise UserError(f"unknown key config.unmask.{shorten(name, 40)}; {did_you_mean(name, _KINDS)}")
        if not _fits(name, value):
            raise UserError(f"config.unmask.{name}: expected {_KINDS[name]}, found {shorten(repr(value), 60)}")


_KINDS = {
    **dict.fromkeys(("mask_id", "filler_id", "vocab_size", "added_rows"), "a whole number"),
    **dict.fromkeys(("shift", "native_bidirectional"), "true or false"),
    **dict.fromkeys(("block_size", "canvas"), "a whole number from 1, or null"),
    "eos_ids": "a list of whole numbers",
    "attention": ", ".join(get_args(Attention)),
    "grid": ", ".join(get_args(Grid)),
    "last_block": ", ".join(get_args(LastBlock)),
    **dict.fromkeys(("family", "source"), "a text, or null"),
}


def _fits(name: str, value: object) -> bool:
    """Return whether ``value`` is of the type of the fact ``name``."""
    if name == "eos_ids":
        return isinstance(value, (list, tuple)) and len(value) > 0 and all(_is_count(v) for v in value)
    if name == "last_block" and value is None:
        return True
    if name in ("attention", "grid", "last_block"):
        return value in _KINDS[name].split(", ") if isinstance(value, str) else False
    if name in ("shift", "native_bidirectional"):
        return isinstance(value, bool)
    if name in ("family", "source"):
        return value is None or isinstance(value, str)
    if name in ("block_size", "canvas"):
        return value is None or (_is_count(value) and value >= 1)
    return _is_count(value)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and abs(value) < 2**31


@dataclass(frozen=True, kw_only=True)
class AdapterBase:
    """The model that an adapter was trained on.

    Args:
        source: its folder, file or hub name.
        fingerprint: hash of its weights, by ``unmask.models.fingerprint``.
        dtype: of its weights when the fingerprint was taken.
    """

    source: str
    fingerprint: str
    dtype: str
