"""Loads a checkpoint of any kind as a diffusion language model."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast, get_args

import torch

from unmask.core.attention import Attention
from unmask.errors import UserError, shorten
from unmask.models.adapter import adapter_weights, find_base, read_sidecar, restore_mask_rows, unsurprised
from unmask.models.adapter_config import adapter_config
from unmask.models.checkpoint_files import CheckpointFiles, read_checkpoint, read_tokenizer
from unmask.models.checkpoints import ADAPTER_CONFIG, Checkpoint, locate, parse_dtype, pick_device
from unmask.models.denoiser import StockDenoiser
from unmask.models.facts import AdapterBase, Facts, check_facts
from unmask.models.families import FAMILIES
from unmask.models.families.base import check_complete
from unmask.models.fingerprint import fingerprint
from unmask.models.heads import load_heads
from unmask.models.loaded import LoadedModel
from unmask.models.probe import settle_attention
from unmask.models.tokens import add_mask, check_mask, find_ends, find_mask
from unmask.models.weights import read_headers
from unmask.runtime.foreign import foreign
from unmask.runtime.sealed import edited
from unmask.runtime.transformers_api import fit_experts, stays_float32

LOG = logging.getLogger(__name__)
_NOTHING_CHOSEN: Mapping[str, Any] = MappingProxyType({"shift": None, "attention": None, "block_size": None})


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
    """Load a checkpoint; the flags are for what the checkpoint itself does not state.

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

    Returns:
        The model, in evaluation mode, with its facts and its tokenizer.

    Raises:
        UserError: there is no such checkpoint, it is incomplete or damaged, or it cannot be made a diffusion language
            model.
    """
    if block_size is not None and block_size < 1:
        raise UserError(f"block_size must be at least 1, found {block_size}")
    if attention not in (None, *get_args(Attention)):
        raise UserError(f"attention must be one of {', '.join(get_args(Attention))}, found {attention!r}")
    chosen = {"shift": shift, "attention": attention, "block_size": block_size}
    mask = {"mask_token": mask_token, "mask_id": mask_id}
    options: dict[str, Any] = {"device": pick_device(device), "dtype": parse_dtype(dtype), "allow_pickle": allow_pickle}
    with foreign(f"the model '{shorten(path, 120)}' cannot be loaded"):
        where = locate(path, allow_pickle=allow_pickle)
        if where.kind == "adapter":
            return _load_adapter(where, base=base, mask=mask, chosen=chosen, **options)
        if base is not None:
            raise UserError(f"base={str(base)!r} is for adapter folders, but '{path}' is a whole model; leave it out")
        return _load_whole(where, mask=mask, chosen=chosen, **options)


def _load_whole(
    where: Checkpoint,
    *,
    mask: Mapping[str, Any],
    chosen: Mapping[str, Any],
    device: torch.device,
    dtype: torch.dtype | None,
    allow_pickle: bool,
) -> LoadedModel:
    """Load a folder or a gguf file.

    Args:
        where: not an adapter.
        mask: ``mask_token`` and ``mask_id`` as the user chose them, or None.
        chosen: ``shift``, ``attention`` and ``block_size`` as the user chose them, or None.
        device: where the model goes.
        dtype: of the weights; the checkpoint's own if None.
        allow_pickle: read ``.bin`` weights.

    Returns:
        The model.
    """
    _warn_of_edits(where)
    with torch.random.fork_rng(devices=[]):  # transformers draws when it makes or grows a model
        files = read_checkpoint(where, dtype, allow_pickle, is_stated=_is_stated(mask, chosen))
        facts = facts_of(files, where, **mask, chosen=chosen)
    # The padding token is often also the filler, whose embedding must learn; padding is hidden by attention here.
    files.model.get_input_embeddings().padding_idx = None
    files.model.config.get_text_config().is_causal = False
    fit_experts(files.model)
    files.model.eval().to(device)
    denoiser = StockDenoiser(model=files.model, facts=facts)
    settle_attention(denoiser, where.source)
    if where.kind == "folder":
        load_heads(denoiser, None, where.folder)
    return LoadedModel(
        model=files.model,
        facts=denoiser.facts,
        tokenizer=files.tokenizer,
        source=where.source,
        family=FAMILIES[facts.family].title
        if facts.family is not None and facts.family in FAMILIES
        else files.model.config.model_type,
        generation=files.generation,
    )


def _is_stated(mask: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    """Return whether the user states all that a family would: a checkpoint with code of its own may then be loaded."""
    has_mask = any(value is not None for value in mask.values())
    has_blocks = chosen["attention"] == "bidirectional" or chosen["block_size"] is not None
    return has_mask and has_blocks and chosen["shift"] is not None and chosen["attention"] is not None


def _load_adapter(
    where: Checkpoint,
    *,
    base: str | Path | None,
    mask: Mapping[str, Any],
    chosen: Mapping[str, Any],
    device: torch.device,
    dtype: torch.dtype | None,
    allow_pickle: bool,
) -> LoadedModel:
    """Load the base, check that the adapter was trained on it, restore its mask row, and attach the adapters.

    Args:
        where: the adapter folder.
        base: the base's folder, file or hub name now, if not that of training.
        mask: ``mask_token`` and ``mask_id`` as the user chose them, or None; an adapter of unmask allows no choice.
        chosen: ``shift``, ``attention`` and ``block_size`` as the user chose them; outrank the adapter's own facts.
        device: where the model goes.
        dtype: of the base's weights once it was checked; that of training if None.
        allow_pickle: read ``.bin`` weights of the base.

    Returns:
        The base in PEFT's wrapper.

    Raises:
        UserError: the base cannot be loaded, is another one, or the adapter does not fit it.
    """
    from peft import PeftModel, get_peft_model_state_dict

    _warn_of_edits(where)
    sidecar = read_sidecar(where)
    stored = read_headers([adapter_weights(where)])
    config = adapter_config(where.folder / ADAPTER_CONFIG, stored)
    source = find_base(where, sidecar, base)
    if sidecar and (fixed := sorted(name for name, value in mask.items() if value is not None)):
        raise UserError(f"the mask token of the adapter '{where.source}' was fixed in training; leave out {fixed[0]}")
    if sidecar and not sidecar["facts"]["added_rows"]:
        mask = {"mask_token": None, "mask_id": sidecar["facts"]["mask_id"]}
    try:
        found = locate(source, allow_pickle=allow_pickle)
        lm = None if found.kind == "adapter" else _load_whole(
            found, mask=mask, chosen=chosen, device=device, dtype=parse_dtype(sidecar.get("base_dtype")),
            allow_pickle=allow_pickle,
        )  # fmt: skip
    except UserError as error:
        raise UserError(f"cannot load the base of the adapter '{where.source}': {error}") from error
    if lm is None:
        raise UserError(f"the base of an adapter must be a whole model, but '{source}' is an adapter; merge it first")
    mark = fingerprint(lm)
    if sidecar:
        _check_base(where, source, sidecar, mark)
        restore_mask_rows(lm, where.folder)
        # How attention is switched is the base's; all else is what the adapter was trained with, or the user's choice.
        fixed_facts = {"native_bidirectional": lm.facts.native_bidirectional, "vocab_size": lm.facts.vocab_size}
        given = {name: value for name, value in chosen.items() if value is not None}
        origin = {"family": lm.facts.family, "source": lm.facts.source}  # that sidecars of 0.1.0 do not name
        lm.facts = Facts.from_config({**origin, **sidecar["facts"], **fixed_facts, **given})
    kept = AdapterBase(source=lm.source, fingerprint=mark, dtype=str(lm.model.dtype).removeprefix("torch."))
    if dtype is not None:
        for name, weight in lm.model.named_parameters():  # model.to(dtype) would round the rotary frequencies too
            weight.data = weight.data.to(torch.float32 if stays_float32(lm.model, name) else dtype)
    with foreign(f"the adapter '{shorten(where.source, 120)}' cannot be put on its base"), unsurprised():
        model: Any = PeftModel.from_pretrained(cast("Any", lm.model), where.folder, is_trainable=True, config=config)
        needed = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    missing, unexpected = sorted(needed - stored.keys()), sorted(stored.keys() - needed)
    check_complete("LoRA", missing=missing, unexpected=unexpected)
    load_heads(lm, kept, where.folder)
    tokenizer = read_tokenizer(where.folder) or lm.tokenizer
    return replace(lm, model=model.eval(), tokenizer=tokenizer, source=where.source, adapter=kept)


def _warn_of_edits(where: Checkpoint) -> None:
    if where.kind != "gguf" and (changed := edited(where.folder)):
        LOG.warning("%s: %s changed since it was saved; loaded as found", where.folder, ", ".join(changed))


def _check_base(where: Checkpoint, source: str | Path, sidecar: Mapping[str, Any], mark: str) -> None:
    """Check that the base's weights, whose fingerprint is ``mark``, are those that the adapter was trained on."""
    if mark != sidecar["base_fingerprint"]:
        raise UserError(
            f"the adapter '{where.source}' belongs to weights with fingerprint {sidecar['base_fingerprint'][:12]}, but "
            f"'{source}' has {mark[:12]}; write base=… with the model that it was trained on"
        )


def facts_of(
    files: CheckpointFiles,
    where: Checkpoint,
    *,
    mask_token: str | None = None,
    mask_id: int | None = None,
    chosen: Mapping[str, Any] = _NOTHING_CHOSEN,
) -> Facts:
    """Return the facts that the user chose, else the checkpoint states, else its family implies.

    Args:
        files: what was read; its model and tokenizer get a mask token where there is none.
        where: the checkpoint.
        mask_token: as the user chose it, or None.
        mask_id: as the user chose it, or None.
        chosen: ``shift``, ``attention`` and ``block_size`` as the user chose them, or None.

    Returns:
        The facts, before attention was tried out.
    """
    model, tokenizer, config, family = files.model, files.tokenizer, files.config, files.family
    written = config.get("unmask") or {}
    check_facts(written)
    rows = model.get_input_embeddings().weight.shape[0]
    found, added = find_mask(config, tokenizer, token=mask_token, id_=mask_id, family=family, rows=rows), 0
    if found is None:
        found, added = add_mask(model, tokenizer, mask_token)
    rows = model.get_input_embeddings().weight.shape[0]
    ends = find_ends(config, files.generation, tokenizer, rows=rows, family=family)
    pad_id = config.get("pad_token_id") if tokenizer is None else tokenizer.pad_token_id
    implied: dict[str, Any] = {
        "eos_ids": ends.eos_ids,
        "filler_id": ends.filler_id,
        "shift": files.predicts_next,
        **({} if written else {"source": where.source}),
        **(family.facts(config, where.source) if family else {}),
    }
    if family is not None and family.variants and chosen["attention"] is None:
        word, _ = family.variant(where.source)
        LOG.warning(
            "%s: taken for a model with %s; nothing in its files tells; write attention=… and block_size=… if it is "
            "not so",
            shorten(where.source, 120),
            f"block-causal attention, for '{word}' is in its name" if word else "full attention",
        )
    if family is not None and (view := family.decoding.get("view")) is not None:
        rest = "; ".join(f"{name}: {value['name']}" for name, value in family.decoding.items() if name != "view")
        LOG.warning(
            "%s: a %s model is decoded as it was trained by the decoder with view: %s; %s, which have to be named",
            shorten(where.source, 120), family.title, view["name"], rest,
        )  # fmt: skip
    given = {name: value for name, value in chosen.items() if value is not None}
    facts = Facts.from_config({**implied, **written, **given, "mask_id": found, "vocab_size": rows})
    facts = replace(facts, added_rows=facts.added_rows or added)
    check_mask(found, rows=rows, ends=facts, pad_id=pad_id)
    model.config.mask_token_id = found
    model.config.unmask = facts.as_config()
    return facts
