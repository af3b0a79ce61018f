"""What a checkpoint family states so that its weights load strictly into a stock transformers class, and go back."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from unmask.config.registry import Names
from unmask.core.attention import Attention, Grid
from unmask.errors import UserError, shorten
from unmask.models.families.rules import Filler, WeightRules
from unmask.models.weights import Stored
from unmask.runtime.transformers_api import StockModel, new_config, new_model

Fields = dict[str, Any]
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Family:
    """How released checkpoints of one kind map onto a stock transformers class, and how they were trained.

    Args:
        name: by which commands and ``config.unmask`` call it, such as ``llada_moe``.
        title: shown to users, such as ``LLaDA-MoE``.
        model_types: values of ``model_type`` in their ``config.json``; the first is written.
        architectures: values of ``architectures[0]``; a checkpoint that names none is taken if no other family fits.
        needs_keys: keys of ``config.json`` that tell it from others of the same type and architecture.
        convert: turns ``config.json`` into the stock class's model type and configuration fields; refuses what the
            stock class would compute differently.
        restore: turns the stock configuration's fields (``to_dict()``) back into those of a ``config.json`` as
            released, for models without a source folder; None where that is not known.
        rules: names of the weights, both ways.
        shift: whether the state at column c - 1 predicts column c.
        attention: that they were trained with.
        grid: where their blocks are counted from.
        last_block: whether their sampler decodes the last block ``whole`` and cuts it; None leaves it to the grid.
        block_size: their block size where ``config.json`` has none.
        block_size_key: the key of ``config.json`` that states it.
        mask_id: of the released tokenizer; used where no file names one and the embedding has that row.
        eos_ids: ends of an answer, used likewise.
        tokenizer_class: stock tokenizer for folders without ``tokenizer.json``.
        decoding: fields of a ``Decoder`` that decodes as the released sampler does.
        variants: facts of checkpoints whose name holds a word that nothing in their files says.
    """

    name: str
    title: str
    model_types: tuple[str, ...]
    architectures: tuple[str, ...] = ()
    needs_keys: tuple[str, ...] = ()
    convert: Callable[[Fields], tuple[str, Fields]]
    restore: Callable[[Fields], Fields] | None = None
    rules: WeightRules
    shift: bool
    attention: Attention = "bidirectional"
    grid: Grid = "answer"
    last_block: Literal["whole", "cut"] | None = None
    block_size: int | None = None
    block_size_key: str = "block_size"
    mask_id: int | None = None
    eos_ids: tuple[int, ...] = ()
    tokenizer_class: str | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def trained_block_size(self, config: Mapping[str, Any]) -> int | None:
        """Return the block size of a checkpoint by its ``config.json``; None if the family has no blocks.

        Args:
            config: the checkpoint's ``config.json``.

        Returns:
            Columns of a block.

        Raises:
            UserError: the file states one that is no whole number from 1.
        """
        if self.block_size is None:
            return None
        size = config.get(self.block_size_key)
        if size is None:
            return self.block_size
        if type(size) is not int or size < 1:
            key, found = self.block_size_key, shorten(repr(size), 40)
            raise UserError(f"config.json: expected a whole number from 1 for {key}, found {found}")
        return size

    def facts(self, config: Mapping[str, Any], source: str) -> dict[str, Any]:
        """Return what the family implies of a checkpoint: shift, attention, grid, block size, and its own name.

        Args:
            config: the checkpoint's ``config.json``.
            source: its folder or hub name, which may tell a variant.

        Returns:
            Values of ``Facts`` by name.
        """
        implied = {
            "shift": self.shift,
            "attention": self.attention,
            "grid": self.grid,
            "block_size": self.trained_block_size(config),
            "last_block": self.last_block,
            "family": self.name,
        }
        return implied | dict(self.variant(source)[1])

    def variant(self, source: str) -> tuple[str, Mapping[str, Any]]:
        """Return the word in the name of a checkpoint that tells a variant, and its facts; empty if there is none."""
        name = Path(source).name.lower()
        return next(((word, facts) for word, facts in self.variants.items() if word in name), ("", {}))

    def fits(self, config: Mapping[str, Any]) -> Literal["yes", "unnamed", "no"]:
        """Return whether a checkpoint is of this family, by its ``config.json``.

        Args:
            config: its content.

        Returns:
            ``yes``; ``unnamed`` where it could be but names no architecture; ``no``.
        """
        if config.get("model_type") not in self.model_types or not all(key in config for key in self.needs_keys):
            return "no"
        named = config.get("architectures")
        if not isinstance(named, list) or not named:
            return "unnamed"
        return "yes" if not self.architectures or named[0] in self.architectures else "no"


FAMILIES = Names[Family]("family")


def load_family(
    family: Family, config: Fields, files: list[Path], stored: Mapping[str, Stored], dtype: torch.dtype | None
) -> StockModel:
    """Return the stock model, filled with the renamed weights; none may be missing or left over.

    Tensors are read and converted one at a time, so memory holds the model once.

    Args:
        family: of the checkpoint.
        config: its ``config.json``.
        files: its weight files.
        stored: the headers of its tensors; may be empty.
        dtype: of the weights; as most of them are stored if None. What the stock class holds in float32 stays so.

    Returns:
        The model on the CPU.

    Raises:
        UserError: the configuration lacks a key, or the weights are not those of the model.
    """  # noqa: DOC502
    model_type, fields = family_fields(family, config)
    stock = new_config(model_type, fields)
    stock.dtype = dtype or _most_common(stored)
    return fill_stock(stock, family.rules, read_weights(files), family.title)


def fill_stock(
    stock: Any, rules: WeightRules, tensors: Iterable[tuple[str, Tensor]], title: str, *, asker: str = "config.json"
) -> StockModel:
    """Return a stock model, filled with renamed weights; none may be missing or left over.

    Args:
        stock: transformers' configuration of it, with the dtype of its weights.
        rules: from the names of ``tensors`` to the stock ones.
        tensors: released names and values, drawn one at a time.
        title: of the family, for messages.
        asker: the file that states the model's sizes, for messages.

    Returns:
        The model on the CPU.

    Raises:
        UserError: the weights are not those of the model.
    """
    with torch.device("meta"):
        model = new_model(stock)
    filler = Filler(rules, dict(model.state_dict()))
    for name, tensor in tensors:
        if wrong := filler.put(name, tensor):
            stock_name, found, wanted = wrong
            raise UserError(f"{asker} asks for {stock_name} of shape {wanted}, found '{name}' of shape {found}")
    missing, weights = filler.missing(), filler.weights
    head, embedding = "lm_head.weight", "model.embed_tokens.weight"
    if stock.tie_word_embeddings and head in missing and embedding in weights:
        weights[head] = weights[embedding]
        missing.remove(head)
    check_complete(title, missing=missing, unexpected=filler.unexpected, doubled=filler.doubled())
    model.load_state_dict(weights, strict=True, assign=True)
    model.tie_weights()
    # The rotary frequencies are the one thing that the state dict does not hold.
    inner: Any = model.model
    inner.rotary_emb = type(inner.rotary_emb)(stock)
    model.config.dtype = model.get_input_embeddings().weight.dtype
    return model


def family_fields(family: Family, config: Fields) -> tuple[str, Fields]:
    """Return the stock model type and configuration fields of a checkpoint.

    Args:
        family: of the checkpoint.
        config: its ``config.json``.

    Returns:
        As ``Family.convert``.

    Raises:
        UserError: a key is missing, or the stock class would compute something else.
    """
    try:
        return family.convert(config)
    except KeyError as error:
        raise UserError(f"config.json of a {family.title} model must have {error}, found none") from error


def require(config: Mapping[str, Any], title: str, stock: str, needed: Mapping[str, tuple[Any, Any]]) -> None:
    """Check that a configuration asks for nothing that a stock class would compute differently.

    Args:
        config: of the checkpoint.
        title: of its family, for the message.
        stock: the class, for the message.
        needed: key -> the value that the stock class computes, and the value that an absent key means.

    Raises:
        UserError: a key has another value; names it.
    """
    for key, (value, absent) in needed.items():
        found = config.get(key, absent)
        if found != value and not (value in (None, False) and found in (None, False)):
            shown = shorten(repr(found), 40)
            raise UserError(f"stock {stock} computes {title} models with {key}={value!r} only, found {shown}")


def check_complete(name: str, *, missing: list[str], unexpected: list[str], doubled: list[str] | None = None) -> None:
    """Check that the weights of a checkpoint are exactly those of the model.

    Args:
        name: of the model, for the message.
        missing: weights that the checkpoint lacks.
        unexpected: weights that the model lacks.
        doubled: weights that the checkpoint holds in two forms.

    Raises:
        UserError: one of the lists is not empty.
    """
    kinds = {"missing": missing, "unexpected": unexpected, "there twice": doubled or []}
    wrong = [f"{kind}: {_some(keys)}" for kind, keys in kinds.items() if keys]
    if wrong:
        raise UserError(f"expected exactly the weights of a {name} model; {'; '.join(wrong)}; is the folder complete?")


def _some(keys: list[str]) -> str:
    shown = ", ".join(keys[:4])
    return shown if len(keys) <= 4 else f"{shown} and {len(keys) - 4} more"


def _most_common(stored: Mapping[str, Stored]) -> torch.dtype:
    sizes: dict[str, int] = {}
    for tensor in stored.values():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size
    return DTYPES.get(max(sizes, key=lambda name: sizes[name]), torch.float32) if sizes else torch.float32


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
