"""Checks the head of a gguf file against the file's size, before a library loops over the counts that it states."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from unmask.errors import UserError, shorten
from unmask.runtime.foreign import check_file

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
LONGEST_KEY, LONGEST_TEXT = 2**16, 2**24
COUNTS = (
    "block_count",
    "head_count",
    "head_count_kv",
    "expert_count",
    "expert_used_count",
    "leading_dense_block_count",
)
SIZES = ("embedding_length", "feed_forward_length", "vocab_size", "key_length", "value_length", "rope.dimension_count")
LISTS = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges")
LONGEST_LIST = 2**22
ALIGNMENT = 32


@dataclass(frozen=True, kw_only=True)
class GgufTensor:
    """Where a tensor of a gguf file lies, and how.

    Args:
        shape: length of each dimension, in PyTorch's order.
        kind: number of its type, as the gguf package counts types.
        start: its first byte in the file.
    """

    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(frozen=True, kw_only=True)
class GgufHead:
    """What the head of a gguf file states.

    Args:
        values: its keys and values; of lists only those of the tokenizer, None for all others.
        tensors: its tensors by name, in the file's order.
        size: bytes of the file.
    """

    values: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]
    size: int


class _Cut(Exception):  # noqa: N818  # never leaves this file
    """The file ends too early, or states something impossible."""


def check_gguf(file: Path) -> GgufHead:
    """Check that a file is a whole gguf file whose stated sizes fit its tensors.

    Args:
        file: its path.

    Returns:
        Its head.

    Raises:
        UserError: it is cut off, is no gguf file, or states sizes that its tensors do not have.
    """
    size = check_file(file)
    with file.open("rb") as source:
        try:
            head = _head(source, size)
        except (_Cut, struct.error, ValueError, OverflowError, MemoryError) as error:
            reason = str(error) if isinstance(error, _Cut) else "its head ends too early"
            raise UserError(
                f"expected a gguf file at '{shorten(file, 120)}', found one of {size:,} bytes that cannot be read: "
                f"{reason}; was the download cut short?"
            ) from error
    widest = max((length for tensor in head.tensors.values() for length in tensor.shape), default=0)
    for key, value in head.values.items():
        name = key.partition(".")[2]
        limit = max(64, len(head.tensors), widest if "block" not in name else 0) if name in COUNTS else 64 * widest
        if name in (*COUNTS, *SIZES) and (type(value) is not int or not 0 <= value <= limit):
            raise UserError(
                f"'{shorten(file, 120)}' states {shorten(key, 80)}={shorten(value, 40)}, expected a whole number of at "
                f"most {limit:,} by its tensors"
            )
    return head


def _head(source: BinaryIO, size: int) -> GgufHead:
    if source.read(4) != b"GGUF":
        raise _Cut("it does not start with GGUF")
    version, tensors, values = _read(source, "IQQ")
    if version not in (2, 3):
        raise _Cut(f"it is of version {version}, read are 2 and 3")
    if tensors * 24 > size or values * 12 > size:
        raise _Cut(f"it states {tensors:,} tensors and {values:,} values")
    found: dict[str, Any] = {}
    for _ in range(values):
        key, (kind,) = _text(source, LONGEST_KEY), _read(source, "I")
        found[key] = _value(source, kind, size, kept=key in LISTS)
    listed = {}
    for _ in range(tensors):
        name, (dimensions,) = _text(source, LONGEST_KEY), _read(source, "I")
        if dimensions > 8 or name in listed:
            raise _Cut(f"a tensor has {dimensions:,} dimensions, or its name stands there twice")
        shape = _read(source, f"{dimensions}Q")
        kind, offset = _read(source, "IQ")
        # No kind of tensor takes less than a bit for a number.
        if offset > size or math.prod(shape) > 8 * size:
            raise _Cut(f"the tensor '{shorten(name, 60)}' does not fit in")
        listed[name] = (shape[::-1], kind, offset)
    step = found.get("general.alignment", ALIGNMENT)
    if type(step) is not int or not 1 <= step <= 2**16:
        raise _Cut(f"it states general.alignment={shorten(step, 40)}")
    start = -(-source.tell() // step) * step
    places = {name: GgufTensor(shape=s, kind=k, start=start + offset) for name, (s, k, offset) in listed.items()}
    return GgufHead(values=found, tensors=places, size=size)


def _read(source: BinaryIO, form: str) -> tuple[Any, ...]:
    form = f"<{form}"
    return struct.unpack(form, source.read(struct.calcsize(form)))


def _text(source: BinaryIO, longest: int) -> str:
    (length,) = _read(source, "Q")
    if length > longest:
        raise _Cut(f"it states a text of {length:,} bytes")
    raw = source.read(length)
    if len(raw) < length:
        raise _Cut("it ends within a text")
    return raw.decode("utf-8", "replace")


def _value(source: BinaryIO, kind: int, size: int, depth: int = 0, *, kept: bool = False) -> Any:
    """Return a scalar, a text, or a list that is ``kept``; None for a list that is skipped."""
    if kind == TEXT:
        return _text(source, LONGEST_TEXT)
    if kind in SCALARS:
        return _read(source, SCALARS[kind])[0]
    if kind != ARRAY or depth > 4:
        raise _Cut(f"it states a value of the unknown kind {kind}")
    inner, count = _read(source, "IQ")
    if count > size:
        raise _Cut(f"it states a list of {count:,} values")
    if kept and (count > LONGEST_LIST or inner == ARRAY):
        raise _Cut(f"it states a list of {count:,} tokens")
    if inner in SCALARS and not kept:
        length = count * struct.calcsize(f"<{SCALARS[inner]}")
        if source.tell() + length > size:
            raise _Cut(f"it states a list of {count:,} values")
        source.seek(length, 1)
        return None
    if kept:
        return [_value(source, inner, size, depth + 1) for _ in range(count)]
    for _ in range(count):
        _value(source, inner, size, depth + 1)
    return None
