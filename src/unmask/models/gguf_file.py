"""Checks the head of a gguf file against the file's size, before a library loops over the counts that it states."""

import math
import struct
from collections.abc import Mapping
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


class _Cut(Exception):  # noqa: N818  # never leaves this file
    """The file ends too early, or states something impossible."""


def check_gguf(file: Path) -> None:
    """Check that a file is a whole gguf file whose stated sizes fit its tensors.

    Args:
        file: its path.

    Raises:
        UserError: it is cut off, is no gguf file, or states sizes that its tensors do not have.
    """
    size = check_file(file)
    with file.open("rb") as source:
        try:
            values, tensors = _head(source, size)
        except (_Cut, struct.error, ValueError, OverflowError, MemoryError) as error:
            reason = str(error) if isinstance(error, _Cut) else "its head ends too early"
            raise UserError(
                f"expected a gguf file at '{shorten(file, 120)}', found one of {size:,} bytes that cannot be read: "
                f"{reason}; was the download cut short?"
            ) from error
    widest = max((length for shape in tensors.values() for length in shape), default=0)
    for key, value in values.items():
        name = key.partition(".")[2]
        limit = max(64, len(tensors), widest if "block" not in name else 0) if name in COUNTS else 64 * widest
        if name in (*COUNTS, *SIZES) and (type(value) is not int or not 0 <= value <= limit):
            raise UserError(
                f"'{shorten(file, 120)}' states {shorten(key, 80)}={shorten(value, 40)}, expected a whole number of at "
                f"most {limit:,} by its tensors"
            )


def _head(source: BinaryIO, size: int) -> tuple[Mapping[str, Any], Mapping[str, tuple[int, ...]]]:
    if source.read(4) != b"GGUF":
        raise _Cut("it does not start with GGUF")
    version, tensors, values = _read(source, "IQQ")
    if version not in (2, 3):
        raise _Cut(f"it is of version {version}, read are 2 and 3")
    if tensors * 24 > size or values * 12 > size:
        raise _Cut(f"it states {tensors:,} tensors and {values:,} values")
    found = {}
    for _ in range(values):
        key, (kind,) = _text(source, LONGEST_KEY), _read(source, "I")
        found[key] = _value(source, kind, size)
    shapes = {}
    for _ in range(tensors):
        name, (dimensions,) = _text(source, LONGEST_KEY), _read(source, "I")
        if dimensions > 8 or name in shapes:
            raise _Cut(f"a tensor has {dimensions:,} dimensions, or its name stands there twice")
        shapes[name] = _read(source, f"{dimensions}Q")
        _, offset = _read(source, "IQ")
        # No kind of tensor takes less than a bit for a number.
        if offset > size or math.prod(shapes[name]) > 8 * size:
            raise _Cut(f"the tensor '{shorten(name, 60)}' does not fit in")
    return found, shapes


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


def _value(source: BinaryIO, kind: int, size: int, depth: int = 0) -> Any:
    """Return a scalar or a text; None for an array, which is skipped."""
    if kind == TEXT:
        return _text(source, LONGEST_TEXT)
    if kind in SCALARS:
        return _read(source, SCALARS[kind])[0]
    if kind != ARRAY or depth > 4:
        raise _Cut(f"it states a value of the unknown kind {kind}")
    inner, count = _read(source, "IQ")
    if count > size:
        raise _Cut(f"it states a list of {count:,} values")
    if inner in SCALARS:
        length = count * struct.calcsize(f"<{SCALARS[inner]}")
        if source.tell() + length > size:
            raise _Cut(f"it states a list of {count:,} values")
        source.seek(length, 1)
        return None
    for _ in range(count):
        _value(source, inner, size, depth + 1)
    return None
