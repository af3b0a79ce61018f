"""Loads a checkpoint as a diffusion language model, whatever it was before."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from unmask.attention import Attention
from unmask.errors import UserError, shorten
from unmask.foreign import foreign
from unmask.models.checkpoints import locate, parse_dtype, pick_device
from unmask.models.denoiser import LoadedModel
from unmask.models.facts import Facts, check_facts
from unmask.models.heads import load_heads
from unmask.models.probe import settle_attention
from unmask.models.read import Parts, read_parts
from unmask.models.tokens import add_mask, check_mask, find_ends, find_mask
from unmask.sealed import edited

LOG = logging.getLogger(__name__)


def load(
    path: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    mask_token: str | None = None,
    mask_id: int | None = None,
    shift: bool | None = None,
    attention: Attention | None = None,
    block_size: int | None = None,
    allow_pickle: bool = False,
    base: str | Path | None = None,
) -> LoadedModel:
    """Load a checkpoint; the flags are for what it does not say itself.

    Args:
        path: a transformers folder (causal or masked language model, LLaDA, Dream, SDAR), a PEFT adapter folder, a run
            folder, a ``.gguf`` file, or a name on the hub. No code of the checkpoint is run.
        device: a GPU if there is one, else the CPU, unless given.
        dtype: ``float32``, ``bfloat16`` or ``float16``; the checkpoint's own unless given (gguf: float32).
        mask_token: the mask token where the checkpoint names none; added to the vocabulary if it is new there.
        mask_id: its id instead.
        shift: whether the state at column c - 1 predicts column c. Unless given or written in the checkpoint: yes for
            causal language models, no for masked ones.
        attention: what the model was trained for.
        block_size: the block size that it was trained for.
        allow_pickle: read ``.bin`` weights, of a source that you trust.
        base: the base of an adapter folder, if it has moved.

    Raises:
        UserError: there is no such checkpoint, it is incomplete or damaged, or it cannot be made a diffusion language
            model.
    """
    if block_size is not None and block_size < 1:
        raise UserError(f"block_size must be at least 1, found {block_size}")
    if attention not in (None, *get_args(Attention)):
        raise UserError(f"attention must be one of {', '.join(get_args(Attention))}, found {attention!r}")
    with foreign(f"the model '{shorten(path, 120)}' cannot be loaded"):
        return _load(
            path, device=device, dtype=dtype, mask_token=mask_token, mask_id=mask_id, shift=shift, attention=attention,
            block_size=block_size, allow_pickle=allow_pickle, base=base,
        )  # fmt: skip


def _load(
    path: str | Path,
    *,
    device: torch.device | str | None,
    dtype: torch.dtype | str | None,
    mask_token: str | None,
    mask_id: int | None,
    shift: bool | None,
    attention: Attention | None,
    block_size: int | None,
    allow_pickle: bool,
    base: str | Path | None,
) -> LoadedModel:
    where = locate(path, allow_pickle=allow_pickle)
    if where.kind != "gguf" and (changed := edited(where.folder)):
        LOG.warning("%s: %s changed since it was saved; loaded as found", where.folder, ", ".join(changed))
    if where.kind == "adapter":
        from unmask.models.adapter import load_adapter

        flags = {"mask_token": mask_token, "mask_id": mask_id, "shift": shift}
        overrides = {**flags, "attention": attention, "block_size": block_size, "allow_pickle": allow_pickle}
        return load_adapter(where, base=base, device=device, dtype=dtype, overrides=overrides)
    if base is not None:
        raise UserError(f"base={str(base)!r} is for adapter folders, but '{path}' is a whole model; leave it out")
    with torch.random.fork_rng(devices=[]):  # transformers draws when it makes or grows a model
        parts = read_parts(where, parse_dtype(dtype), allow_pickle)
        chosen = {"shift": shift, "attention": attention, "block_size": block_size}
        facts = _settle(parts, mask_token=mask_token, mask_id=mask_id, chosen=chosen)
    # The padding token is often also the filler, whose embedding must learn; padding is hidden by attention here.
    parts.model.get_input_embeddings().padding_idx = None
    parts.model.config.get_text_config().is_causal = False
    parts.model.eval().to(pick_device(device))
    family = parts.family.name if parts.family else parts.model.config.model_type
    lm = LoadedModel(
        model=parts.model, tokenizer=parts.tokenizer, facts=facts, source=where.source, family=family
    )  # fmt: skip
    lm = settle_attention(lm)
    if where.kind == "folder":
        load_heads(lm, where.folder)
    return lm


def _settle(parts: Parts, *, mask_token: str | None, mask_id: int | None, chosen: dict[str, Any]) -> Facts:
    """Put together what the user says, what the checkpoint says, and what its family implies, in this order."""
    model, tokenizer, config, family = parts.model, parts.tokenizer, parts.config, parts.family
    written = config.get("unmask") or {}
    check_facts(written)
    found, added = find_mask(config, tokenizer, token=mask_token, id_=mask_id), 0
    if found is None:
        found, added = add_mask(model, tokenizer, mask_token)
    rows = model.get_input_embeddings().weight.shape[0]
    ends = find_ends(config, parts.generation, tokenizer, rows=rows)
    pad_id = config.get("pad_token_id") if tokenizer is None else tokenizer.pad_token_id
    implied: dict[str, Any] = {
        "eos_ids": ends.eos_ids,
        "filler_id": ends.filler_id,
        "shift": family.shift if family else parts.predicts_next,
        "attention": family.attention if family else "bidirectional",
        "grid": family.grid if family else "answer",
        "block_size": config.get("block_size", family.block_size) if family else None,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    facts = Facts.from_config({**implied, **written, **given, "mask_id": found, "vocab_size": rows})
    facts = replace(facts, added_rows=facts.added_rows or added)
    check_mask(found, rows=rows, ends=facts, pad_id=pad_id)
    model.config.mask_token_id = found
    model.config.unmask = facts.as_config()
    return facts
