"""Reads the headers of safetensors files, checked against the files' sizes before any tensor is read."""

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmask.errors import UserError, shorten
from unmask.runtime.foreign import check_file, parse_json

MOST_HEADER = 100_000_000  # bytes, as the format has it
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6,
    "F6_E3M2": 6,
}  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Type and shape of a tensor in a file.

    Args:
        dtype: in the spelling of safetensors, such as ``BF16``.
        shape: length of each dimension.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of values, the product of the shape."""
        return math.prod(self.shape)


def read_headers(files: Iterable[Path]) -> dict[str, Stored]:
    """Return type and shape of the tensors in safetensors files; ``.bin`` files are left out.

    Args:
        files: weight files of a model.

    Returns:
        Name -> tensor.

    Raises:
        UserError: a file is cut off or damaged, or two hold the same tensor.
    """
    found: dict[str, Stored] = {}
    for file in files:
        if file.suffix != ".safetensors":
            check_file(file)
            continue
        header = read_header(file)
        if twice := sorted(found.keys() & header.keys()):
            raise UserError(f"'{_shown(file)}' holds '{shorten(twice[0], 80)}', which another weight file holds too")
        found |= header
    return found


def read_header(file: Path) -> dict[str, Stored]:
    """Return type and shape of the tensors in a safetensors file, after its header was checked.

    Args:
        file: its path.

    Returns:
        Name -> tensor.

    Raises:
        UserError: the file is cut off or damaged, or is no safetensors file.
    """  # noqa: DOC503
    size = check_file(file)
    with file.open("rb") as source:
        start = source.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 2 <= length <= min(MOST_HEADER, size - 8):
            raise _damaged(file, f"{size:,} bytes, of which the header cannot be read; was the download cut short?")
        raw = source.read(length)
    try:
        header = parse_json(raw.decode("utf-8"), file)
    except UnicodeDecodeError:
        raise _damaged(file, "a header that is no UTF-8 text") from None
    if not isinstance(header, dict) or raw.count(b'"data_offsets"') > len(header):
        raise _damaged(file, "a header that is no list of distinct tensors")
    return _tensors(file, header, size - 8 - length)


def _tensors(file: Path, header: dict[str, Any], space: int) -> dict[str, Stored]:
    notes = header.pop("__metadata__", None) or {}
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise _damaged(file, "notes (__metadata__) that are no text")
    found, spans = {}, []
    for name, entry in header.items():
        stored, span = _tensor(entry)
        if stored is None:
            raise _damaged(file, f"the tensor '{shorten(name, 80)}' as {shorten(json.dumps(entry), 80)}")
        found[name] = stored
        spans.append(span)
    at = 0
    for begin, end in sorted(spans):
        if begin != at:
            raise _damaged(file, "tensors that overlap or leave gaps")
        at = end
    if at != space:
        raise _damaged(file, f"{space:,} bytes of tensors where its header says {at:,}; was the download cut short?")
    return found


def _tensor(entry: object) -> tuple[Stored | None, tuple[int, int]]:
    """Return a tensor and the bytes where it begins and ends; None where the entry is not valid."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        return None, (0, 0)
    dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS or not _are_counts(shape) or not _are_counts(span):
        return None, (0, 0)
    stored = Stored(dtype=dtype, shape=tuple(shape))
    if len(span) != 2 or (span[1] - span[0]) * 8 != stored.size * BITS[dtype]:
        return None, (0, 0)
    return stored, (span[0], span[1])


def _are_counts(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= 16
        and all(type(value) is int and 0 <= value < 2**62 for value in values)
    )


def _damaged(file: Path, found: str) -> UserError:
    return UserError(f"expected safetensors in '{_shown(file)}', found {found}")


def _shown(file: Path) -> str:
    return shorten(file, 120)
