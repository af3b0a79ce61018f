"""Reads the weights, the configuration and the tokenizer of a checkpoint, before anything is made of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unmask import transformers_api
from unmask.errors import UserError
from unmask.models.checkpoints import Checkpoint, family_of, first_line, parse_dtype, read_json, weight_files
from unmask.models.families.base import Family, check_complete, load_family


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a checkpoint gives before its facts are settled.

    Args:
        model: on the CPU.
        tokenizer: None where the checkpoint has none.
        config: its ``config.json``.
        generation: its ``generation_config.json``; may be empty.
        family: None for models that transformers knows by itself.
        predicts_next: whether it is a causal language model.
    """

    model: nn.Module
    tokenizer: Any
    config: dict[str, Any]
    generation: dict[str, Any]
    family: Family | None
    predicts_next: bool


def read_parts(where: Checkpoint, dtype: torch.dtype | None, allow_pickle: bool) -> Parts:
    """Read a model folder or a gguf file.

    Args:
        where: not an adapter.
        dtype: the checkpoint's own if None (gguf: float32).
        allow_pickle: read ``.bin`` weights.
    """
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
    return Parts(
        model=model,
        tokenizer=read_tokenizer(where.folder, family),
        config=config,
        generation=read_json(where.folder / "generation_config.json"),
        family=family,
        predicts_next=not masked,
    )


def _read_stock(folder: Path, dtype: torch.dtype | None, *, masked: bool, pickled: bool) -> nn.Module:
    try:
        model, report = transformers_api.read_model(folder, dtype=dtype, masked=masked, pickled=pickled)
    except ValueError as error:
        raise UserError(f"transformers has no language model for '{folder}': {first_line(error)}") from error
    for name, found, wanted in sorted(report["mismatched_keys"]):
        raise UserError(f"config.json asks for {name} of shape {tuple(wanted)}, found {tuple(found)} in '{folder}'")
    check_complete(
        model.config.model_type,
        missing=sorted(report["missing_keys"]),
        unexpected=sorted(report["unexpected_keys"]),
    )
    return model


def _read_gguf(where: Checkpoint, dtype: torch.dtype) -> Parts:
    try:
        import gguf  # noqa: F401  # transformers' own message asks for a restart of "your runtime"
    except ImportError as error:
        raise UserError("reading a .gguf file needs the package gguf; run: pip install 'unmask[gguf]'") from error
    try:
        model, tokenizer = transformers_api.read_gguf(where.folder, where.file, dtype)
    except Exception as error:  # the readers of tensors and tokens raise bare exceptions
        raise UserError(f"transformers cannot read '{where.file}': {first_line(error)}") from error
    return Parts(
        model=model,
        tokenizer=tokenizer,
        config=model.config.to_dict(),
        generation={},
        family=None,
        predicts_next=True,
    )


def read_tokenizer(folder: Path, family: Family | None = None) -> Any:
    """Read the tokenizer of a folder without running its code; None if it has none."""
    if (folder / "tokenizer.json").is_file() and family is not None:
        return transformers_api.read_tokenizer_file(folder)
    if family is not None and family.tokenizer_class and (folder / "vocab.json").is_file():
        return transformers_api.read_tokenizer_as(family.tokenizer_class, folder)
    names = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
    if not any((folder / name).is_file() for name in names):
        return None
    try:
        return transformers_api.read_tokenizer(folder)
    except (ValueError, OSError) as error:
        if (folder / "tokenizer.json").is_file():  # its class is the checkpoint's own code, its content is not
            return transformers_api.read_tokenizer_file(folder)
        raise UserError(f"found no tokenizer that transformers can read in '{folder}': {first_line(error)}") from error


def _written_dtype(config: dict[str, Any]) -> torch.dtype | None:
    return parse_dtype(config.get("dtype") or config.get("torch_dtype"))
