"""Writes a model so that unmask reads it back without flags, and no other program takes it for a causal one."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor, distributed

from unmask.heads import HEADS_ATTRIBUTE
from unmask.models.adapter import save_adapter
from unmask.models.card import MARK, model_card
from unmask.models.denoiser import StockDenoiser
from unmask.models.facts import AdapterBase
from unmask.models.heads import save_heads
from unmask.models.native import guard
from unmask.runtime.transformers_api import Tokenizer


def save(
    denoiser: StockDenoiser,
    folder: str | Path,
    *,
    tokenizer: Tokenizer | None,
    adapter: AdapterBase | None,
    state_dict: Mapping[str, Tensor] | None = None,
    generation: Mapping[str, Any] = MappingProxyType({}),
    is_guarded: bool = True,
) -> Path:
    """Write weights (safetensors), facts, heads and tokenizer into a folder; of an adapter, its own weights only.

    Args:
        denoiser: the model and its facts, which also go into its configuration.
        folder: made if it is not there.
        tokenizer: written beside the weights, if there is one.
        adapter: what the model's adapters rest on; None for a whole model.
        state_dict: weights that were gathered from shards, in place of the model's own.
        generation: content of the ``generation_config.json``; if empty, what transformers writes.
        is_guarded: whether other programs must refuse the folder; see ``unmask.models.native``.

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
        # Sharded models are gathered by all processes; one of them writes.
        denoiser.model.save_pretrained(folder, state_dict=state_dict, is_main_process=_writes())
    if _writes():
        _finish(denoiser, folder, generation, is_adapter=adapter is not None, is_guarded=is_guarded)
    save_heads(denoiser, adapter, folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def _writes() -> bool:
    """Return whether this process writes the files of a model; with several, the first does."""
    return not distributed.is_available() or not distributed.is_initialized() or distributed.get_rank() == 0


def _finish(
    denoiser: StockDenoiser, folder: Path, generation: Mapping[str, Any], *, is_adapter: bool, is_guarded: bool
) -> None:
    """Write what transformers does not: the guard, the released ``generation_config.json``, the model card."""
    if not is_adapter:
        is_guarded = is_guarded and guard(folder)
        if generation:
            text = json.dumps(dict(generation), indent=2, ensure_ascii=False)
            (folder / "generation_config.json").write_text(text + "\n", encoding="utf-8")
    _write_card(denoiser, folder, is_adapter=is_adapter, is_guarded=is_guarded)


def _write_card(denoiser: StockDenoiser, folder: Path, *, is_adapter: bool, is_guarded: bool) -> None:
    """Write ``README.md``, over PEFT's empty form and earlier cards, never over one that somebody wrote."""
    file = folder / "README.md"
    if file.exists() and not is_adapter and MARK not in file.read_text(encoding="utf-8", errors="replace"):
        return
    stock = type(denoiser.stock).__name__
    name = folder.resolve().name
    text = model_card(denoiser.facts, stock=stock, name=name, is_adapter=is_adapter, is_guarded=is_guarded)
    file.write_text(text, encoding="utf-8")
