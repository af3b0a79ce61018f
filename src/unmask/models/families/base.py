"""What a checkpoint family states so that its weights load strictly into a stock transformers class."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from unmask.config.registry import Names
from unmask.core.attention import Grid
from unmask.errors import UserError
from unmask.runtime.transformers_api import StockModel, new_config, new_model


@dataclass(frozen=True, kw_only=True)
class Family:
    """How released checkpoints of one kind map onto a stock transformers class.

    Args:
        name: shown to users.
        model_type: value of ``model_type`` in their ``config.json``.
        convert: turns ``config.json`` into the stock class's model type and configuration fields; refuses what the
            stock class would compute differently.
        rename: returns the stock name of a weight, or None if the family has no such weight.
        shift: whether the state at column c - 1 predicts column c.
        attention: that they were trained with.
        grid: where their blocks are counted from.
        block_size: their block size where ``config.json`` has no ``block_size``.
        tokenizer_class: stock tokenizer for folders without ``tokenizer.json``.
    """

    name: str
    model_type: str
    convert: Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]
    rename: Callable[[str], str | None]
    shift: bool
    attention: Literal["bidirectional", "block_causal"] = "bidirectional"
    grid: Grid = "answer"
    block_size: int | None = None
    tokenizer_class: str | None = None

    def trained_block_size(self, config: Mapping[str, Any]) -> int | None:
        """Return the block size of a checkpoint by its ``config.json``; None if the family has no blocks."""
        size: int | None = config.get("block_size", self.block_size)
        return size


FAMILIES = Names[Family]("family")


def load_family(family: Family, config: dict[str, Any], files: list[Path], dtype: torch.dtype | None) -> StockModel:
    """Return the stock model, filled with the renamed weights; none may be missing or left over.

    Tensors are read and converted one at a time, so memory holds the model once.

    Args:
        family: of the checkpoint.
        config: its ``config.json``.
        files: its weight files.
        dtype: of the weights; the checkpoint's own if None.

    Returns:
        The model on the CPU.

    Raises:
        UserError: the configuration lacks a key, or the weights are not those of the model.
    """
    try:
        model_type, fields = family.convert(config)
    except KeyError as error:
        raise UserError(f"config.json of a {family.name} model must have {error}, found none") from error
    stock = new_config(model_type, fields)
    with torch.device("meta"):
        model = new_model(stock)
    expected = dict(model.state_dict())
    weights: dict[str, Tensor] = {}
    unexpected = []
    for name, tensor in read_weights(files):
        renamed = family.rename(name)
        if renamed is None or renamed not in expected:
            unexpected.append(name)
            continue
        if tensor.shape != expected[renamed].shape:
            found, wanted = tuple(tensor.shape), tuple(expected[renamed].shape)
            raise UserError(f"config.json asks for {renamed} of shape {wanted}, found '{name}' of shape {found}")
        weights[renamed] = tensor.to(dtype or tensor.dtype)
    head, embedding = "lm_head.weight", "model.embed_tokens.weight"
    if stock.tie_word_embeddings and head not in weights and embedding in weights:
        weights[head] = weights[embedding]
    check_complete(family.name, missing=sorted(expected.keys() - weights.keys()), unexpected=unexpected)
    model.load_state_dict(weights, strict=True, assign=True)
    model.tie_weights()
    # The rotary frequencies are the one thing that the state dict does not hold.
    inner: Any = model.model
    inner.rotary_emb = type(inner.rotary_emb)(stock)
    model.config.dtype = model.get_input_embeddings().weight.dtype
    return model


def check_complete(name: str, *, missing: list[str], unexpected: list[str]) -> None:
    """Check that the weights of a checkpoint are exactly those of the model.

    Args:
        name: of the model, for the message.
        missing: weights that the checkpoint lacks.
        unexpected: weights that the model lacks.

    Raises:
        UserError: either list is not empty.
    """
    wrong = [f"{kind}: {_some(keys)}" for kind, keys in (("missing", missing), ("unexpected", unexpected)) if keys]
    if wrong:
        raise UserError(f"expected exactly the weights of a {name} model; {'; '.join(wrong)}; is the folder complete?")


def _some(keys: list[str]) -> str:
    shown = ", ".join(keys[:4])
    return shown if len(keys) <= 4 else f"{shown} and {len(keys) - 4} more"


def read_weights(files: list[Path]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of safetensors or, without unpickling code, ``.bin`` files one at a time."""
    from safetensors import safe_open

    for file in files:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as shard:
                for name in shard.keys():  # noqa: SIM118  # not a dict: it has no iterator
                    yield name, shard.get_tensor(name)
        else:
            # Only if the user allowed pickle; weights_only reads tensors and runs no code of the file.
            yield from torch.load(file, map_location="cpu", weights_only=True, mmap=True).items()
