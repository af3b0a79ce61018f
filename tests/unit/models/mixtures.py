"""Small mixtures of experts that tests write themselves: a stock class each, 4 experts of which a token reads 2."""

import torch
from small_checkpoints import plain_tokenizer, random_model
from transformers import Glm4MoeConfig, MixtralConfig, OlmoeConfig, Qwen2MoeConfig, Qwen3MoeConfig

SIZES = {
    "vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 17, "pad_token_id": None,
    "initializer_range": 0.2, "tie_word_embeddings": False,
}  # fmt: skip
EXPERTS = {"moe_intermediate_size": 16, "num_experts_per_tok": 2, "intermediate_size": 48}


def qwen3_moe(**fields):
    rest = {"num_experts": 4, "head_dim": 8, "norm_topk_prob": True}
    return Qwen3MoeConfig(**{**SIZES, **EXPERTS, **rest, **fields})


def glm4_moe(**fields):
    """A dense first layer; in the second one shared and four routed experts, in two groups of which one is chosen."""
    shape = {"n_routed_experts": 4, "n_shared_experts": 1, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1}
    return Glm4MoeConfig(**{**SIZES, **EXPERTS, **shape, "head_dim": 8, **fields})


CONFIGS = {
    "qwen3_moe": qwen3_moe,
    "qwen3_moe with a dense layer": lambda: qwen3_moe(mlp_only_layers=[0]),
    "glm4_moe": glm4_moe,
    "mixtral": lambda: MixtralConfig(
        **SIZES, intermediate_size=16, num_local_experts=4, num_experts_per_tok=2, head_dim=8
    ),
    "olmoe": lambda: OlmoeConfig(**SIZES, intermediate_size=16, num_experts=4, num_experts_per_tok=2),
    "qwen2_moe": lambda: Qwen2MoeConfig(**SIZES, **EXPERTS, num_experts=4, shared_expert_intermediate_size=16),
}


def mixture_folder(folder, kind, seed=0, **fields):
    """A checkpoint of random weights; the mask is the last of the tokenizer's tokens."""
    config = CONFIGS[kind](**fields) if fields else CONFIGS[kind]()
    model = random_model(config, seed)
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):  # as trained checkpoints have it: not zero, and it decides
            buffer.copy_(0.3 * (-1.0) ** torch.arange(len(buffer)))
    model.save_pretrained(folder)
    plain_tokenizer("<|mask|>").save_pretrained(folder)
    return folder
