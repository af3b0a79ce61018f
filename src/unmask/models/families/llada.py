"""LLaDA-8B and LLaDA-1.5 (arXiv 2502.09992) are Llama under other names, with full attention.

The released blocks compute x + attention(norm(x)) and x + ff_out(silu(ff_proj(x)) * up_proj(x)) with RMS norms and
rotary positions: ``LlamaForCausalLM``, or ``Qwen2ForCausalLM`` where query, key and value have biases and nothing else.
``ff_out`` names two things: the down projection of a block, and the LM head.

Differs from the release: in bfloat16 it turns queries and keys in float32 (``rope_full_precision``), stock Llama in
bfloat16.
"""

import re
from typing import Any

from unmask.errors import UserError
from unmask.models.families.base import FAMILIES, Family

# Field -> the only value that a stock Llama computes, and the value that the release takes where the field is absent.
REQUIRED: dict[str, tuple[Any, Any]] = {
    "block_type": ("llama", "sequential"),
    "activation_type": ("silu", "swiglu"),
    "layer_norm_type": ("rms", "default"),
    "layer_norm_with_affine": (True, True),
    "attention_layer_norm": (False, False),
    "rope": (True, False),
    "alibi": (False, False),
    "input_emb_norm": (False, False),
    "scale_logits": (False, False),
    "block_group_size": (1, 1),
}

_TOP = {"wte": "model.embed_tokens", "ln_f": "model.norm", "ff_out": "lm_head"}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ff_norm": "post_attention_layernorm",
    "ff_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "ff_out": "mlp.down_proj",
}
_IN_BLOCK = re.compile(r"model\.transformer\.blocks\.(\d+)\.(\w+)\.(weight|bias)")
_ON_TOP = re.compile(r"model\.transformer\.(\w+)\.(weight|bias)")


def rename(name: str) -> str | None:
    """Return the Llama name of a LLaDA weight, or None if LLaDA has no such weight.

    >>> rename("model.transformer.blocks.3.ff_out.weight")
    'model.layers.3.mlp.down_proj.weight'
    >>> rename("model.transformer.ff_out.weight")
    'lm_head.weight'
    """
    if inside := _IN_BLOCK.fullmatch(name):
        layer, module, kind = inside.groups()
        return f"model.layers.{layer}.{_BLOCK[module]}.{kind}" if module in _BLOCK else None
    if on_top := _ON_TOP.fullmatch(name):
        module, kind = on_top.groups()
        return f"{_TOP[module]}.{kind}" if module in _TOP else None
    return None


def convert(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the stock model type and the configuration fields of a LLaDA checkpoint.

    Args:
        config: the checkpoint's ``config.json``.

    Returns:
        ``llama`` or, with biases on query, key and value only, ``qwen2``; and the fields by name.

    Raises:
        UserError: no stock class computes it; names the field.
    """
    for field, (needed, absent) in REQUIRED.items():
        found = config.get(field, absent)
        if found != needed:
            raise UserError(f"stock Llama computes LLaDA models with {field}={needed!r} only, found {found!r}")
    model_type, biases = _biases(config)
    width, heads = config["d_model"], config["n_heads"]
    fields = {
        "hidden_size": width,
        "num_hidden_layers": config["n_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": _kv_heads(config),
        "intermediate_size": config.get("mlp_hidden_size") or config.get("mlp_ratio", 4) * width,
        "vocab_size": config.get("embedding_size") or config["vocab_size"],
        "max_position_embeddings": config.get("max_sequence_length", 1024),
        "rms_norm_eps": config.get("rms_norm_eps", 1e-5),
        "rope_parameters": {"rope_type": "default", "rope_theta": config.get("rope_theta", 10_000.0)},
        "tie_word_embeddings": config.get("weight_tying", True),
        "attention_dropout": config.get("attention_dropout", 0.1),
        "bos_token_id": config.get("bos_token_id"),
        "eos_token_id": config.get("eos_token_id"),
        "pad_token_id": config.get("pad_token_id"),
        "is_causal": False,
        "use_cache": False,
    }
    return model_type, fields | biases


def _kv_heads(config: dict[str, Any]) -> int:
    if config.get("n_kv_heads") is not None:
        return int(config["n_kv_heads"])
    return 1 if config.get("multi_query_attention") else int(config["n_heads"])


def _biases(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    everywhere, on_qkv = config.get("include_bias", False), config.get("include_qkv_bias", False)
    in_norms = config.get("bias_for_layer_norm")
    if everywhere if in_norms is None else in_norms:
        raise UserError("stock Llama's norms have no bias, but config.json has bias_for_layer_norm or include_bias set")
    if everywhere:
        if not config.get("weight_tying", True):
            raise UserError(
                "stock Llama's LM head has no bias, but config.json has include_bias=true and weight_tying=false"
            )
        return "llama", {"attention_bias": True, "mlp_bias": True}
    return ("qwen2", {}) if on_qkv else ("llama", {})


LLADA = Family(
    name="LLaDA",
    model_type="llada",
    convert=convert,
    rename=rename,
    shift=False,
)
FAMILIES.add(LLADA.model_type, LLADA, __name__)
