"""Adapter folders: PEFT's files, and a sidecar file with the base of the adapter and the facts of the model."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unmask.errors import UserError
from unmask.models.checkpoints import ADAPTER_CONFIG, Checkpoint, read_json
from unmask.models.denoiser import StockDenoiser
from unmask.models.facts import AdapterBase
from unmask.models.weights import read_header
from unmask.runtime.sealed import FORMAT, check_format
from unmask.runtime.transformers_api import StockModel

SIDECAR = "unmask_adapter.json"
ROWS = "unmask_rows.safetensors"


@contextmanager
def unsurprised() -> Iterator[None]:
    """Inside the context, PEFT 0.18 does not warn of classes with stacked experts: it adapts their weights rightly."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)
        yield


def save_adapter(
    denoiser: StockDenoiser, base: AdapterBase, folder: Path, state_dict: Mapping[str, Tensor] | None = None
) -> None:
    """Write the adapters, the model's facts, and the mask token's rows as they are in the base.

    Args:
        denoiser: a model in PEFT's wrapper.
        base: the model that the adapters were trained on.
        folder: where the files go.
        state_dict: weights gathered from shards, in place of the model's own.
    """
    from safetensors.torch import save_file

    # By default PEFT looks on the hub whether the vocabulary grew, and then stores the whole embedding.
    denoiser.model.save_pretrained(folder, save_embedding_layers=False, state_dict=state_dict)
    row, tables = denoiser.mask_id, _tables(denoiser.model)
    save_file({name: table[row].detach().clone().cpu().contiguous() for name, table in tables.items()}, folder / ROWS)
    sidecar = {
        "format": FORMAT,
        "base": base.source,
        "base_dtype": base.dtype,
        "base_fingerprint": base.fingerprint,
        "facts": denoiser.facts.as_config(),
    }
    (folder / SIDECAR).write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")


def read_sidecar(where: Checkpoint) -> dict[str, Any]:
    """Return the base and the facts that ``save_adapter`` wrote beside the weights.

    Args:
        where: an adapter folder.

    Returns:
        The JSON object of ``unmask_adapter.json``; empty for an adapter that PEFT wrote by itself.

    Raises:
        UserError: the file lacks a key, or a value is of another type.
    """
    sidecar = read_json(where.folder / SIDECAR)
    check_format(sidecar.get("format", 1), where.folder / SIDECAR)
    kinds = {"base": str, "base_dtype": str, "base_fingerprint": str, "facts": dict}
    is_whole = all(isinstance(sidecar.get(name), kind) for name, kind in kinds.items())
    if sidecar and not (is_whole and {"added_rows", "mask_id"} <= sidecar["facts"].keys()):
        raise UserError(f"expected {', '.join(kinds)} in '{where.folder / SIDECAR}', found another thing")
    return sidecar


def find_base(where: Checkpoint, sidecar: Mapping[str, Any], base: str | Path | None) -> str | Path:
    """Return the base of an adapter: what the user names, else what it was trained on.

    Args:
        where: an adapter folder.
        sidecar: of the adapter; may be empty.
        base: the user's choice, or None.

    Returns:
        A folder, a file or a hub name.

    Raises:
        UserError: the user names no base, and neither do the adapter's files.
    """
    source = base or sidecar.get("base") or read_json(where.folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(source, (str, Path)) or not str(source):
        raise UserError(f"the adapter '{where.source}' does not name its base; write base=…")
    return source


def adapter_weights(where: Checkpoint) -> Path:
    """Return the file of an adapter's weights.

    Args:
        where: an adapter folder.

    Returns:
        The path of ``adapter_model.safetensors``.

    Raises:
        UserError: the folder has no such file.
    """
    file = where.folder / "adapter_model.safetensors"
    if not file.exists():
        raise UserError(f"expected adapter_model.safetensors in '{where.source}', found none; was it copied whole?")
    return file


@torch.no_grad()
def restore_mask_rows(denoiser: StockDenoiser, folder: Path) -> None:
    """Overwrite the mask token's rows of an adapter's base with what they were before training.

    Args:
        denoiser: the base; its embedding and an untied LM head are changed in place.
        folder: of the adapter.

    Raises:
        UserError: the rows are not those of this model.
    """
    from safetensors.torch import load_file

    row = denoiser.mask_id
    read_header(folder / ROWS)
    saved = load_file(folder / ROWS)
    for name, table in _tables(denoiser.model).items():
        if name not in saved or saved[name].shape != table[row].shape:
            raise UserError(f"expected the row '{name}' of the mask token, as wide as the model, in '{folder / ROWS}'")
        table[row] = saved[name].to(table)


def _tables(model: StockModel) -> dict[str, Tensor]:
    """Return the weights of the embedding and, if it is not tied, of the LM head, without PEFT's wrappers."""
    inputs, head = _weight(model.get_input_embeddings()), _weight(model.get_output_embeddings())
    tables = {} if inputs is None else {"embedding": inputs}
    if head is not None and head is not inputs:
        tables["head"] = head
    return tables


def _weight(module: nn.Module | None) -> Tensor | None:
    inner: Any = getattr(module, "original_module", getattr(module, "base_layer", module))
    return None if inner is None else inner.weight
