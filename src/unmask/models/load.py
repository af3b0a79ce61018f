"""Loads a checkpoint as a diffusion language model, whatever it was before."""

import json
from pathlib import Path
from typing import Any

import torch

from unmask.errors import UserError
from unmask.models.denoiser import LoadedModel
from unmask.models.facts import Facts
from unmask.models.tokens import add_mask, check_mask, find_ends, find_mask


def load(
    path: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    mask_token: str | None = None,
    mask_id: int | None = None,
    shift: bool | None = None,
    block_size: int | None = None,
) -> LoadedModel:
    """Load a checkpoint folder.

    Args:
        path: a transformers folder.
        device: CPU unless given.
        dtype: the checkpoint's own unless given.
        mask_token: names the mask token where the checkpoint does not; added if new.
        mask_id: its id instead.
        shift: whether the state at column c - 1 predicts column c; True unless the checkpoint says otherwise.
        block_size: the block size that the model was trained for.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise UserError(f"expected a model folder with config.json, found none at '{path}'")
    config = json.loads((folder / "config.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype or "auto", trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    written: dict[str, Any] = config.get("unmask", {})
    found, added = find_mask(config, tokenizer, token=mask_token, id_=mask_id), 0
    if found is None:
        found, added = add_mask(model, tokenizer, mask_token)
    rows = model.get_input_embeddings().weight.shape[0]
    ends = find_ends(config, {}, tokenizer)
    check_mask(found, rows=rows, ends=ends, pad_id=tokenizer.pad_token_id)
    facts = Facts(
        mask_id=found,
        eos_ids=tuple(written.get("eos_ids", ends.eos_ids)),
        filler_id=written.get("filler_id", ends.filler_id),
        vocab_size=rows,
        shift=written.get("shift", True) if shift is None else shift,
        attention=written.get("attention", "bidirectional"),
        block_size=written.get("block_size") if block_size is None else block_size,
        added_rows=added,
    )
    model.config.is_causal = False
    model.eval()
    return LoadedModel(model=model.to(device or "cpu"), tokenizer=tokenizer, facts=facts, source=str(path))
