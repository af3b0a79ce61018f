"""Our decoders against the released samplers of the model families: the same tokens, on tiny random models.

``released_samplers.json`` holds what the samplers' authors' own code wrote. It was run outside this repository, at
temperature 0 in float32, with the weights that ``tiny`` makes, on these public files:

| family | file | commit |
|---|---|---|
| SDAR | JetAstra/SDAR ``generate.py`` (``torch.multinomial`` replaced by the argmax: it has no greedy mode) | c2041a8 |
| LLaDA2.0 | ZHZisZZ/dllm ``dllm/pipelines/llada2/models/modeling_llada2_moe.py``, a copy of the release | ca17675 |
| LLaDA2.1 | ZHZisZZ/dllm ``dllm/pipelines/llada21/models/modeling_llada21_moe.py``, a copy of the release | ca17675 |
| Fast-dLLM v2 | ``generate`` of the release's ``modeling.py``, from a public copy | |
| Stable-DiffCoder | ``generate_block`` of the release's ``modeling_stable_diffcoder.py``, from a public copy | |
| LLaDA | ML-GSAI/LLaDA ``generate.py`` | b7e6c35 |
| Dream | ZHZisZZ/dllm ``dllm/pipelines/dream/models/generation_utils.py``, a copy of the release | ca17675 |

Every case came out alike after all weights were changed by three millionths, so that rounding decides none. The models
never propose the mask token (its row of the LM head is zero or small): the released samplers may write it, ours never
do. Where a released sampler ends before ``max_new_tokens``, its answer is the beginning of ours.
"""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from unmask.generate import generate
from unmask.models import Facts, LoadedModel

CASES = json.loads(Path(__file__).with_name("released_samplers.json").read_text())
ROWS, MASK = 64, 60
SHAPE = {
    "vocab_size": ROWS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "intermediate_size": 48, "max_position_embeddings": 256, "tie_word_embeddings": False,
    "bos_token_id": None, "eos_token_id": 61, "pad_token_id": None, "is_causal": False, "dtype": "float32",
}  # fmt: skip
EXPERTS = {
    "moe_intermediate_size": 16, "n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
    "n_shared_experts": 1, "routed_scaling_factor": 2.5, "first_k_dense_replace": 1, "use_qk_norm": True,
    "norm_topk_prob": True, "attention_bias": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 600000.0, "partial_rotary_factor": 0.5},
}  # fmt: skip
MODELS = {}


def tiny(stock, seed, mask_scale):
    """A model of a stock class, its weights drawn by the order of names: norms near 1, else of spread 0.35."""
    config = AutoConfig.for_model(stock, **SHAPE, **(EXPERTS if stock == "glm4_moe" else {}))
    model = AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for name in sorted(state):
        drawn = torch.randn(state[name].shape, generator=generator)
        is_bias_of_router = "e_score" in name
        state[name].copy_(1 + 0.1 * drawn if "norm" in name else 0 * drawn if is_bias_of_router else 0.35 * drawn)
    state["lm_head.weight"][MASK] *= mask_scale
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_token_for_token(case):
    key = (case["stock"], case["seed"], case["mask_scale"])
    if key not in MODELS:
        MODELS[key] = tiny(*key)
    facts = Facts(mask_id=MASK, eos_ids=(case["eos"],), filler_id=62, vocab_size=ROWS, **case["facts"])
    lm = LoadedModel(model=MODELS[key], tokenizer=None, facts=facts)
    found = generate(lm, case["prompt"], max_new_tokens=case["max_new_tokens"], **case["decoder"]).answers[0].tolist()
    assert found[: len(case["answer"])] == case["answer"]
    is_ended = case["answer"][-1] == case["eos"]
    assert len(found) == len(case["answer"]) if is_ended else len(found) >= len(case["answer"])


def test_every_family_is_there():
    families = {case["family"] for case in CASES}
    assert families == {"SDAR", "LLaDA2.0", "LLaDA2.1", "Fast-dLLM v2", "Stable-DiffCoder", "LLaDA", "Dream"}
    assert any(case["answer"][-1] == case["eos"] for case in CASES)
    whole = [case for case in CASES if case["facts"].get("grid") == "text" and "last_block" not in case["facts"]]
    assert any((len(case["prompt"]) + case["max_new_tokens"]) % case["facts"]["block_size"] for case in whole)
