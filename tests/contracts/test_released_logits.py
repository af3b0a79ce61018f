"""Tiny checkpoints under released names give the logits that the released modelling code gave for them.

The numbers come from public files, run in float32 on a CPU under transformers 4.55.4 (torch 2.13), outside this
repository; the same weights are drawn again here. Each case names its file, repository and commit. Where no modelling
code is public (SDAR-MoE), or it adds sampling only to a stock class (Stable-DiffCoder), the class is transformers
4.55.4's own, given a block-causal mask.
"""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from unmask.core.attention import ANCHORED, CLEAN, Columns
from unmask.core.attention_rules import Anchored
from unmask.core.query import Query
from unmask.models import load

D, V, M, E, LAYERS = 32, 24, 48, 12, 2  # width, vocabulary, MLP, expert's MLP, layers
TEXT = [3, 14, 20, 20, 5, 20, 9, 1, 20, 2, 20, 20]
LONG = [*TEXT, *TEXT[::-1], *TEXT]
SHAPE = {
    "vocab_size": V, "hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": M, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "rope_scaling": None, "sliding_window": None, "use_sliding_window": False, "max_window_layers": 2,
    "tie_word_embeddings": False, "torch_dtype": "float32", "eos_token_id": 17, "pad_token_id": 17,
    "hidden_act": "silu",
}  # fmt: skip


def layered(table, layers=range(LAYERS)):
    return {f"model.layers.{n}.{name}": shape for n in layers for name, shape in table.items()}


def attention(head, *, bias=False, norm=False):
    """Query, key, value and output of 4 heads, 2 of them for keys, each ``head`` wide."""
    names = {"q_proj": (4 * head, D), "k_proj": (2 * head, D), "v_proj": (2 * head, D), "o_proj": (D, 4 * head)}
    found = {f"self_attn.{name}.weight": shape for name, shape in names.items()}
    if bias:
        found |= {f"self_attn.{name}.bias": shape[:1] for name, shape in names.items() if name != "o_proj"}
    if norm:
        found |= {"self_attn.q_norm.weight": (head,), "self_attn.k_norm.weight": (head,)}
    return found


def mlp(width, start="mlp"):
    return {f"{start}.gate_proj.weight": (width, D), f"{start}.up_proj.weight": (width, D)} | {
        f"{start}.down_proj.weight": (D, width)
    }


def experts(count):
    return {name: shape for e in range(count) for name, shape in mlp(E, f"mlp.experts.{e}").items()}


NORMS = {"input_layernorm.weight": (D,), "post_attention_layernorm.weight": (D,)}
ENDS = {"model.embed_tokens.weight": (V, D), "model.norm.weight": (D,), "lm_head.weight": (V, D)}
TIED = {name: shape for name, shape in ENDS.items() if "lm_head" not in name}
LLAMA = ENDS | layered(NORMS | attention(8) | mlp(M))
QWEN2 = ENDS | layered(NORMS | attention(8, bias=True) | mlp(M))
QWEN3 = ENDS | layered(NORMS | attention(16, norm=True) | mlp(M))
MOE = ENDS | layered(NORMS | attention(16, norm=True) | experts(4) | {"mlp.gate.weight": (4, D)})
_SPARSE = NORMS | attention(8, norm=True) | experts(4) | {"mlp.gate.weight": (4, D)}
LLADA_MOE = ENDS | layered(NORMS | attention(8, norm=True) | mlp(M), [0]) | layered(_SPARSE, [1])
_LLADA2 = NORMS | {
    "attention.query_key_value.weight": (8 * 16, D), "attention.dense.weight": (D, 4 * 16),
    "attention.query_layernorm.weight": (16,), "attention.key_layernorm.weight": (16,),
}  # fmt: skip
_LLADA2_SPARSE = _LLADA2 | experts(16) | mlp(E, "mlp.shared_experts") | {
    "mlp.gate.weight": (16, D), "mlp.gate.expert_bias": (16,),
}  # fmt: skip
LLADA2 = {
    "model.word_embeddings.weight": (V, D), "model.norm.weight": (D,), "lm_head.weight": (V, D),
    **layered(_LLADA2 | mlp(M), [0]), **layered(_LLADA2_SPARSE, [1, 2]),
}  # fmt: skip
_BLOCK = {
    "attn_norm": (D,), "ff_norm": (D,), "q_proj": (D, D), "k_proj": (D // 2, D), "v_proj": (D // 2, D),
    "attn_out": (D, D), "ff_proj": (M, D), "up_proj": (M, D), "ff_out": (D, M),
}  # fmt: skip
LLADA = {
    "model.transformer.wte.weight": (V, D), "model.transformer.ln_f.weight": (D,),
    "model.transformer.ff_out.weight": (V, D),
    **{f"model.transformer.blocks.{n}.{k}.weight": s for n in range(LAYERS) for k, s in _BLOCK.items()},
}  # fmt: skip


def config(model_type, architecture, **fields):
    return {**SHAPE, "model_type": model_type, "architectures": [architecture], **fields}


def only(found, *keys):
    return {key: value for key, value in found.items() if key not in keys}


MOE_FIELDS = {
    "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": E, "norm_topk_prob": True,
    "decoder_sparse_step": 1, "mlp_only_layers": [], "attention_bias": False, "router_aux_loss_coef": 0.001,
}  # fmt: skip
LLADA2_FIELDS = config(
    "llada2_moe", "LLaDA2MoeModelLM", num_hidden_layers=3, max_position_embeddings=128, head_dim=16,
    first_k_dense_replace=1, moe_intermediate_size=E, norm_topk_prob=True, num_experts=16, num_experts_per_tok=3,
    num_shared_experts=1, n_group=8, topk_group=4, routed_scaling_factor=2.5, score_function="sigmoid",
    moe_router_enable_expert_bias=True, router_dtype="fp32", rope_theta=600000, partial_rotary_factor=0.5, rotary_dim=8,
    use_bias=False, use_qkv_bias=False, use_rmsnorm=True, norm_head=False, norm_softmax=False, embedding_dropout=0.0,
    output_dropout=0.0, max_window_layers=28, using_split_qkv_in_self_attention=False,
)  # fmt: skip
LLADA2_FIELDS = only(LLADA2_FIELDS, "eos_token_id", "sliding_window")  # as released: neither eos nor mask is named
CASES = {
    # ZHZisZZ/dllm, commit ca176752fbceec49c6b4777a2c18ae88e4eb10ed: dllm/pipelines/llada/models/modeling_llada.py
    "llada": (
        {
            "architectures": ["LLaDAModelLM"], "model_type": "llada", "d_model": D, "n_layers": LAYERS, "n_heads": 4,
            "n_kv_heads": 2, "mlp_hidden_size": M, "vocab_size": V, "embedding_size": V, "max_sequence_length": 64,
            "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "weight_tying": False, "include_bias": False,
            "include_qkv_bias": False, "bias_for_layer_norm": False, "block_type": "llama", "activation_type": "silu",
            "layer_norm_type": "rms", "layer_norm_with_affine": True, "attention_layer_norm": False, "rope": True,
            "alibi": False, "input_emb_norm": False, "scale_logits": False, "block_group_size": 1, "eos_token_id": 17,
            "pad_token_id": 17, "attention_dropout": 0.0, "init_device": "meta", "precision": "amp_bf16",
            "mlp_ratio": 4, "flash_attention": False,
        },
        LLADA, TEXT,
    ),
    # the same commit: dllm/pipelines/llada/models/modeling_lladamoe.py
    "llada_moe": (
        only(config(
            "llada", "LLaDAMoEModelLM", num_experts=4, num_experts_per_tok=2, expert_intermediate_size=E,
            dense_intermediate_size=M, shared_expert_intermediate_size=None, moe_layer_freq=[0, 1], qk_layernorm=True,
            norm_topk_prob=None, clip_qkv=None, moe_router_enable_expert_bias=False, rms_norm_eps=1e-5,
            moe_router_score_function="softmax", partial_rotary_factor=1, attention_bias=False, rope_theta=50000,
            routed_scaling_factor=1, router_num_group=None, router_topk_group=None,
        ), "intermediate_size", "sliding_window"),
        LLADA_MOE, TEXT,
    ),
    # the same commit: dllm/pipelines/llada2/models/modeling_llada2_moe.py (and llada21, whose logits are equal)
    "llada2": (LLADA2_FIELDS, LLADA2, LONG),
    # the same commit: dllm/pipelines/dream/models/modeling_dream.py
    "dream": (config("Dream", "DreamModel", full_attn_mask=True), QWEN2, TEXT),
    # the same commit: dllm/pipelines/a2d/models/{llama,qwen2,qwen3}
    "a2d_llama": (config("a2d-llama", "A2DLlamaLMHeadModel"), LLAMA, TEXT),
    "a2d_qwen2": (config("a2d-qwen2", "A2DQwen2LMHeadModel"), QWEN2, TEXT),
    "a2d_qwen3": (config("a2d-qwen3", "A2DQwen3LMHeadModel", head_dim=16), QWEN3, TEXT),
    # RadicalNumerics/RND1, commit 87d5f465259c221465c3d1b44c385496e28d4c18: rnd/modeling_rnd.py
    "rnd1": (
        config(
            "rnd1", "RND1LM", **MOE_FIELDS | {"rope_theta": 1e6, "rope_scaling": False, "sliding_window": False},
            num_diffusion_steps=256, moe_backend="hf", is_causal=False,
        ),
        MOE, TEXT,
    ),
    # Tencent's hf_compat/modeling_wedlm.py in naoro/WeDLM, commit 5311fdbb721c1491aecdd5e9549020a4de9bfd2c
    "wedlm_7b": (config("wedlm", "WeDLMForCausalLM"), QWEN2, TEXT),
    "wedlm_8b": (config("wedlm", "WeDLMForCausalLM", qk_norm=True, attention_bias=False, head_dim=16), QWEN3, TEXT),
    # Fast_dLLM_v2_7B/modeling.py in Satgoy152/DualDiffusion, commit 9587d1e437cbb6301f2eb5d018e18f86cbe823e2
    "fast_dllm_v2": (
        config(
            "Fast_dLLM_Qwen", "Fast_dLLM_QwenForCausalLM", bd_size=4, conplemenrary_mask=True,
            layer_types=["full_attention"] * 2,
        ),
        QWEN2, TEXT,
    ),
    "fast_dllm_v2_tied": (
        config("Fast_dLLM_Qwen", "Fast_dLLM_QwenForCausalLM", bd_size=32, tie_word_embeddings=True),
        TIED | only(QWEN2, *ENDS), LONG,
    ),
    # JetAstra/SDAR, commit c2041a8333333d685f6e15122c84f60f51f85ebd: training/model/SDAR-8B-Chat/modeling_sdar.py
    "sdar": (
        config(
            "sdar", "SDARForCausalLM", head_dim=16, attention_bias=False, attn_implementation="flex_attention",
            fuse_cross_entropy=True, debug=False, ep_size=1, micro_forward=False, skip_checkpoint=False,
        ),
        QWEN3, TEXT,
    ),
    "sdar_moe": (config("sdar_moe", "SDARMoeForCausalLM", **MOE_FIELDS), MOE, TEXT),
    "stable_diffcoder": (
        only(config(
            "llama", "StableDiffcoderForCausalLM", attention_bias=False, mlp_bias=False, head_dim=8, pretraining_tp=1,
            rope_parameters={"rope_theta": 500000.0, "rope_type": "default"}, dtype="float32",
            auto_map={"AutoModelForCausalLM": "modeling_stable_diffcoder.StableDiffcoderForCausalLM"},
        ), "rope_theta", "rope_scaling", "torch_dtype", "sliding_window", "use_sliding_window", "max_window_layers"),
        LLAMA, TEXT,
    ),
    # OpenGVLab/SDLM, commit 7e8a26efedee3ba3d8548013fe07cefd1c36607a: sdlm/model/sdlm_qwen2_5/modeling_qwen2.py; a text
    # whose last token begins a window of four, as it decodes and as the view "anchored" reads
    "sdlm": (
        config(
            "qwen2", "Qwen2ForCausalLM", text_mask_token_id=20, block_size=4, causal_attn=False,
            attn_implementation="sdpa", auto_map={"AutoModelForCausalLM": "modeling_qwen2.Qwen2ForCausalLM"},
        ),
        QWEN2, [3, 14, 6, 8, 5, 7, 9, 1, 4, 20, 20, 20],
    ),
}  # fmt: skip
# Logits of tokens 0, 7 and 23 in the first, the sixth and the last column.
EXPECTED = {
    "llada": [-0.52127, -0.61224, -1.99366, -1.66103, 0.0527, -2.04913, -1.56621, 0.25786, -2.12675],
    "llada_moe": [-0.14868, -0.56923, -1.25796, -0.48438, -0.83134, -0.66407, -1.60598, -1.06141, -1.1933],
    "llada2": [-2.45503, -0.35927, 1.68419, -0.10238, 2.22793, 0.96159, -0.16473, 1.97972, 0.99056],
    "dream": [-0.7052, 0.88349, 0.55125, -0.44524, 2.05281, 1.41269, -0.54914, 1.74336, 1.3207],
    "a2d_llama": [-0.35493, -1.32035, -0.96532, 2.52027, 1.4037, 1.6926, 0.37822, 1.39605, 1.69614],
    "a2d_qwen2": [-0.7052, 0.88349, 0.55125, -0.44524, 2.05281, 1.41269, -0.54914, 1.74336, 1.3207],
    "a2d_qwen3": [0.10382, 0.65703, -1.47253, 1.60594, 1.80412, -2.09609, 1.53392, 0.78915, -1.93951],
    "rnd1": [1.29397, 1.25287, -0.87828, 1.63779, 1.68987, -0.69693, 1.62575, 1.71295, -0.74484],
    "wedlm_7b": [-0.87266, 1.36038, 0.92072, -0.12199, 1.16766, 1.39123, -0.3636, 1.2603, 1.29922],
    "wedlm_8b": [-0.58378, 0.85098, 0.24149, -0.43987, 0.98967, -0.14256, 0.75118, 1.24053, -0.88031],
    "fast_dllm_v2": [-0.20604, -0.06359, 0.10341, -0.35444, 1.91885, 1.39956, -0.45531, 1.6359, 1.47177],
    "fast_dllm_v2_tied": [1.41783, 0.32594, 0.20159, 1.9463, 0.23685, 0.46999, 1.58557, 0.36502, 0.55075],
    "sdar": [-1.15801, 1.44958, 1.11704, 0.96952, 0.91098, -0.68458, 1.15842, 1.20575, -1.13573],
    "sdar_moe": [0.74569, 0.87827, -1.0253, 1.59741, 1.53877, -0.69141, 1.44715, 1.72356, -0.88946],
    "stable_diffcoder": [0.51638, 0.04913, 1.14761, 2.61232, 1.62348, 0.95998, 1.19786, 2.18613, 1.06519],
    "sdlm": [-0.87266, 1.36038, 0.92072, -1.78438, -0.19881, 1.07428, 0.2417, 1.85487, 2.43507],
}


def drawn(shapes):
    """Weights from one generator, in the order of their names: norms about 1, a router's bias smaller."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name in sorted(shapes):
        numbers = torch.randn(shapes[name], generator=generator)
        is_norm = "norm" in name or name.endswith("ln_f.weight")
        found[name] = 1 + 0.2 * numbers if is_norm else (0.1 if "expert_bias" in name else 0.25) * numbers
    return found


def states(lm, ids):
    """Logits of the state of each column under the model's own rule."""
    position = torch.arange(len(ids))[None]
    zero = torch.zeros_like(position)
    block = position // lm.facts.block_size if lm.facts.attention == "block_causal" else zero
    columns, rule = Columns(position=position, segment=zero, block=block, stream=zero), lm.rule
    if lm.facts.family == "sdlm":
        is_window = position >= 8
        stream, block = torch.where(is_window, ANCHORED, CLEAN), torch.where(is_window, 8, 0)
        columns, rule = replace(columns, stream=stream, block=block), Anchored()
    lm.facts = replace(lm.facts, shift=False)
    query = Query(ids=torch.tensor([ids]), columns=columns, rule=rule)
    with torch.no_grad():
        return lm.logits(query, torch.stack([zero[0], position[0]], dim=1))


@pytest.mark.parametrize("name", CASES)
def test_the_logits_are_those_of_the_released_code(name, tmp_path):
    fields, shapes, ids = CASES[name]
    (tmp_path / "config.json").write_text(json.dumps(fields))
    save_file(drawn(shapes), tmp_path / "model.safetensors", metadata={"format": "pt"})
    lm = load(tmp_path, device="cpu", mask_id=20)
    found = states(lm, ids)[[0, 5, -1]][:, [0, 7, 23]]
    torch.testing.assert_close(found.flatten(), torch.tensor(EXPECTED[name]), atol=1e-4, rtol=0)
    assert lm.facts.family == {"wedlm_7b": "wedlm", "wedlm_8b": "wedlm", "fast_dllm_v2_tied": "fast_dllm_v2"}.get(
        name, name
    )
