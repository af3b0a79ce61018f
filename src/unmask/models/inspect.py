"""A summary of a loaded model, for ``unmask inspect``."""

from typing import Any

from unmask.models.families import FAMILIES
from unmask.models.loaded import LoadedModel
from unmask.runtime.transformers_api import Tokenizer


def describe(lm: LoadedModel) -> dict[str, Any]:
    """Return the facts of a model as JSON types.

    Args:
        lm: a loaded model.

    Returns:
        Where it came from, its size, its special tokens and how it is trained and decoded, by name.
    """
    parameters = list(lm.model.parameters())
    stock = lm.stock
    tokenizer = lm.tokenizer
    cache, reason = lm.cache_choice
    return {
        "source": lm.source,
        "family": lm.family,
        "architecture": type(stock).__name__,
        "adapter_of": lm.adapter.source if lm.adapter else None,
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "dtype": str(stock.dtype).removeprefix("torch."),
        "device": str(lm.device),
        "vocab_size": lm.vocab_size,
        "tied_embeddings": bool(stock.config.get_text_config().tie_word_embeddings),
        "max_positions": getattr(stock.config.get_text_config(), "max_position_embeddings", None),
        "mask": _named(tokenizer, lm.mask_id),
        "eos": [_named(tokenizer, i) for i in lm.eos_ids],
        "filler": _named(tokenizer, lm.filler_id),
        "shift": lm.facts.shift,
        "attention": lm.facts.attention,
        "block_size": lm.facts.block_size,
        "canvas": lm.facts.canvas,
        "released_sampler": dict(FAMILIES[lm.facts.family].decoding) or None if lm.facts.family else None,
        "native_bidirectional": lm.facts.native_bidirectional,
        "cache": cache,
        "cache_reason": reason,
        "head_reads": "asked columns" if lm.call.keeps_rows else "all columns",
        "added_rows": lm.facts.added_rows,
        "tokenizer": None if tokenizer is None else type(tokenizer).__name__,
        "chat_template": bool(getattr(tokenizer, "chat_template", None)),
    }


def _named(tokenizer: Tokenizer | None, token: int) -> dict[str, Any]:
    return {"id": token, "token": None if tokenizer is None else tokenizer.convert_ids_to_tokens(token)}
