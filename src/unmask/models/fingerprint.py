"""Hashes of a model's weights, by which adapters, heads and runs recognise the model they belong to."""

import hashlib
import json

import torch

from unmask.heads import HEADS_ATTRIBUTE
from unmask.models.denoiser import StockDenoiser

_OF_THE_PLACE = ("_name_or_path", "name_or_path", "transformers_version")
_SAMPLE = 512  # values per weight: enough that no two checkpoints agree, few enough to read at once


def fingerprint(lm: StockDenoiser, *, signs: bool = False) -> str:
    """Return the hash of a sample of every weight, without the rows from the mask token on, which may be added ones.

    It depends on names, shapes, dtype and values, not on how the base was sharded or stored.

    Args:
        lm: the model.
        signs: whether only the signs of the values are hashed, which are the same in every dtype.

    Returns:
        A SHA-256 as 64 hex digits.
    """
    tables = {id(lm.model.get_input_embeddings().weight)}
    if (head := lm.model.get_output_embeddings()) is not None:
        tables.add(id(head.weight))
    digest = hashlib.sha256()
    for name, weight in sorted(lm.model.named_parameters()):
        if HEADS_ATTRIBUTE in name:
            continue
        known = weight.detach()
        if id(weight) in tables:
            known = known[: min(lm.mask_id, len(known) - lm.facts.added_rows)]
        flat = known.reshape(-1)
        sample = flat[:: max(1, flat.numel() // _SAMPLE)].float().cpu().contiguous()
        if signs:
            sample = sample.signbit()
        digest.update(f"{name}{tuple(known.shape)}".encode())
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()


def hash_of_model(lm: StockDenoiser) -> str:
    """Return the hash, 16 hex digits, of every byte of the weights and buffers and of the configuration."""
    digest = hashlib.sha256()
    for name, tensor in sorted(lm.model.state_dict().items()):
        known = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(known.shape)}{known.dtype}".encode())
        if known.numel():
            digest.update(known.reshape(-1).view(torch.uint8).numpy())
    config = {key: value for key, value in lm.stock.config.to_dict().items() if key not in _OF_THE_PLACE}
    if facts := config.get("unmask"):  # a fact that format 1 had not, and that is not known, changes no hash
        first = {key: value for key, value in facts.items() if value is not None or key == "block_size"}
        config["unmask"] = {key: value for key, value in first.items() if key not in ("format", "canvas")}
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]
