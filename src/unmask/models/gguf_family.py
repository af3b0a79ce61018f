"""Reads gguf files of llama.cpp's diffusion architectures: ``dream``, ``llada``, ``llada-moe``, ``rnd1``.

Tensors are unpacked one at a time, so memory holds the model once; no size is believed before it is checked against the
file.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unmask.errors import UserError, shorten
from unmask.models.families.base import FAMILIES, Family, fill_stock
from unmask.models.gguf_file import GgufHead, GgufTensor
from unmask.models.gguf_layout import BY_ARCHITECTURE, MASK_KEY, RULES, SHIFT_KEY, Layout, to_halves
from unmask.runtime.transformers_api import StockModel, new_config, new_model

LOG = logging.getLogger(__name__)
_FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
# Key -> what the stock classes and llama.cpp's diffusion architectures compute; anything else is refused.
_ONLY: dict[str, tuple[Any, ...]] = {
    "rope.scaling.type": ("none",),
    "rope.scaling.factor": (0.0, 1.0),
    "attention.sliding_window": (0,),
    "expert_shared_count": (0,),
    "expert_weights_scale": (0.0, 1.0),
    "attention.causal": (False,),
}
_IDS = {"bos": "bos", "eos": "eos", "padding": "pad", "mask": "mask"}


def read_family(
    file: Path, head: GgufHead, dtype: torch.dtype, *, is_empty: bool = False
) -> tuple[StockModel, Family, dict[str, Any]] | None:
    """Return the model of a gguf file of a known diffusion architecture.

    Args:
        file: its path.
        head: of the file, checked.
        dtype: to which the weights are unpacked.
        is_empty: whether to read no weights: the model is on the meta device then.

    Returns:
        The model on the CPU, its family with the shift that the file states, and the fields of a ``config.json``; None
        where the architecture is another.

    Raises:
        UserError: a key is missing, or the file's model is not one that the stock class computes.
    """  # noqa: DOC502
    layout = BY_ARCHITECTURE.get(head.values.get("general.architecture") or "")
    if layout is None:
        return None
    shown, family = shorten(file, 120), FAMILIES[layout.family]
    values = _Values(head, layout, shown)
    heads = values.count("attention.head_count")
    kv_heads = values.maybe("attention.head_count_kv") or heads
    model_type, fields = _fields(head, values, layout, heads=heads, kv_heads=kv_heads)
    stock = new_config(model_type, fields)
    stock.dtype = dtype
    if is_empty:
        with torch.device("meta"):
            model = new_model(stock)
    else:
        tensors = _tensors(
            file, head, heads=heads, kv_heads=kv_heads, width=fields["head_dim"], is_turned=layout.is_turned
        )
        model = fill_stock(stock, RULES, tensors, family.title, asker=f"'{shown}'")
    shift = head.values.get(SHIFT_KEY)
    if shift is not None:
        family = replace(family, shift=bool(shift))
    ids = {f"{ours}_token_id": values.token(f"tokenizer.ggml.{key}_token_id") for key, ours in _IDS.items()}
    rows = fields["vocab_size"]
    if (ids["mask_token_id"] or 0) >= rows:  # llama.cpp writes that of the released LLaDA-MoE into every file
        LOG.warning("%s: %s=%d lies beyond its %d tokens; left out", shown, MASK_KEY, ids["mask_token_id"], rows)
        ids["mask_token_id"] = None
    return model, family, model.config.to_dict() | ids


class _Values:
    """The keys of one architecture; a missing or odd value is refused in one line.

    Args:
        head: of the file.
        layout: of its architecture.
        shown: the file, for messages.

    Raises:
        UserError: the file is a part of a model, or states what no stock class computes.
    """

    def __init__(self, head: GgufHead, layout: Layout, shown: str) -> None:
        self.values, self.prefix, self.shown = head.values, f"{layout.architecture}.", shown
        if (parts := head.values.get("split.count") or 1) > 1:
            raise UserError(f"'{shown}' is one of {parts} parts of a model; join them with llama-gguf-split --merge")
        for key, allowed in _ONLY.items():
            found = head.values.get(self.prefix + key)
            if found is not None and found not in allowed:
                raise UserError(
                    f"'{shown}' states {self.prefix}{key}={shorten(repr(found), 40)}; the stock class computes "
                    f"{allowed[-1]!r} only"
                )

    def number(self, key: str, default: float | None = None) -> float:
        found = self.values.get(self.prefix + key, default)
        if type(found) not in (int, float) or not 0 < found < 2**40:
            raise self._odd(key, found, "a number above 0")
        return float(found)

    def count(self, key: str) -> int:
        found = self.maybe(key)
        if found is None:
            raise self._odd(key, found, "a whole number from 1")
        return found

    def maybe(self, key: str) -> int | None:
        """Return a whole number of at least 1, or None where the key is absent."""
        found = self.values.get(self.prefix + key)
        if self.prefix + key not in self.values:
            return None
        if type(found) is not int or not 0 < found < 2**31:
            raise self._odd(key, found, "a whole number from 1")
        return found

    def token(self, key: str) -> int | None:
        found = self.values.get(key)
        if found is not None and (type(found) is not int or not 0 <= found < 2**31):
            raise UserError(f"'{self.shown}' states {key}={shorten(repr(found), 40)}, expected the id of a token")
        return found

    def _odd(self, key: str, found: object, wanted: str) -> UserError:
        shown = "none" if found is None else shorten(repr(found), 40)
        return UserError(f"expected {wanted} as {self.prefix}{key} in '{self.shown}', found {shown}")


def _fields(
    head: GgufHead, values: _Values, layout: Layout, *, heads: int, kv_heads: int
) -> tuple[str, dict[str, Any]]:
    """Return the stock model type and the fields of its configuration."""
    rows = head.tensors.get("token_embd.weight")
    if rows is None or len(rows.shape) != 2:
        raise UserError(f"expected the embedding token_embd.weight in '{values.shown}', found none of two dimensions")
    width = values.count("embedding_length")
    head_dim = values.maybe("attention.key_length") or width // heads
    turned = values.maybe("rope.dimension_count") or head_dim
    if head_dim < 2 or head_dim % 2 or heads % kv_heads:
        raise UserError(
            f"'{values.shown}' states {heads} heads of {head_dim} columns for {kv_heads} heads of keys and values; "
            "expected an even number of columns, and heads in whole groups"
        )
    if turned != head_dim or values.maybe("attention.value_length") not in (None, head_dim):
        raise UserError(
            f"'{values.shown}' states heads of {head_dim} columns of which {turned} are turned by position, or values "
            "of another length; the stock class has them all alike"
        )
    fields: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": values.count("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": rows.shape[0],
        "max_position_embeddings": values.count("context_length"),
        "rms_norm_eps": values.number("attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_type": "default", "rope_theta": values.number("rope.freq_base", 10_000.0)},
        "tie_word_embeddings": "output.weight" not in head.tensors,
        **{f"{name}_token_id": values.token(f"tokenizer.ggml.{key}_token_id") for key, name in _IDS.items()},
        "is_causal": False,
        "use_cache": False,
        **layout.fields,
    }
    fields.pop("mask_token_id")
    if not layout.is_sparse:
        has_bias = any(name.endswith((".attn_q.bias", ".attn_qkv.bias")) for name in head.tensors)
        model_type = layout.stock[-1] if has_bias else layout.stock[0]
        return model_type, fields | {"intermediate_size": values.count("feed_forward_length")}
    used, dense = values.count("expert_used_count"), values.maybe("feed_forward_length")
    inner = values.maybe("expert_feed_forward_length") or (dense or 0) // used
    return layout.stock[0], fields | {
        "num_experts": values.count("expert_count"),
        "num_experts_per_tok": used,
        "moe_intermediate_size": inner,
        "intermediate_size": dense or inner,
    }


def _tensors(
    file: Path, head: GgufHead, *, heads: int, kv_heads: int, width: int, is_turned: bool
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a file, unpacked, one at a time; fused queries, keys and values apart.

    Args:
        file: its path.
        head: of the file.
        heads: of queries.
        kv_heads: heads of keys and values.
        width: columns of a head.
        is_turned: whether rows of queries and keys are to be put back into the stock order.

    Yields:
        Name and values.
    """
    data = np.memmap(file, dtype=np.uint8, mode="r")
    shown = shorten(file, 120)
    turned = {"attn_q": heads, "attn_k": kv_heads} if is_turned else {}
    sizes = [heads * width, kv_heads * width, kv_heads * width]
    for name, tensor in head.tensors.items():
        values = _unpacked(data, name, tensor, shown)
        before, _, kind = name.rpartition(".")
        pieces = {name: values}
        if before.endswith(".attn_qkv") and values.shape[0] == sum(sizes):
            stem = before.removesuffix("qkv")
            pieces = {f"{stem}{n}.{kind}": v for n, v in zip("qkv", values.split(sizes), strict=True)}
        for each, piece in pieces.items():
            count = turned.get(each.split(".")[-2] if "." in each else "")
            fits = count is not None and piece.shape[0] == count * width and width % 2 == 0
            yield each, to_halves(piece, count) if count is not None and fits else piece


def _unpacked(data: Any, name: str, tensor: GgufTensor, shown: str) -> Tensor:
    """Return the values of a tensor; floats keep their type, packed ones become float32."""
    import gguf

    try:
        kind = gguf.GGMLQuantizationType(tensor.kind)
        per_block, size = gguf.GGML_QUANT_SIZES[kind]
    except (ValueError, KeyError):
        raise UserError(
            f"'{shown}' holds '{shorten(name, 80)}' in the type {tensor.kind}, which the gguf package does not know"
        ) from None
    columns = tensor.shape[-1] if tensor.shape else 1
    rows = int(np.prod(tensor.shape[:-1], dtype=object))
    length = rows * (columns // per_block) * size
    if columns % per_block or tensor.start + length > len(data):
        raise UserError(
            f"'{shown}' ends within '{shorten(name, 80)}' of shape {tensor.shape}, type {kind.name}; was the download "
            "cut short?"
        )
    raw = data[tensor.start : tensor.start + length]
    if dtype := _FLOATS.get(kind.name):
        return torch.from_numpy(np.array(raw)).view(dtype).reshape(tensor.shape)
    try:
        values = gguf.dequantize(np.array(raw).reshape(rows, -1), kind)
    except NotImplementedError:
        raise UserError(
            f"'{shown}' holds '{shorten(name, 80)}' as {kind.name}, which the gguf package cannot unpack; load another "
            "file of the model, such as f16 or q8_0"
        ) from None
    return torch.from_numpy(np.ascontiguousarray(values)).reshape(tensor.shape)
