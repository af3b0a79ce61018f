"""Families that are Qwen3-MoE: LLaDA-MoE, SDAR-30B-A3B, RND1.

LLaDA-MoE-7B-A1B (inclusionAI) calls itself ``llada``, as the dense LLaDA does; its router's weights are never
normalised, whatever ``norm_topk_prob`` says. SDAR-MoE and RND1 have Qwen3-MoE's own fields and names. RND1 (Radical
Numerics) was converted from an autoregressive model and keeps its shift: ``rnd/sampling.py`` moves predictions by one.
The facts were read in released code and configurations. Beside a copy of the released code (dllm's for LLaDA-MoE,
Radical Numerics' own for RND1) tiny models in float32 differ by at most 1e-6; SDAR-MoE's code is not public: 1.2e-6
beside Qwen3-MoE of transformers 4.55.4, whose names it has.
"""

from typing import Any

from unmask.errors import UserError, shorten
from unmask.models.families.base import FAMILIES, Family, require
from unmask.models.families.qwen import SDAR_SAMPLER
from unmask.models.families.rules import Rule, WeightRules, expert_rules, stack_rules
from unmask.models.families.stock import as_released, as_stock, flat_rotary, old_rotary, without

RULES = WeightRules((*expert_rules(), *stack_rules(is_read_only=True), Rule("{rest}", "{rest}")))
_LLADA_MOE = {
    "qk_layernorm": (True, False),
    "clip_qkv": (None, None),
    "shared_expert_intermediate_size": (None, None),
    "moe_router_enable_expert_bias": (False, False),
    "moe_router_score_function": ("softmax", "softmax"),
    "partial_rotary_factor": (1, 1),
    "attention_bias": (False, False),
    "rope_scaling": (None, None),
    "hidden_act": ("silu", "silu"),
}
_SAME = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size", "rms_norm_eps",
    "max_position_embeddings", "hidden_act", "tie_word_embeddings", "attention_dropout", "initializer_range",
    "num_experts_per_tok", "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip


def convert(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return ``qwen3_moe`` and its configuration fields for a LLaDA-MoE checkpoint.

    Args:
        config: the checkpoint's ``config.json``.

    Returns:
        The stock model type and the fields by name.

    Raises:
        UserError: the stock class would compute something else; names the field.
    """  # noqa: DOC502
    config = flat_rotary(config)
    require(config, "LLaDA-MoE", "Qwen3-MoE", _LLADA_MOE)
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    sparse = config.get("moe_layer_freq") or []
    if sparse == 1:
        sparse = []
    if not isinstance(sparse, list) or len(sparse) not in (0, layers):
        raise UserError(
            f"config.json: expected a list of {layers} numbers, 0 for a dense layer and 1 for one with experts, for "
            f"moe_layer_freq, found {shorten(repr(sparse), 60)}"
        )
    fields = {key: config[key] for key in _SAME if key in config}
    return "qwen3_moe", {
        **fields,
        "num_key_value_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
        "moe_intermediate_size": config["expert_intermediate_size"],
        "intermediate_size": config.get("dense_intermediate_size") or config["expert_intermediate_size"],
        "num_experts": config["num_experts"],
        "mlp_only_layers": [layer for layer, is_sparse in enumerate(sparse) if not is_sparse],
        "decoder_sparse_step": 1,
        "norm_topk_prob": False,
        "attention_bias": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": config["rope_theta"]},
        "tie_word_embeddings": config.get("tie_word_embeddings", False),
        "is_causal": False,
        "use_cache": False,
    }


def restore(stock: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a LLaDA-MoE checkpoint for the fields of a stock Qwen3-MoE.

    Args:
        stock: fields of the stock configuration.

    Returns:
        The fields of a ``config.json`` that ``convert`` turns into these.
    """
    dense = set(stock.get("mlp_only_layers") or [])
    return {
        **{key: stock[key] for key in _SAME if key in stock},
        "head_dim": stock["head_dim"],
        "expert_intermediate_size": stock["moe_intermediate_size"],
        "dense_intermediate_size": stock["intermediate_size"],
        "num_experts": stock.get("num_experts", stock.get("num_local_experts")),
        "moe_layer_freq": [int(layer not in dense) for layer in range(stock["num_hidden_layers"])],
        "rope_theta": stock["rope_parameters"]["rope_theta"],
        **{key: needed for key, (needed, _) in _LLADA_MOE.items()},
        "norm_topk_prob": None,
    }


def _restore_qwen(stock: dict[str, Any]) -> dict[str, Any]:
    fields = old_rotary(without(stock))
    return {**fields, "num_experts": fields.pop("num_local_experts", fields.get("num_experts"))}


LLADA_MOE = Family(
    name="llada_moe",
    title="LLaDA-MoE",
    model_types=("llada", "lladamoe"),
    architectures=("LLaDAMoEModelLM", "LLaDAMoEModel"),
    needs_keys=("num_experts",),
    convert=convert,
    restore=restore,
    rules=RULES,
    shift=False,
    mask_id=156895,
    decoding={"block_size": 32},
    eos_ids=(156892,),
)
SDAR_MOE = Family(
    name="sdar_moe",
    title="SDAR-MoE",
    model_types=("sdar_moe",),
    architectures=("SDARMoeForCausalLM",),
    convert=as_stock("qwen3_moe"),
    restore=_restore_qwen,
    rules=RULES,
    shift=False,
    attention="block_causal",
    grid="text",
    block_size=4,
    mask_id=151669,
    decoding=SDAR_SAMPLER,
    eos_ids=(151645, 151643),
    tokenizer_class="Qwen2Tokenizer",
)
RND1 = Family(
    name="rnd1",
    title="RND1",
    model_types=("rnd1",),
    architectures=("RND1LM", "RND1"),
    convert=as_stock("qwen3_moe"),
    restore=as_released(),
    rules=RULES,
    shift=True,
    mask_id=151669,
    eos_ids=(151645, 151643),
    tokenizer_class="Qwen2Tokenizer",
)
for _family in (LLADA_MOE, SDAR_MOE, RND1):
    FAMILIES.add(_family.name, _family, __name__)
