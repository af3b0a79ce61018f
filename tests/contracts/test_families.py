"""Every family of checkpoints passes the public contract, on a tiny checkpoint in the layout of its release."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, Qwen2Config, Qwen3Config

from unmask.models.families import FAMILIES, WeightRules
from unmask.models.families.contract import check_family
from unmask.runtime.transformers_api import new_config

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/models"))
from small_checkpoints import LLADA, llada_weights, random_model

SHAPE = {
    "vocab_size": 24, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64, "initializer_range": 0.2,
}  # fmt: skip
ENDS = {"mask_token_id": 20, "eos_token_id": 17, "pad_token_id": 17, "tie_word_embeddings": False}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12}
LLADA_MOE = {
    **{key: value for key, value in SHAPE.items() if key != "intermediate_size"}, **ENDS, "model_type": "llada",
    "architectures": ["LLaDAMoEModelLM"], "num_experts": 4, "num_experts_per_tok": 2, "expert_intermediate_size": 12,
    "dense_intermediate_size": 48, "moe_layer_freq": [0, 1], "qk_layernorm": True, "rope_theta": 1e4,
    "norm_topk_prob": True,  # ignored, as the release does
}  # fmt: skip
LLADA2 = {
    **SHAPE, **ENDS, "model_type": "llada2_moe", "architectures": ["LLaDA2MoeModelLM"], "head_dim": 8,
    "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 12, "n_group": 4, "topk_group": 2,
    "num_shared_experts": 1, "first_k_dense_replace": 1, "rope_theta": 1e4, "partial_rotary_factor": 0.5,
    "routed_scaling_factor": 2.5,
}  # fmt: skip


def llada(**changes):
    config = {**LLADA, **changes}
    return config, llada_weights(config)


def own_names(model_type, architecture, stock, **changes):
    """The stock class's own names and fields, under the model type of the release."""
    model = random_model(stock(**SHAPE, tie_word_embeddings=False))
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    return {**SHAPE, **ENDS, "model_type": model_type, "architectures": [architecture], **changes}, weights


def released(name, config):
    """Weights of a random stock model under the released names."""
    family = FAMILIES[name]
    model = random_model(new_config(*family.convert(dict(config))))
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for key, tensor in state.items():
        if key.endswith("e_score_correction_bias"):
            tensor.copy_(0.1 * random_bias(len(tensor)))
    shapes = {key: tensor.shape for key, tensor in state.items()}
    return config, {key: family.rules.read(key, state, shapes).clone() for key in family.rules.released(shapes)}


def random_bias(count):
    return torch.randn(count, generator=torch.Generator().manual_seed(1))


def qwen_moe(name, model_type, architecture, **changes):
    config = {**SHAPE, **ENDS, **EXPERTS, "model_type": model_type, "architectures": [architecture], "head_dim": 8}
    return released(name, {**config, "mlp_only_layers": [0], **changes})


def merged():
    """Each layer's experts in three stacks, as dFactory trains them."""
    config, weights = released("llada2", LLADA2)
    stacks = {}
    for key in [key for key in weights if ".experts." in key]:
        start, _, rest = key.partition(".experts.")
        stacks.setdefault(f"{start}.experts.{rest.split('.')[1]}", []).append(weights.pop(key))
    weights |= {key: torch.stack(each) for key, each in stacks.items()}
    return {**config, "model_type": "llada2_moe_veomni"}, weights


TINY = {
    "llada": llada,
    "stable_diffcoder": lambda: own_names("llama", "StableDiffcoderForCausalLM", LlamaConfig),
    "a2d_llama": lambda: own_names("a2d-llama", "A2DLlamaLMHeadModel", LlamaConfig),
    "dream": lambda: own_names("Dream", "DreamModel", Qwen2Config),
    "fast_dllm_v2": lambda: own_names("Fast_dLLM_Qwen", "Fast_dLLM_QwenForCausalLM", Qwen2Config, bd_size=32),
    "sdlm": lambda: own_names(
        "qwen2", "Qwen2ForCausalLM", Qwen2Config, text_mask_token_id=20, block_size=4, causal_attn=False
    ),
    "wedlm": lambda: own_names("wedlm", "WeDLMForCausalLM", Qwen3Config, qk_norm=True, attention_bias=False),
    "sdar": lambda: own_names(
        "sdar", "SDARForCausalLM", Qwen3Config, attn_implementation="flex_attention", fuse_cross_entropy=True
    ),
    "a2d_qwen2": lambda: own_names("a2d-qwen2", "A2DQwen2LMHeadModel", Qwen2Config),
    "a2d_qwen3": lambda: own_names("a2d-qwen3", "A2DQwen3LMHeadModel", Qwen3Config),
    "llada_moe": lambda: released("llada_moe", LLADA_MOE),
    "sdar_moe": lambda: qwen_moe("sdar_moe", "sdar_moe", "SDARMoeForCausalLM", norm_topk_prob=True),
    "rnd1": lambda: qwen_moe("rnd1", "rnd1", "RND1LM", sliding_window=False, rope_scaling=False),
    "llada2": lambda: released("llada2", LLADA2),
    "llada2_merged": merged,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_contract_holds(name, tmp_path):
    check_family(FAMILIES[name], *TINY[name](), tmp_path)


BROKEN = {
    "not in the stock model": {"rules": WeightRules(())},
    "expected shift, attention": {"attention": "bidirectional"},
    "block size": {"block_size": 8},
}


@pytest.mark.parametrize("fault", BROKEN)
def test_the_contract_notices(fault, tmp_path, monkeypatch):
    """The family that is checked says one thing, the one that loads another."""
    broken = replace(FAMILIES["sdar"], **BROKEN[fault])
    monkeypatch.setattr("unmask.models.families.contract.FAMILIES", {"sdar": broken})
    with pytest.raises(AssertionError, match=fault):
        check_family(broken, *TINY["sdar"](), tmp_path)


def test_a_weight_that_is_not_there_is_noticed(tmp_path):
    config, weights = TINY["dream"]()
    del weights["model.norm.weight"]
    with pytest.raises(AssertionError, match=r"never filled: \['model.norm.weight'\]"):
        check_family(FAMILIES["dream"], config, weights, tmp_path)
