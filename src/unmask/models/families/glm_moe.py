"""LLaDA2.0 and LLaDA2.1 (arXiv 2512.15745, 2602.08676) are GLM-4-MoE under other names, block-causal.

The router scores experts by a sigmoid; a bias decides which groups and experts are chosen, not what they weigh. Query,
key and value are one matrix as released, in this order. Read in inclusionAI's released code (dFactory) and run beside
dllm's copies of 2.0 and 2.1: tiny models in float32 differ by 1.4e-6. The released ``config.json`` names no end and no
mask token: its padding is its end of text, and the mask is the tokenizer's, 156895.
"""

from dataclasses import replace
from typing import Any

from unmask.models.families.base import FAMILIES, Family, require
from unmask.models.families.rules import Rule, WeightRules, expert_rules, renamed, stack_rules
from unmask.models.families.stock import flat_rotary

_LAYER = "model.layers.{layer}"
_NAMES = (
    *renamed(
        {
            "model.word_embeddings.weight": "model.embed_tokens.weight",
            "model.norm.weight": "model.norm.weight",
            "lm_head.weight": "lm_head.weight",
            f"{_LAYER}.attention.dense.weight": f"{_LAYER}.self_attn.o_proj.weight",
            f"{_LAYER}.attention.query_layernorm.weight": f"{_LAYER}.self_attn.q_norm.weight",
            f"{_LAYER}.attention.key_layernorm.weight": f"{_LAYER}.self_attn.k_norm.weight",
            f"{_LAYER}.mlp.gate.expert_bias": f"{_LAYER}.mlp.gate.e_score_correction_bias",
        }
    ),
    Rule(
        f"{_LAYER}.attention.query_key_value.weight",
        tuple(f"{_LAYER}.self_attn.{each}_proj.weight" for each in "qkv"),
    ),
)
_OTHERS = Rule(f"{_LAYER}.{{rest}}", f"{_LAYER}.{{rest}}")
RULES = WeightRules((*_NAMES, *expert_rules(), *stack_rules(is_read_only=True), _OTHERS))
MERGED_RULES = WeightRules((*_NAMES, *stack_rules(is_read_only=False), *expert_rules(is_read_only=True), _OTHERS))
_REQUIRED = {
    "score_function": ("sigmoid", "sigmoid"),
    "moe_router_enable_expert_bias": (True, True),
    "use_bias": (False, False),
    "use_qkv_bias": (False, False),
    "norm_head": (False, False),
    "use_rmsnorm": (True, True),
    "rope_scaling": (None, None),
    "use_sliding_window": (False, False),
    "norm_topk_prob": (True, True),
    "hidden_act": ("silu", "silu"),
}
_SAME = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
    "moe_intermediate_size", "num_experts_per_tok", "n_group", "topk_group", "routed_scaling_factor", "vocab_size",
    "first_k_dense_replace", "rms_norm_eps", "max_position_embeddings", "initializer_range", "hidden_act",
    "bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings",
)  # fmt: skip
_ABSENT = {
    "n_group": 8, "topk_group": 4, "routed_scaling_factor": 2.5, "first_k_dense_replace": 0, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 16384,
}  # fmt: skip
"""What the released configuration class takes where ``config.json`` lacks a key; GLM-4-MoE would take other values."""


def convert(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return ``glm4_moe`` and its configuration fields for a LLaDA2 checkpoint.

    Args:
        config: the checkpoint's ``config.json``.

    Returns:
        The stock model type and the fields by name.

    Raises:
        UserError: the stock class would compute something else; names the field.
    """  # noqa: DOC502
    config = flat_rotary(config)
    require(config, "LLaDA2", "GLM-4-MoE", _REQUIRED)
    fields = {key: config[key] for key in _SAME if key in config}
    width, heads = config["hidden_size"], config["num_attention_heads"]
    return "glm4_moe", {
        **_ABSENT,
        **fields,
        "num_key_value_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or width // heads,
        "n_routed_experts": config["num_experts"],
        "n_shared_experts": config["num_shared_experts"],
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": config["rope_theta"],
            "partial_rotary_factor": config.get("partial_rotary_factor", 0.5),
        },
        "use_qk_norm": config.get("use_qk_norm", True),
        "norm_topk_prob": config["num_experts_per_tok"] > 1,  # the release leaves a single weight as it is
        "attention_bias": False,
        "attention_dropout": 0.0,
        "num_nextn_predict_layers": 0,
        "tie_word_embeddings": config.get("tie_word_embeddings", False),
        "is_causal": False,
        "use_cache": False,
    }


def restore(stock: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a LLaDA2 checkpoint for the fields of a stock GLM-4-MoE.

    Args:
        stock: fields of the stock configuration.

    Returns:
        The fields of a ``config.json`` that ``convert`` turns into these.
    """
    rope = stock["rope_parameters"]
    return {
        **{key: stock[key] for key in _SAME if key in stock},
        "head_dim": stock["head_dim"],
        "num_experts": stock["n_routed_experts"],
        "num_shared_experts": stock["n_shared_experts"],
        "rope_theta": rope["rope_theta"],
        "partial_rotary_factor": rope.get("partial_rotary_factor", 0.5),
        "use_qk_norm": stock["use_qk_norm"],
        **{key: needed for key, (needed, _) in _REQUIRED.items()},
        "num_nextn_predict_layers": 0,
        "attention_dropout": 0.0,
        "embedding_dropout": 0.0,
        "output_dropout": 0.0,
        "router_dtype": "fp32",
    }


SAMPLER = {"block_size": 32, "selection": {"name": "threshold", "threshold": 0.95, "strict": True}}
"""Of LLaDA2.0; LLaDA2.1's adds the revision {name: edit, threshold: 0.9, max_post_steps: 16}."""
LLADA2 = Family(
    name="llada2",
    title="LLaDA2",
    model_types=("llada2_moe", "llada21_moe"),
    architectures=("LLaDA2MoeModelLM",),
    convert=convert,
    restore=restore,
    rules=RULES,
    shift=False,
    attention="block_causal",
    grid="text",
    block_size=32,
    mask_id=156895,
    eos_ids=(156892,),
    decoding=SAMPLER,
)
LLADA2_MERGED = replace(
    LLADA2,
    name="llada2_merged",
    title="LLaDA2 with merged experts",
    model_types=("llada2_moe_veomni",),
    restore=None,
    rules=MERGED_RULES,
)
for _family in (LLADA2, LLADA2_MERGED):
    FAMILIES.add(_family.name, _family, __name__)
