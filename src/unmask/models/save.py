"""Writes a model so that plain transformers reads it back, and unmask without flags."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from unmask.heads import HEADS_ATTRIBUTE
from unmask.models.adapter import save_adapter
from unmask.models.denoiser import StockDenoiser
from unmask.models.facts import AdapterBase
from unmask.models.heads import save_heads
from unmask.runtime.transformers_api import Tokenizer


def save(
    denoiser: StockDenoiser,
    folder: str | Path,
    *,
    tokenizer: Tokenizer | None,
    adapter: AdapterBase | None,
    state_dict: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write weights (safetensors), facts, heads and tokenizer into a folder; of an adapter, its own weights only.

    Args:
        denoiser: the model and its facts, which also go into its configuration.
        folder: made if it is not there.
        tokenizer: written beside the weights, if there is one.
        adapter: what the model's adapters rest on; None for a whole model.
        state_dict: weights that were gathered from shards, in place of the model's own.

    Returns:
        The folder.
    """
    folder = Path(folder)
    denoiser.model.config.unmask = denoiser.facts.as_config()
    denoiser.model.config.mask_token_id = denoiser.mask_id
    if denoiser.heads and state_dict is None:
        state_dict = denoiser.model.state_dict()
    if state_dict is not None:  # heads have a file of their own: plain transformers would warn of them
        state_dict = {name: weight for name, weight in state_dict.items() if HEADS_ATTRIBUTE not in name}
    if adapter is not None:
        save_adapter(denoiser, adapter, folder, state_dict)
    else:
        denoiser.model.save_pretrained(folder, state_dict=state_dict)
    save_heads(denoiser, adapter, folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder
