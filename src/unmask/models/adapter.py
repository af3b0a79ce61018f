"""Adapter folders: PEFT's files and a sidecar that says which base they belong to and what was done to it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unmask.errors import UserError, shorten
from unmask.foreign import foreign
from unmask.models.adapter_config import adapter_config
from unmask.models.checkpoints import ADAPTER_CONFIG, Checkpoint, parse_dtype, pick_device, read_json
from unmask.models.denoiser import LoadedModel
from unmask.models.facts import AdapterBase, Facts
from unmask.models.families.base import check_complete
from unmask.models.fingerprint import fingerprint
from unmask.models.heads import load_heads
from unmask.models.weights import read_header, read_headers

SIDECAR = "unmask_adapter.json"
ROWS = "unmask_rows.safetensors"


def save_adapter(lm: LoadedModel, folder: Path, state_dict: Mapping[str, Tensor] | None = None) -> None:
    """Write the adapters, the facts and what the mask token's row was before training."""
    from safetensors.torch import save_file

    if lm.adapter is None:
        raise ValueError("not an adapter")
    model: Any = lm.model
    # Left to itself PEFT asks the hub whether the vocabulary grew, and then stores the whole embedding.
    model.save_pretrained(folder, save_embedding_layers=False, state_dict=state_dict)
    save_file(_mask_rows(lm), folder / ROWS)
    sidecar = {
        "base": lm.adapter.source,
        "base_dtype": lm.adapter.dtype,
        "base_fingerprint": lm.adapter.fingerprint,
        "facts": lm.facts.as_config(),
    }
    (folder / SIDECAR).write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")


def load_adapter(
    where: Checkpoint,
    *,
    base: str | Path | None,
    device: torch.device | str | None,
    dtype: torch.dtype | str | None,
    overrides: dict[str, Any],
) -> LoadedModel:
    """Load the base, check that it is the one, give it back its mask row, and attach the adapters.

    Args:
        where: the adapter folder.
        base: where the base is now, if not where it was.
        device: see ``load``.
        dtype: see ``load``.
        overrides: further arguments of ``load``; those that are given outrank the sidecar.
    """
    from peft import PeftModel, get_peft_model_state_dict

    from unmask.models.load import load
    from unmask.models.read import read_tokenizer

    sidecar = read_json(where.folder / SIDECAR)
    _check_sidecar(sidecar, where)
    stored = read_headers([_adapter_weights(where)])
    config = adapter_config(where.folder / ADAPTER_CONFIG, stored)
    source = base or sidecar.get("base") or read_json(where.folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(source, (str, Path)) or not str(source):
        raise UserError(f"the adapter '{where.source}' does not name its base; write base=…")
    given = {name: value for name, value in overrides.items() if value is not None}
    if sidecar and (fixed := sorted({"mask_token", "mask_id"} & given.keys())):
        raise UserError(f"the mask token of the adapter '{where.source}' was settled in training; leave out {fixed[0]}")
    lm = _load_base(load, where, source, sidecar, device=device, given=given)
    if lm.adapter is not None:
        raise UserError(f"the base of an adapter must be a whole model, but '{source}' is an adapter; merge it first")
    written = dict(sidecar.get("facts", {}))
    found = fingerprint(lm)
    if sidecar and found != sidecar["base_fingerprint"]:
        raise UserError(
            f"the adapter '{where.source}' belongs to weights with fingerprint {sidecar['base_fingerprint'][:12]}, but "
            f"'{source}' has {found[:12]}; write base=… with the model that it was trained on"
        )
    if sidecar:
        _restore_rows(lm, where.folder)
        # The settled attention is the base's; all else is what the adapter was trained with, unless the user differs.
        settled = {"native_bidirectional": lm.facts.native_bidirectional, "vocab_size": lm.facts.vocab_size}
        chosen = {key: given[key] for key in ("shift", "attention", "block_size") if key in given}
        lm = replace(lm, facts=Facts.from_config({**written, **settled, **chosen}))
    kept = AdapterBase(source=lm.source, fingerprint=found, dtype=str(lm.model.dtype).removeprefix("torch."))
    if (wanted := parse_dtype(dtype)) is not None:
        for weight in lm.model.parameters():  # model.to(dtype) would round the rotary frequencies too
            weight.data = weight.data.to(wanted)
    with foreign(f"the adapter '{shorten(where.source, 120)}' cannot be put on its base"):
        model = PeftModel.from_pretrained(lm.model, where.folder, is_trainable=True, config=config)
        needed = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    missing, unexpected = sorted(needed - stored.keys()), sorted(stored.keys() - needed)
    check_complete("LoRA", missing=missing, unexpected=unexpected)
    tokenizer = read_tokenizer(where.folder) or lm.tokenizer
    adapted = replace(lm, model=model.eval(), tokenizer=tokenizer, source=where.source, adapter=kept)
    load_heads(adapted, where.folder)
    return adapted


def _check_sidecar(sidecar: dict[str, Any], where: Checkpoint) -> None:
    """Refuse a sidecar that is not as it was written."""
    facts = sidecar.get("facts")
    kinds = {"base": str, "base_dtype": str, "base_fingerprint": str, "facts": dict}
    is_whole = all(isinstance(sidecar.get(name), kind) for name, kind in kinds.items())
    if sidecar and not (is_whole and {"added_rows", "mask_id"} <= facts.keys()):
        raise UserError(f"expected {', '.join(kinds)} in '{where.folder / SIDECAR}', found another thing")


def _adapter_weights(where: Checkpoint) -> Path:
    file = where.folder / "adapter_model.safetensors"
    if not file.exists():
        raise UserError(f"expected adapter_model.safetensors in '{where.source}', found none; was it copied whole?")
    return file


def _load_base(
    load: Any,
    where: Checkpoint,
    source: str | Path,
    sidecar: dict[str, Any],
    *,
    device: torch.device | str | None,
    given: dict[str, Any],
) -> LoadedModel:
    """Load the base in the dtype in which its fingerprint was taken, with the adapter's mask token."""
    facts = sidecar.get("facts", {})
    if facts and not facts["added_rows"]:
        given = {"mask_id": facts["mask_id"], **given}
    try:
        return load(source, device=pick_device(device), dtype=sidecar.get("base_dtype"), **given)
    except UserError as error:
        raise UserError(f"cannot load the base of the adapter '{where.source}': {error}") from error


def _mask_rows(lm: LoadedModel) -> dict[str, Tensor]:
    """Return the mask token's untrained rows of the base: of the embedding, and of an untied head."""
    row = lm.mask_id
    rows = {name: table[row].detach().clone().cpu() for name, table in _tables(lm.model).items()}
    return {name: value.contiguous() for name, value in rows.items()}


@torch.no_grad()
def _restore_rows(lm: LoadedModel, folder: Path) -> None:
    from safetensors.torch import load_file

    read_header(folder / ROWS)
    saved = load_file(folder / ROWS)
    for name, table in _tables(lm.model).items():
        if name not in saved or saved[name].shape != table[lm.mask_id].shape:
            raise UserError(f"expected the row '{name}' of the mask token, as wide as the model, in '{folder / ROWS}'")
        table[lm.mask_id] = saved[name].to(table)


def _tables(model: Any) -> dict[str, Tensor]:
    """Return the embedding and, if it is not tied to it, the LM head, below whatever PEFT put around them."""
    inputs, head = (_inner(module) for module in (model.get_input_embeddings(), model.get_output_embeddings()))
    tables = {"embedding": inputs}
    if head is not None and head is not inputs:
        tables["head"] = head
    return tables


def _inner(module: Any) -> Any:
    if module is None:
        return None
    return getattr(module, "original_module", getattr(module, "base_layer", module)).weight
