"""A summary of a model, for ``unmask inspect``; of a gguf file without reading its weights."""

import copy
from dataclasses import replace
from typing import Any

import torch

from unmask.models.call import share_call
from unmask.models.checkpoint_files import CheckpointFiles, read_gguf
from unmask.models.checkpoints import Checkpoint, pick_device
from unmask.models.facts import Facts
from unmask.models.families import FAMILIES
from unmask.models.load import facts_of
from unmask.models.loaded import LoadedModel
from unmask.models.probe import settle_attention
from unmask.runtime.foreign import foreign
from unmask.runtime.transformers_api import FAILURES, Tokenizer, fit_experts, new_model

_ROWS = 16  # of the embedding of a model that is only tried out


def describe_gguf(where: Checkpoint, *, device: str | None = None) -> dict[str, Any] | None:
    """Return what ``describe`` tells of the model in a gguf file, without reading its weights.

    How the model attends and whether it can be cached is tried out on one layer of its kind, with random weights.

    Args:
        where: the file.
        device: where it would be loaded.

    Returns:
        The facts as JSON types; None where one layer of its kind cannot be made.

    Raises:
        UserError: the file is damaged, or ``load`` would refuse it.
    """  # noqa: DOC502
    with foreign(f"the head of '{where.source}' cannot be read"), torch.random.fork_rng(devices=[]):
        files = read_gguf(where, is_empty=True)
        facts = facts_of(files, where)
        try:
            tried = _small(files, facts)
        except FAILURES:
            return None
        settle_attention(tried, where.source)
    share_call(tried.stock, files.model)
    lm = _loaded(files, replace(facts, native_bidirectional=tried.facts.native_bidirectional), where.source)
    tried.facts = replace(tried.facts, attention=facts.attention)
    return {**describe(lm, tried=tried), "device": str(pick_device(device))}


def _loaded(files: CheckpointFiles, facts: Facts, source: str) -> LoadedModel:
    family = files.model.config.model_type if files.family is None else files.family.title
    return LoadedModel(model=files.model, facts=facts, tokenizer=files.tokenizer, source=source, family=family)


def _small(files: CheckpointFiles, facts: Facts) -> LoadedModel:
    """Return a model of the same configuration with one layer, a small embedding and random weights."""
    config = copy.deepcopy(files.model.config)
    text = config.get_text_config()
    text.num_hidden_layers, text.vocab_size = 1, _ROWS
    text.bos_token_id = text.eos_token_id = text.pad_token_id = None
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:1]
    text.is_causal = False
    model = new_model(config).float().eval()
    fit_experts(model)
    small = replace(facts, mask_id=_ROWS - 1, eos_ids=(0,), filler_id=0, vocab_size=_ROWS, added_rows=0)
    return LoadedModel(model=model, facts=small, tokenizer=None)


def describe(lm: LoadedModel, *, tried: LoadedModel | None = None) -> dict[str, Any]:
    """Return the facts of a model as JSON types.

    Args:
        lm: a loaded model.
        tried: a model of its kind that answers for it how it is cached, where ``lm`` has no weights.

    Returns:
        Where it came from, its size, its special tokens and how it is trained and decoded, by name.
    """
    parameters = list(lm.model.parameters())
    stock = lm.stock
    tokenizer = lm.tokenizer
    tried = tried or lm
    cache, reason = tried.cache_choice
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
        "head_reads": "asked columns" if tried.call.keeps_rows else "all columns",
        "added_rows": lm.facts.added_rows,
        "tokenizer": None if tokenizer is None else type(tokenizer).__name__,
        "chat_template": bool(getattr(tokenizer, "chat_template", None)),
    }


def _named(tokenizer: Tokenizer | None, token: int) -> dict[str, Any]:
    return {"id": token, "token": None if tokenizer is None else tokenizer.convert_ids_to_tokens(token)}
