"""Writes a model as a gguf file that llama.cpp decodes as a diffusion language model."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unmask.errors import UserError, did_you_mean
from unmask.models.gguf_layout import BY_FAMILY, RULES, SHIFT_KEY, Layout, to_pairs
from unmask.models.gguf_tokenizer import tokenizer_values
from unmask.models.loaded import LoadedModel
from unmask.runtime.durable import space_for, sync

DTYPES = {"f32": ("F32", 0), "f16": ("F16", 1), "bf16": ("BF16", 32), "q8_0": ("Q8_0", 7)}
"""Name of a type -> its name in the gguf package, and llama.cpp's number for a file that is mostly of it."""
_SAME = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_ALWAYS_F32 = re.compile(r".*(_norm|ffn_gate_inp)\.weight|.*\.bias")


def write_gguf(lm: LoadedModel, file: Path, *, family: str, dtype: str = "f16") -> Path:
    """Write a model in the layout of a diffusion architecture of llama.cpp.

    Tensors are converted and written one at a time. Norms, biases and routers are written as float32 whatever the
    dtype; with ``q8_0``, rows that blocks of 32 do not fill are written as float16, as llama.cpp's converter does.

    Args:
        lm: a whole model; adapters must be merged.
        file: to write; an older one is replaced once the new one is whole.
        family: ``dream``, ``llada``, ``llada_moe`` or ``rnd1``.
        dtype: ``f32``, ``f16``, ``bf16`` or ``q8_0``; ``float32``, ``float16`` and ``bfloat16`` mean the same.

    Returns:
        The file.

    Raises:
        UserError: llama.cpp would compute another model, a weight does not fit the dtype, or the disk is full.
    """
    try:
        import gguf
    except ImportError as error:
        raise UserError("writing a .gguf file needs the package gguf; run: pip install 'unmask[gguf]'") from error
    dtype = _SAME.get(dtype, dtype)
    if dtype not in DTYPES:
        raise UserError(f"gguf dtype must be {', '.join(DTYPES)}, found {dtype!r}")
    layout = find_layout(family)
    check_model(lm, layout)
    file = Path(file)
    kind, number = DTYPES[dtype]
    values = _values(lm, layout, number, name=file.stem)
    aside = file.with_name(f".{file.name}.new")
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(aside, layout.architecture)
    try:
        with space_for(f"'{file}'", lambda: "free some space, or write a smaller dtype"):
            for key, value in values.items():
                _add(writer, key, value)
            _add_tensors(writer, lm, layout, kind)
            writer.close()
            sync(aside)
            aside.replace(file)
    finally:
        writer.close()
        aside.unlink(missing_ok=True)
    return file


def _add_tensors(writer: Any, lm: LoadedModel, layout: Layout, kind: str) -> None:
    """Write the head of the file, then the tensors, in the type ``kind`` where they may be."""
    import gguf

    shapes = _distinct(lm)
    empty = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    kinds = {}
    for name in RULES.released(shapes):
        shape = tuple(RULES.read(name, empty, shapes).shape)
        kinds[name] = gguf.GGMLQuantizationType[_kind_of(name, shape, kind)]
        per_block, size = gguf.GGML_QUANT_SIZES[kinds[name]]
        length = math.prod(shape) // per_block * size
        writer.add_tensor_info(name, shape, np.dtype(np.float32), length, raw_dtype=kinds[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, weight in _weights(lm, layout, list(kinds), shapes):
        writer.write_tensor_data(_packed(name, weight, kinds[name]))


def find_layout(family: str) -> Layout:
    """Return the gguf layout of a family; a ``UserError`` where llama.cpp has none."""
    if family not in BY_FAMILY:
        raise UserError(
            f"llama.cpp decodes no models of the family '{family}'; {did_you_mean(family, BY_FAMILY)}; a block-causal "
            "model can be exported for SGLang or LMDeploy instead"
        )
    return BY_FAMILY[family]


def family_for(lm: LoadedModel) -> str:
    """Return the family in whose gguf layout a model can be written: its own, else that of its stock class.

    Args:
        lm: to be written.

    Returns:
        A family that ``write_gguf`` knows.

    Raises:
        UserError: llama.cpp has no diffusion architecture for the stock class.
    """
    config = lm.stock.config
    fitting = [layout for layout in BY_FAMILY.values() if config.model_type in layout.stock]
    if not fitting:
        known = sorted({kind for layout in BY_FAMILY.values() for kind in layout.stock})
        raise UserError(
            f"llama.cpp has no diffusion architecture for {config.model_type} models; it has for {', '.join(known)}"
        )
    own = [layout.family for layout in fitting if layout.family == lm.facts.family]
    key = "norm_topk_prob"
    alike = [layout.family for layout in fitting if layout.fields.get(key) in (None, getattr(config, key, None))]
    return [*own, *alike, fitting[0].family][0]


def check_model(lm: LoadedModel, layout: Layout) -> None:
    """Check that llama.cpp computes and decodes a model, written in a layout, as unmask does.

    Args:
        lm: to be written.
        layout: of the file.

    Raises:
        UserError: it would compute or decode another model; says what to do.
    """
    name, facts, config = layout.architecture, lm.facts, lm.stock.config
    if lm.adapter is not None or lm.model is not lm.stock:
        raise UserError("a gguf file holds a whole model, found adapters; merge them first: unmask merge ADAPTER OUT")
    if lm.heads:
        raise UserError(
            f"llama.cpp has no place for the head '{sorted(lm.heads)[0]}' of this model; train without it to write gguf"
        )
    if facts.attention != "bidirectional":
        raise UserError(
            f"llama.cpp's {name} sees the whole text at once, found attention={facts.attention}; train with "
            "model.attention: bidirectional, or export for SGLang or LMDeploy"
        )
    if config.model_type not in layout.stock:
        wanted = " or ".join(layout.stock)
        raise UserError(f"llama.cpp's {name} computes {wanted} models, found {config.model_type}; {_instead(config)}")
    width, heads = config.hidden_size, config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or width // heads
    rope = config.rope_parameters or {}
    wrong = {
        "rope_type": (rope.get("rope_type", "default"), "default"),
        "head_dim": (head_dim, width // heads),
        "hidden_act": (config.hidden_act, "silu"),
        "attention_bias": (bool(getattr(config, "attention_bias", False)), False),
        "mlp_bias": (bool(getattr(config, "mlp_bias", False)), False),
        "use_sliding_window": (bool(getattr(config, "use_sliding_window", False)), False),
    }
    if layout.is_sparse:
        wrong["norm_topk_prob"] = (config.norm_topk_prob, layout.fields["norm_topk_prob"])
        wrong["decoder_sparse_step"] = (config.decoder_sparse_step, 1)
        wrong["mlp_only_layers"] = (list(config.mlp_only_layers or []), [])
        wrong["tie_word_embeddings"] = (config.tie_word_embeddings, False)
    for key, (found, wanted) in wrong.items():
        if found != wanted:
            raise UserError(f"llama.cpp's {name} computes models with {key}={wanted!r} only, found {found!r}")


def _instead(config: Any) -> str:
    fitting = [layout.family for layout in BY_FAMILY.values() if config.model_type in layout.stock]
    return f"write it as {' or '.join(fitting)}" if fitting else "llama.cpp has no diffusion architecture for it"


def _values(lm: LoadedModel, layout: Layout, number: int, *, name: str) -> dict[str, Any]:
    """Return the keys of the file, in the order in which they are written."""
    config = lm.stock.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    sizes: dict[str, Any] = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "rope.dimension_count": head_dim,
        "rope.freq_base": float(config.rope_parameters["rope_theta"]),
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "vocab_size": lm.vocab_size,
        "attention.causal": False,
    }
    if layout.is_sparse:
        sizes |= {
            "expert_count": getattr(config, "num_experts", None) or config.num_local_experts,
            "expert_used_count": config.num_experts_per_tok,
            "expert_feed_forward_length": config.moe_intermediate_size,
        }
    return {
        "general.type": "model",
        "general.name": name,
        "general.file_type": number,
        "general.quantization_version": 2,
        **{f"{layout.architecture}.{key}": value for key, value in sizes.items()},
        SHIFT_KEY: lm.facts.shift,
        **tokenizer_values(lm.tokenizer, rows=lm.vocab_size, mask_id=lm.mask_id, split=layout.split),
    }


def _add(writer: Any, key: str, value: Any) -> None:
    """Add a key in the type that llama.cpp reads it in."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _distinct(lm: LoadedModel) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the stock tensors that are written: of tied ones the embedding only."""
    is_tied = lm.stock.config.tie_word_embeddings
    shapes = {name: tuple(weight.shape) for name, weight in lm.model.state_dict().items()}
    return {name: shape for name, shape in shapes.items() if not (is_tied and name == "lm_head.weight")}


def _kind_of(name: str, shape: tuple[int, ...], kind: str) -> str:
    if len(shape) < 2 or _ALWAYS_F32.fullmatch(name):
        return "F32"
    return "F16" if kind == "Q8_0" and shape[-1] % 32 else kind


def _weights(
    lm: LoadedModel, layout: Layout, names: list[str], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of the file, in the stock dtype, one at a time."""
    config, weights = lm.stock.config, lm.model.state_dict()
    turned = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads} if layout.is_turned else {}
    for name in names:
        weight = RULES.read(name, weights, shapes)
        heads = turned.get(name.split(".")[-2])
        yield name, weight if heads is None else to_pairs(weight, heads)


def _packed(name: str, weight: Tensor, kind: Any) -> Any:
    """Return the bytes of a tensor in the type ``kind``, as an array."""
    import gguf

    values = weight.detach().to("cpu", torch.float32).numpy()
    if kind.name == "F16" and np.abs(values).max(initial=0.0) > np.finfo(np.float16).max:
        raise UserError(f"{name} holds {np.abs(values).max():.3g}, which float16 cannot; write dtype bf16 or f32")
    if not np.isfinite(values).all():
        raise UserError(f"{name} holds numbers that are not finite; the model is damaged")
    return gguf.quantize(values, kind)
