"""Writes a loaded model so that plain transformers reads it back, and unmask without flags."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unmask.models.denoiser import LoadedModel


def save(lm: "LoadedModel", folder: str | Path) -> Path:
    """Write weights (safetensors), configuration and tokenizer into ``folder``; of an adapter, its own weights only."""
    folder = Path(folder)
    write_facts(lm)
    if lm.adapter is not None:
        from unmask.models.adapter import save_adapter

        save_adapter(lm, folder)
    else:
        lm.model.save_pretrained(folder)
    if lm.tokenizer is not None:
        lm.tokenizer.save_pretrained(folder)
    return folder


def write_facts(lm: "LoadedModel") -> None:
    """Put the facts into the model's configuration."""
    lm.model.config.unmask = lm.facts.as_config()
    lm.model.config.mask_token_id = lm.facts.mask_id
