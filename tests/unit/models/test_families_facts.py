"""What is known of a checkpoint stays with it: through saving, adapters and merging. Causal families decode."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_checkpoints import edit_json, random_model
from test_families_match import folder_of

from unmask.decoding import Decoder
from unmask.generate import generate
from unmask.models import LoraSpec, add_lora, load, merge
from unmask.runtime.transformers_api import new_config

PROMPTS = [[1, 2, 3], [4]]
WINDOW = {"view": {"name": "anchored"}, "blocks": {"name": "sliding"}, "selection": {"name": "prefix"}}
REORDERED = {"view": {"name": "reordered"}, "selection": {"name": "wedlm"}}


def sdar(folder):
    folder_of(folder, "qwen3", "sdar", "SDARForCausalLM", mask_token_id=20)
    sampling = {"eos_token_id": [19, 17], "top_k": 20, "temperature": 0.6, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(sampling))
    return folder


def known(lm):
    return lm.facts.family, lm.facts.source, lm.facts.attention, lm.facts.grid, lm.facts.block_size


def test_family_source_and_generation_config_survive(tmp_path):
    source = sdar(tmp_path / "released")
    lm = load(source, device="cpu")
    wanted = ("sdar", str(source), "block_causal", "text", 4)
    assert known(lm) == wanted
    assert lm.facts.eos_ids == (19, 17)
    assert lm.generation["top_k"] == 20
    lm.save(tmp_path / "saved")
    saved = load(tmp_path / "saved", device="cpu")
    assert known(saved) == wanted
    assert (saved.source, saved.generation["eos_token_id"]) == (str(tmp_path / "saved"), [19, 17])

    adapted = add_lora(saved, LoraSpec(rank=2))
    assert known(adapted) == wanted
    adapted.save(tmp_path / "adapter")
    again = load(tmp_path / "adapter", device="cpu")
    assert known(again) == wanted
    assert again.generation["top_k"] == 20
    merged = merge(again)
    assert known(merged) == wanted
    merged.save(tmp_path / "merged")
    assert known(load(tmp_path / "merged", device="cpu")) == wanted


def test_an_adapter_of_an_older_version_takes_family_and_source_from_its_base(tmp_path):
    source = sdar(tmp_path / "released")
    add_lora(load(source, device="cpu"), LoraSpec(rank=2)).save(tmp_path / "adapter")
    sidecar = tmp_path / "adapter/unmask_adapter.json"
    facts = json.loads(sidecar.read_text())["facts"]
    edit_json(sidecar, facts={key: value for key, value in facts.items() if key not in ("family", "source")})
    assert known(load(tmp_path / "adapter", device="cpu"))[:2] == ("sdar", str(source))


def causal(folder, kind):
    if kind == "sdlm":
        fields = {"text_mask_token_id": 20, "block_size": 4, "causal_attn": False}
        return folder_of(folder, "qwen2", "qwen2", "Qwen2ForCausalLM", **fields)
    fields = {"qk_norm": True, "attention_bias": False, "mask_token_id": 20}
    return folder_of(folder, "qwen3", "wedlm", "WeDLMForCausalLM", **fields)


@pytest.mark.parametrize(("kind", "decoder"), [("sdlm", WINDOW), ("wedlm", REORDERED)])
def test_causal_families_decode_as_they_were_trained_if_asked_and_say_how(kind, decoder, tmp_path, caplog):
    lm = load(causal(tmp_path, kind), device="cpu")
    assert lm.facts.attention == ("context_causal" if kind == "sdlm" else "causal")
    assert f"view: {decoder['view']['name']}" in caplog.text
    found = generate(lm, PROMPTS, decoder=Decoder(**decoder), max_new_tokens=6)
    assert all(0 < len(answer) <= 6 and 20 not in answer for answer in found.answers)
    if kind == "sdlm":  # WeDLM's selection is left to right on this model, where both views read the same
        plain = generate(lm, PROMPTS, decoder=Decoder(selection=decoder["selection"]), max_new_tokens=6)
        assert any(not torch.equal(a, b) for a, b in zip(found.answers, plain.answers, strict=True))


@pytest.mark.parametrize("kind", ["sdlm", "wedlm"])
def test_keys_and_values_of_a_causal_model_are_exact(kind, tmp_path):
    lm = load(causal(tmp_path, kind), device="cpu")
    assert lm.exact_cache == "block"
    kept, read = (
        generate(lm, PROMPTS, decoder=Decoder(cache={"name": cache}), max_new_tokens=12).sequences
        for cache in ("block", "none")
    )
    assert all(torch.equal(a, b) for a, b in zip(kept, read, strict=True))


def test_a_wedlm_of_qwen2s_kind_has_biases(tmp_path):
    folder = folder_of(tmp_path, "qwen2", "wedlm", "WeDLMForCausalLM", mask_token_id=20)
    lm = load(folder, device="cpu")
    assert (lm.facts.family, lm.model.config.model_type, lm.facts.shift) == ("wedlm", "qwen2", False)


def llada2(folder, dtype):
    fields = {
        "model_type": "llada2_moe", "architectures": ["LLaDA2MoeModelLM"], "vocab_size": 24, "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "intermediate_size": 48, "moe_intermediate_size": 12, "num_experts": 16, "num_experts_per_tok": 2,
        "num_shared_experts": 1, "first_k_dense_replace": 1, "pad_token_id": 17, "torch_dtype": "bfloat16",
        "rope_parameters": {"rope_theta": 600000.0, "partial_rotary_factor": 0.5, "rope_type": "default"},
        "num_nextn_predict_layers": 0, "max_position_embeddings": 64,
    }  # fmt: skip
    from unmask.models.families import FAMILIES

    rules = FAMILIES["llada2"].rules
    state = dict(random_model(new_config(*FAMILIES["llada2"].convert(fields))).state_dict())
    shapes = {name: tensor.shape for name, tensor in state.items()}
    weights = {name: rules.read(name, state, shapes).clone() for name in rules.released(shapes)}
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in weights.items():
        if "expert_bias" in name:
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
        is_router = ".mlp.gate." in name
        weights[name] = tensor.to(torch.float32 if is_router else dtype)
    (folder / "config.json").write_text(json.dumps(fields))
    save_file(weights, folder / "model.safetensors")
    return weights


def test_float32_routers_of_a_bfloat16_checkpoint_keep_every_bit(tmp_path):
    weights = llada2(tmp_path / "released", torch.bfloat16)
    lm = load(tmp_path / "released", device="cpu", mask_id=20)
    assert lm.facts.eos_ids == (17,)  # no file names an end: padding, which is the end of text too
    state = lm.model.state_dict()
    assert lm.model.get_input_embeddings().weight.dtype == torch.bfloat16
    for name in ("model.layers.1.mlp.gate.weight", "model.layers.1.mlp.gate.expert_bias"):
        found = state[name.replace("expert_bias", "e_score_correction_bias")]
        assert found.dtype == torch.float32
        assert torch.equal(found, weights[name])
    lm.save(tmp_path / "saved")
    again = load(tmp_path / "saved", device="cpu").model.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


def test_sharded_weights_with_an_index_are_the_same_model(tmp_path):
    whole, split = sdar(tmp_path / "whole"), sdar(tmp_path / "split")
    weights = load_file(split / "model.safetensors")
    (split / "model.safetensors").unlink()
    names = sorted(weights)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, held in shards.items():
        save_file({name: weights[name] for name in held}, split / file)
    index = {"metadata": {}, "weight_map": {name: file for file, held in shards.items() for name in held}}
    (split / "model.safetensors.index.json").write_text(json.dumps(index))
    a, b = load(whole, device="cpu"), load(split, device="cpu")
    assert replace(a.facts, source=None) == replace(b.facts, source=None)
    assert all(torch.equal(b.model.state_dict()[name], tensor) for name, tensor in a.model.state_dict().items())


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
        {"type": "linear", "factor": 2.0},
        {"type": "default"},
    ],
)
def test_a_rotary_scaling_reaches_the_model(scaling, tmp_path):
    plain = load(folder_of(tmp_path / "plain", "qwen3", "sdar", "SDARForCausalLM", mask_token_id=20), device="cpu")
    fields = {"mask_token_id": 20, "rope_scaling": scaling, "rope_theta": 10000.0}
    lm = load(folder_of(tmp_path / "scaled", "qwen3", "sdar", "SDARForCausalLM", **fields), device="cpu")
    same = torch.equal(lm.model.model.rotary_emb.inv_freq, plain.model.model.rotary_emb.inv_freq)
    assert same == (scaling.get("type") == "default")
