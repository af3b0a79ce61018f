"""Families that are Llama: LLaDA-8B and LLaDA-1.5 (arXiv 2502.09992), Stable-DiffCoder, dllm's ``a2d-llama``.

LLaDA is Llama under other names, with full attention.
The released blocks compute x + attention(norm(x)) and x + ff_out(silu(ff_proj(x)) * up_proj(x)) with RMS norms and
rotary positions: ``LlamaForCausalLM``, or ``Qwen2ForCausalLM`` where query, key and value have biases and nothing else.
``ff_out`` names two things: the down projection of a block, and the LM head.

Differs from the release: in bfloat16 it turns queries and keys in float32 (``rope_full_precision``), stock Llama in
bfloat16.

Stable-DiffCoder (ByteDance-Seed) calls itself ``llama``: its class is ``LlamaForCausalLM`` with a sampler. It was
trained with blocks of 4 counted from the first column, unshifted; read in its ``modeling_stable_diffcoder.py``.

Beside dllm's copies of LLaDA and ``a2d-llama`` tiny models in float32 give the same logits to the bit. The class of
Stable-DiffCoder adds sampling only; it differs by 2.4e-6 from the Llama of transformers 4.55.4.
"""

from typing import Any

from unmask.errors import UserError
from unmask.models.families.base import FAMILIES, Family, require
from unmask.models.families.rules import WeightRules, renamed, same_names
from unmask.models.families.stock import BD3LM, as_released, as_stock, flat_rotary

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

_LAYER = "model.transformer.blocks.{layer}"
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
RULES = WeightRules(
    renamed(
        {
            "model.transformer.wte.{kind}": "model.embed_tokens.{kind}",
            **{f"{_LAYER}.{old}.{{kind}}": f"model.layers.{{layer}}.{new}.{{kind}}" for old, new in _BLOCK.items()},
            "model.transformer.ln_f.{kind}": "model.norm.{kind}",
            "model.transformer.ff_out.{kind}": "lm_head.{kind}",
        }
    )
)


def convert(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the stock model type and the configuration fields of a LLaDA checkpoint.

    Args:
        config: the checkpoint's ``config.json``.

    Returns:
        ``llama`` or, with biases on query, key and value only, ``qwen2``; and the fields by name.

    Raises:
        UserError: no stock class computes it; names the field.
    """  # noqa: DOC502
    config = flat_rotary(config)
    require(config, "LLaDA", "Llama", REQUIRED)
    model_type, biases = _biases(config)
    width, heads = config["d_model"], config["n_heads"]
    fields = {
        "hidden_size": width,
        "num_hidden_layers": config["n_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": _kv_heads(config),
        "intermediate_size": config.get("mlp_hidden_size") or int(config.get("mlp_ratio", 4)) * int(width),
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


def restore(stock: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a LLaDA checkpoint for the fields of a stock Llama.

    Args:
        stock: fields of the stock configuration.

    Returns:
        The fields of a ``config.json`` that ``convert`` turns into these.
    """
    fields = {
        "d_model": stock["hidden_size"],
        "n_layers": stock["num_hidden_layers"],
        "n_heads": stock["num_attention_heads"],
        "n_kv_heads": stock["num_key_value_heads"],
        "mlp_hidden_size": stock["intermediate_size"],
        "vocab_size": stock["vocab_size"],
        "embedding_size": stock["vocab_size"],
        "max_sequence_length": stock["max_position_embeddings"],
        "rms_norm_eps": stock["rms_norm_eps"],
        "rope_theta": stock["rope_parameters"]["rope_theta"],
        "weight_tying": stock["tie_word_embeddings"],
        "attention_dropout": stock["attention_dropout"],
        "include_bias": bool(stock.get("mlp_bias")),
        "include_qkv_bias": False,
        "bias_for_layer_norm": False,
    }
    ends = {key: stock.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return fields | {field: needed for field, (needed, _) in REQUIRED.items()} | ends


LLADA = Family(
    name="llada",
    title="LLaDA",
    model_types=("llada",),
    architectures=("LLaDAModelLM", "LLaDAModel"),
    needs_keys=("d_model",),
    convert=convert,
    restore=restore,
    rules=RULES,
    shift=False,
    mask_id=126336,
    eos_ids=(126348, 126081),
    decoding={"block_size": 32},
)
STABLE_DIFFCODER = Family(
    name="stable_diffcoder",
    title="Stable-DiffCoder",
    model_types=("llama",),
    architectures=("StableDiffcoderForCausalLM",),
    convert=as_stock("llama"),
    restore=as_released(),
    rules=same_names(),
    shift=False,
    attention="block_causal",
    grid="text",
    block_size=4,
    last_block="cut",
    mask_id=5,
    decoding={"block_size": 4, "threshold": 0.95},
)
A2D_LLAMA = Family(
    name="a2d_llama",
    title="Llama diffusion",
    model_types=("a2d-llama",),
    architectures=("A2DLlamaLMHeadModel",),
    convert=as_stock("llama"),
    restore=as_released(),
    rules=same_names(),
    shift=False,
    variants=BD3LM,
)
for _family in (LLADA, STABLE_DIFFCODER, A2D_LLAMA):
    FAMILIES.add(_family.name, _family, __name__)
