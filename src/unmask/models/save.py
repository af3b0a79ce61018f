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
    from unmask.models.adapter import save_adapter
    from unmask.models.denoiser import HEADS_ATTRIBUTE
    from unmask.models.heads import save_heads

    folder = Path(folder)
    write_facts(lm)
    if lm.heads and state_dict is None:
        state_dict = lm.model.state_dict()
    if state_dict is not None:  # heads have a file of their own: plain transformers would warn of them
        state_dict = {name: weight for name, weight in state_dict.items() if HEADS_ATTRIBUTE not in name}
    if lm.adapter is not None:
        save_adapter(lm, folder, state_dict)
    else:
        lm.model.save_pretrained(folder, state_dict=state_dict)
    save_heads(lm, folder)
    if lm.tokenizer is not None:
        lm.tokenizer.save_pretrained(folder)
    return folder


def write_facts(lm: "LoadedModel") -> None:
    """Put the facts into the model's configuration."""
    lm.model.config.unmask = lm.facts.as_config()
    lm.model.config.mask_token_id = lm.facts.mask_id
