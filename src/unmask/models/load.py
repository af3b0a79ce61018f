"""Loads a checkpoint as a diffusion language model, whatever it was before."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from unmask.errors import UserError
from unmask.models.checkpoints import (
    Checkpoint,
    family_of,
    first_line,
    locate,
    parse_dtype,
    pick_device,
    read_json,
    weight_files,
)
from unmask.models.denoiser import LoadedModel
from unmask.models.facts import Facts
from unmask.models.families.base import Family, check_complete, load_family
from unmask.models.probe import settle_attention
from unmask.models.tokens import add_mask, check_mask, find_ends, find_mask

Attention = Literal["bidirectional", "block_causal"]


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a checkpoint gives before its facts are settled."""

    model: nn.Module
    tokenizer: Any
    config: dict[str, Any]
    generation: dict[str, Any]
    family: Family | None
    predicts_next: bool


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
        UserError: there is no such checkpoint, it is incomplete, or it cannot be made a diffusion language model.
    """
    if block_size is not None and block_size < 1:
        raise UserError(f"block_size must be at least 1, found {block_size}")
    where = locate(path, allow_pickle=allow_pickle)
    if where.kind == "adapter":
        from unmask.models.adapter import load_adapter

        flags = {"mask_token": mask_token, "mask_id": mask_id, "shift": shift}
        overrides = {**flags, "attention": attention, "block_size": block_size, "allow_pickle": allow_pickle}
        return load_adapter(where, base=base, device=device, dtype=dtype, overrides=overrides)
    if base is not None:
        raise UserError(f"base={str(base)!r} is for adapter folders, but '{path}' is a whole model; leave it out")
    with _quiet_random():
        parts = _read(where, parse_dtype(dtype), allow_pickle)
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
    return settle_attention(lm)


@contextlib.contextmanager
def _quiet_random() -> Iterator[None]:
    """Leave the global random state as it was: transformers draws from it when it makes or grows a model."""
    with torch.random.fork_rng(devices=[]):
        yield


def _read(where: Checkpoint, dtype: torch.dtype | None, allow_pickle: bool) -> _Parts:
    if where.kind == "gguf":
        return _read_gguf(where, dtype or torch.float32)
    config = read_json(where.folder / "config.json")
    if not config:
        raise UserError(f"expected config.json in '{where.source}', found none")
    family = family_of(config)
    files = weight_files(where.folder, allow_pickle=allow_pickle)
    masked = any(name.endswith("ForMaskedLM") for name in config.get("architectures") or [])
    if family is not None:
        model = load_family(family, config, files, dtype or _written_dtype(config))
    else:
        model = _read_stock(where.folder, dtype, masked=masked, pickled=files[0].suffix == ".bin")
    return _Parts(
        model=model,
        tokenizer=read_tokenizer(where.folder, family),
        config=config,
        generation=read_json(where.folder / "generation_config.json"),
        family=family,
        predicts_next=not masked,
    )


def _read_stock(folder: Path, dtype: torch.dtype | None, *, masked: bool, pickled: bool) -> nn.Module:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM
    from transformers.utils import logging

    kind = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # its report of what does not match is our error
    try:
        model, report = kind.from_pretrained(
            folder,
            dtype=dtype or "auto",
            trust_remote_code=False,
            use_safetensors=not pickled,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except ValueError as error:
        raise UserError(f"transformers has no language model for '{folder}': {first_line(error)}") from error
    finally:
        logging.set_verbosity(verbosity)
    for name, found, wanted in sorted(report["mismatched_keys"]):
        raise UserError(f"config.json asks for {name} of shape {tuple(wanted)}, found {tuple(found)} in '{folder}'")
    check_complete(
        model.config.model_type,
        missing=sorted(report["missing_keys"]),
        unexpected=sorted(report["unexpected_keys"]),
    )
    return model


def _read_gguf(where: Checkpoint, dtype: torch.dtype) -> _Parts:
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        import gguf  # noqa: F401  # transformers' own message asks for a restart of "your runtime"
    except ImportError as error:
        raise UserError("reading a .gguf file needs the package gguf; run: pip install 'unmask[gguf]'") from error
    # Newer transformers would keep the weights packed where it finds a kernel: nothing to train.
    unpack = (
        {"quantization_config": transformers.GgufConfig(dequantize=True)} if hasattr(transformers, "GgufConfig") else {}
    )
    try:
        model = AutoModelForCausalLM.from_pretrained(where.folder, gguf_file=where.file, dtype=dtype, **unpack)
        tokenizer = AutoTokenizer.from_pretrained(where.folder, gguf_file=where.file)
    except Exception as error:  # the readers of tensors and tokens raise bare exceptions
        raise UserError(f"transformers cannot read '{where.file}': {first_line(error)}") from error
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None:  # the weights are plain floats now, but a model that says otherwise cannot be saved
        quantizer.remove_quantization_config(model)
    return _Parts(
        model=model,
        tokenizer=tokenizer,
        config=model.config.to_dict(),
        generation={},
        family=None,
        predicts_next=True,
    )


def read_tokenizer(folder: Path, family: Family | None = None) -> Any:
    """Read the tokenizer of a folder without running its code; None if it has none."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if (folder / "tokenizer.json").is_file() and family is not None:
        return PreTrainedTokenizerFast.from_pretrained(folder)
    if family is not None and family.tokenizer_class and (folder / "vocab.json").is_file():
        import transformers

        return getattr(transformers, family.tokenizer_class).from_pretrained(folder)
    names = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
    if not any((folder / name).is_file() for name in names):
        return None
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, OSError) as error:
        if (folder / "tokenizer.json").is_file():  # its class is the checkpoint's own code, its content is not
            return PreTrainedTokenizerFast.from_pretrained(folder)
        raise UserError(f"found no tokenizer that transformers can read in '{folder}': {first_line(error)}") from error


def _written_dtype(config: dict[str, Any]) -> torch.dtype | None:
    return parse_dtype(config.get("dtype") or config.get("torch_dtype"))


def _settle(parts: _Parts, *, mask_token: str | None, mask_id: int | None, chosen: dict[str, Any]) -> Facts:
    """Put together what the user says, what the checkpoint says, and what its family implies, in this order."""
    model, tokenizer, config, family = parts.model, parts.tokenizer, parts.config, parts.family
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
        "block_size": config.get("block_size", family.block_size) if family else None,
    }
    written = config.get("unmask") or {}
    given = {name: value for name, value in chosen.items() if value is not None}
    facts = Facts.from_config({**implied, **written, **given, "mask_id": found, "vocab_size": rows})
    facts = replace(facts, added_rows=facts.added_rows or added)
    check_mask(found, rows=rows, ends=facts, pad_id=pad_id)
    model.config.mask_token_id = found
    model.config.unmask = facts.as_config()
    return facts
