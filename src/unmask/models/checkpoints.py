"""Finds the checkpoint that a path or a hub name stands for, its weight files, dtype and device."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from unmask.errors import UserError, shorten
from unmask.runtime.foreign import read_object, reason_of
from unmask.runtime.paths import is_hub_name, resolve_path

ADAPTER_CONFIG = "adapter_config.json"
_HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer*", "*.model", "merges.txt", "vocab.txt")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint on this machine.

    Args:
        kind: how its weights are stored.
        folder: where it lies.
        file: name of the gguf file in it; empty for the other kinds.
        source: how the user named it, or its absolute path.
    """

    kind: Literal["folder", "gguf", "adapter"]
    folder: Path
    file: str = ""
    source: str


def locate(path: str | Path, *, allow_pickle: bool = False) -> Checkpoint:
    """Find a model or adapter folder, a run folder's model, a gguf file, or a model on the hub.

    Args:
        path: what the user wrote; ``asset:NAME`` for a model that ships with unmask.
        allow_pickle: whether ``.bin`` weights may be downloaded.

    Returns:
        Its folder and its kind; a model on the hub is downloaded.

    Raises:
        UserError: there is no model at the path, and none of that name on the hub.
    """
    local = resolve_path(str(path))
    if local.is_file():
        if local.suffix != ".gguf":
            raise UserError(f"expected a model folder, a .gguf file or a hub name, found the file '{path}'")
        return Checkpoint(kind="gguf", folder=local.parent, file=local.name, source=str(local.resolve()))
    if local.is_dir():
        return _in_folder(local)
    if not is_hub_name(str(path)):
        raise UserError(f"found no model at '{path}'; write a model folder, a .gguf file or a hub name (owner/name)")
    return Checkpoint(kind=_kind(fetched := _fetch(str(path), allow_pickle)), folder=fetched, source=str(path))


def _in_folder(folder: Path) -> Checkpoint:
    for candidate in (folder, folder / "model"):  # a run folder keeps its model in model/
        if (candidate / ADAPTER_CONFIG).is_file() or (candidate / "config.json").is_file():
            return Checkpoint(kind=_kind(candidate), folder=candidate, source=str(candidate.resolve()))
    gguf = sorted(folder.glob("*.gguf"))
    found = f"it holds {gguf[0].name}: write the path of that file" if gguf else "is it a model folder?"
    raise UserError(f"expected config.json or {ADAPTER_CONFIG} in '{folder}', found neither; {found}")


def _kind(folder: Path) -> Literal["folder", "adapter"]:
    return "adapter" if (folder / ADAPTER_CONFIG).is_file() else "folder"


def _fetch(name: str, allow_pickle: bool) -> Path:
    from huggingface_hub import snapshot_download

    patterns = [*_HUB_FILES, *(["*.bin"] if allow_pickle else [])]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (OSError, ValueError) as error:  # no network, no such repository, no such name: the hub's errors are these
        reason = first_line(error).split(". ")[0]
        raise UserError(
            f"'{name}' is no folder here, and the hub did not give it ({reason}); check the name and the network"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, shortened."""
    return reason_of(error)


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object that a file holds; an empty one if there is no such file."""
    return read_object(file) if os.path.lexists(file) else {}


def weight_files(folder: Path, *, allow_pickle: bool) -> list[Path]:
    """Return the weight files of a folder: safetensors, else ``.bin``.

    Args:
        folder: of the model.
        allow_pickle: whether ``.bin`` files may be used.

    Returns:
        All shards that the index names, or the one file.

    Raises:
        UserError: there are no weights, a shard is missing, or the weights are pickled and that is not allowed.
    """
    for suffix in ("safetensors", "bin"):
        index = next(iter(sorted(folder.glob(f"*.{suffix}.index.json"))), None)
        whole = sorted(f for f in folder.glob(f"*.{suffix}") if f.stem in ("model", "pytorch_model"))
        files = _shards(folder, index) if index is not None and not whole else whole
        if not files:
            continue
        if suffix == "bin" and not allow_pickle:
            raise UserError(
                f"'{folder}' has pickled weights only ({files[0].name}); write allow_pickle=True if you trust it"
            )
        absent = [f.name for f in files if not f.exists()]
        if absent:
            raise UserError(f"{index.name if index else folder} names {absent[0]}, which is not in '{folder}'")
        return files
    raise UserError(f"expected model.safetensors in '{folder}', found no weights; was the download cut short?")


def _shards(folder: Path, index: Path) -> list[Path]:
    """List the files that an index names, all of which must lie beside it."""
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise UserError(f"expected weight_map, the file of each tensor, in '{shorten(index, 120)}'")
    names = sorted(set(named.values()))
    for name in names:
        if name != Path(name).name or name.startswith(".") or not name.endswith((".safetensors", ".bin")):
            found = shorten(repr(name), 80)
            raise UserError(f"expected names of files beside it in '{shorten(index, 120)}', found {found}")
    return [folder / name for name in names]


def parse_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Return a torch dtype for a name; None, for None and ``auto``, means the checkpoint's own.

    Args:
        dtype: ``float32``, ``bfloat16``, ``float16``, ``auto``, a torch dtype, or None.

    Returns:
        The dtype, or None.

    Raises:
        UserError: the name is another.
    """
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "auto": None}
    if dtype not in known:
        raise UserError(f"dtype must be float32, bfloat16, float16 or auto, found {dtype!r}")
    return known[dtype]


def pick_device(device: torch.device | str | None) -> torch.device:
    """Return the device that the user names; if None, a GPU if there is one, else the CPU.

    Args:
        device: what the user wrote, or None.

    Returns:
        A device that this machine has.

    Raises:
        UserError: it is no device, holds no weights, or this machine has none of that kind and number.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"device must be cpu, cuda, cuda:0, mps or the like, found {device!r}") from error
    if chosen.type == "meta":
        raise UserError("device must be cpu, cuda, cuda:0, mps or the like, found 'meta', which holds no weights")
    count = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(chosen.type)
    if count is not None and (chosen.index or 0) >= count:
        raise UserError(f"device {str(device)!r}: this machine has {count} of that kind; write cpu, or leave it out")
    return chosen
