"""Writes a loaded model so that plain transformers reads it back, and unmask without flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from unmask.models.denoiser import LoadedModel


def save(lm: "LoadedModel", folder: str | Path, state_dict: Mapping[str, Tensor] | None = None) -> Path:
    """Write weights (safetensors), configuration and tokenizer into ``folder``; of an adapter, its own weights only.

    ``state_dict``: weights that were gathered from shards, in place of the model's own.
    """
    folder = Path(folder)
    write_facts(lm)
    if lm.adapter is not None:
        from unmask.models.adapter import save_adapter

        save_adapter(lm, folder, state_dict)
    else:
        lm.model.save_pretrained(folder, state_dict=state_dict)
    if lm.tokenizer is not None:
        lm.tokenizer.save_pretrained(folder)
    return folder


def write_facts(lm: "LoadedModel") -> None:
    """Put the facts into the model's configuration."""
    lm.model.config.unmask = lm.facts.as_config()
    lm.model.config.mask_token_id = lm.facts.mask_id
