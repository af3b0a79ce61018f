"""Reads the weights, the configuration and the tokenizer of a model folder or a gguf file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from unmask.errors import UserError, shorten
from unmask.models import gguf_tokenizer
from unmask.models.checkpoints import Checkpoint, first_line, parse_dtype, read_json, weight_files
from unmask.models.config_file import check_model, check_sizes, is_known, read_config_file, stock_config
from unmask.models.families.base import Family, check_complete, family_fields, load_family
from unmask.models.families.match import find_family
from unmask.models.gguf_family import read_family
from unmask.models.gguf_file import check_gguf
from unmask.models.tokenizer_files import TOKENIZER_FILES, check_tokenizer, folder_with_ids, moved_ids, tokenizer_folder
from unmask.models.weights import Stored, read_headers
from unmask.runtime import transformers_api
from unmask.runtime.foreign import foreign
from unmask.runtime.transformers_api import StockModel, Tokenizer


@dataclass(frozen=True, kw_only=True)
class CheckpointFiles:
    """What was read from a checkpoint, before its facts are decided.

    Args:
        model: on the CPU.
        tokenizer: None where the checkpoint has none.
        config: its ``config.json``.
        generation: its ``generation_config.json``; may be empty.
        family: None for models that transformers knows by itself.
        predicts_next: whether it is a causal language model.
    """

    model: StockModel
    tokenizer: Tokenizer | None
    config: dict[str, Any]
    generation: dict[str, Any]
    family: Family | None
    predicts_next: bool


def read_checkpoint(
    where: Checkpoint, dtype: torch.dtype | None, allow_pickle: bool, *, is_stated: bool = False
) -> CheckpointFiles:
    """Read a model folder or a gguf file.

    Args:
        where: not an adapter.
        dtype: the checkpoint's own if None (gguf: float32).
        allow_pickle: read ``.bin`` weights.
        is_stated: the user states what a family would: see ``find_family``.

    Returns:
        The model on the CPU, its tokenizer and its configuration.
    """
    if where.kind == "gguf":
        return read_gguf(where, dtype or torch.float32)
    config = read_config_file(where.folder)
    family = find_family(config, is_stated=is_stated)
    files = weight_files(where.folder, allow_pickle=allow_pickle)
    stored = read_headers(files)
    check_config(config, family, stored)
    masked = is_masked(config)
    with foreign(f"the weights of '{shorten(where.source, 120)}' cannot be read"):
        if family is not None:
            model = load_family(family, config, files, stored, dtype or _written_dtype(config))
        else:
            stock = stock_config(config)
            check_model(empty_model(stock, masked=masked), stored)
            model = _read_stock(where.folder, stock, dtype, masked=masked, pickled=files[0].suffix == ".bin")
    return CheckpointFiles(
        model=model,
        tokenizer=read_tokenizer(where.folder, family),
        config=config,
        generation=read_json(where.folder / "generation_config.json"),
        family=family,
        predicts_next=not masked,
    )


def check_config(config: dict[str, Any], family: Family | None, stored: Mapping[str, Stored]) -> None:
    """Check the sizes in ``config.json`` against the weights, before a model is built; unread keys may hold anything.

    Args:
        config: its content.
        family: of the checkpoint; None for a model that transformers knows by itself.
        stored: its tensors; empty where they are not known.

    Raises:
        UserError: a size is larger than the weights allow, or of another kind; or a key of the family is missing.
    """  # noqa: DOC502
    if family is None:
        check_sizes(config, stored, reads=partial(is_known, config["model_type"]))
        return
    reading = _Reading(config)
    with foreign(f"config.json does not fit a model of {family.title}", "mend it"):
        _, fields = family_fields(family, reading)
    check_sizes({key: config[key] for key in config if key in reading.keys_read}, stored)
    check_sizes(fields, stored)


class _Reading(dict[str, Any]):
    """A configuration that remembers which of its keys were looked up."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.keys_read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.keys_read.add(key)
        return super().__getitem__(key)

    def __or__(self, other: Any) -> "_Reading":  # type: ignore[override]  # only text keys are joined
        joined = _Reading({**self, **other})
        joined.keys_read = self.keys_read
        return joined

    def get(self, key: str, default: Any = None) -> Any:
        self.keys_read.add(key)
        return super().get(key, default)


def is_masked(config: dict[str, Any]) -> bool:
    """Return whether a configuration is of a masked language model; False where it names no architecture.

    Args:
        config: of the model.

    Returns:
        Whether one of its ``architectures`` ends with ``ForMaskedLM``.

    Raises:
        UserError: ``architectures`` is not a list of names.
    """
    names = config.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"config.json: expected a list of names for architectures, found {shorten(repr(names), 60)}")
    return any(name.endswith("ForMaskedLM") for name in names)


def empty_model(stock: Any, *, masked: bool) -> StockModel:
    """Return the masked or causal language model of a transformers configuration, on the meta device: no memory."""
    with foreign("transformers has no language model for this config.json", "check the folder"), torch.device("meta"):
        return transformers_api.new_model(stock, masked=masked)


def _read_stock(folder: Path, stock: Any, dtype: torch.dtype | None, *, masked: bool, pickled: bool) -> StockModel:
    try:
        model, report = transformers_api.read_model(folder, stock, dtype=dtype, masked=masked, pickled=pickled)
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


def read_gguf(where: Checkpoint, dtype: torch.dtype = torch.float32, *, is_empty: bool = False) -> CheckpointFiles:
    """Read a gguf file, or its head only.

    Args:
        where: the file.
        dtype: to which the weights are unpacked.
        is_empty: whether to read no weights: the model is on the meta device then.

    Returns:
        The model, its tokenizer and its configuration.

    Raises:
        UserError: the gguf package is not installed, or the file is none, or damaged.
    """  # noqa: DOC503
    try:
        import gguf  # noqa: F401  # transformers' own message asks for a restart of "your runtime"
    except ImportError as error:
        raise UserError("reading a .gguf file needs the package gguf; run: pip install 'unmask[gguf]'") from error
    file = where.folder / where.file
    head = check_gguf(file)
    with foreign(f"'{shorten(where.file, 120)}' cannot be read"):
        found = read_family(file, head, dtype, is_empty=is_empty)
        if found is not None:
            tokenizer = gguf_tokenizer.read_tokenizer(head.values, where.file)
            if tokenizer is not None:
                check_tokenizer(tokenizer)
            model, family, config = found
            return CheckpointFiles(
                model=model, tokenizer=tokenizer, config=config, generation={}, family=family, predicts_next=True
            )
    with foreign(f"transformers cannot read '{shorten(where.file, 120)}'"):
        model, tokenizer = transformers_api.read_gguf(where.folder, where.file, dtype, is_empty=is_empty)
        check_tokenizer(tokenizer)
    return CheckpointFiles(
        model=model,
        tokenizer=tokenizer,
        config=model.config.to_dict(),
        generation={},
        family=None,
        predicts_next=True,
    )


def read_tokenizer(folder: Path, family: Family | None = None) -> Tokenizer | None:
    """Return the tokenizer of a model folder, read without running its code; None if it has none."""
    if not any(os.path.lexists(folder / name) for name in TOKENIZER_FILES):
        return None
    with tokenizer_folder(folder) as clean, foreign(f"the tokenizer of '{shorten(folder, 120)}' cannot be read"):
        found = _tokenizer_in(clean, family)
        if moved := moved_ids(clean, found):
            with folder_with_ids(clean) as mended:
                found = _tokenizer_in(mended, family)
            if moved := moved_ids(clean, found):
                token, id_ = next(iter(moved.items()))
                raise ValueError(f"its files say {id_} for {token!r}, and it is read as {found.get_vocab()[token]}")
        check_tokenizer(found)
    found.name_or_path = str(folder)
    return found


def _tokenizer_in(folder: Path, family: Family | None) -> Tokenizer:
    if (folder / "tokenizer.json").is_file() and family is not None:
        return transformers_api.read_tokenizer_file(folder)
    if family is not None and family.tokenizer_class and (folder / "vocab.json").is_file():
        return transformers_api.read_tokenizer_as(family.tokenizer_class, folder)
    return _by_its_class(folder)


def _by_its_class(folder: Path) -> Tokenizer:
    try:
        return transformers_api.read_tokenizer(folder)
    except (ValueError, OSError):
        if not (folder / "tokenizer.json").is_file():
            raise
        return transformers_api.read_tokenizer_file(folder)  # its class is the checkpoint's own code, its content not


def _written_dtype(config: dict[str, Any]) -> torch.dtype | None:
    return parse_dtype(config.get("dtype") or config.get("torch_dtype"))
