import json
from functools import partial

import pytest
import torch
from safetensors.torch import save_file
from small_checkpoints import plain_tokenizer, question, random_model
from transformers import Qwen2Config, Qwen3Config

from unmask.core.attention import Bidirectional
from unmask.errors import UserError
from unmask.models import load

SHAPE = {
    "vocab_size": 24,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}


ARCHITECTURES = {
    "Dream": "DreamModel",
    "sdar": "SDARForCausalLM",
    "a2d-qwen2": "A2DQwen2LMHeadModel",
    "a2d-qwen3": "A2DQwen3LMHeadModel",
}


def folder_of(folder, model_type, stock, **fields):
    """A folder as such models are released: Qwen's names, flat fields, code that must not run."""
    folder.mkdir(exist_ok=True)
    model = random_model(stock(**SHAPE, rope_parameters={"rope_type": "default", "rope_theta": 500.0}))
    weights = {
        k: v.clone()
        for k, v in model.state_dict().items()
        if not (fields.get("tie_word_embeddings") and "lm_head" in k)
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = dict(
        **SHAPE,
        model_type=model_type,
        rope_theta=500.0,
        rope_scaling=None,
        hidden_act="silu",
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
        torch_dtype="float32",
        mask_token_id=20,
        eos_token_id=17,
        pad_token_id=17,
        auto_map={"AutoModel": "modeling.Model"},
        architectures=[ARCHITECTURES[model_type]],
        use_sliding_window=False,
        sliding_window=None,
    )
    (folder / "config.json").write_text(json.dumps({**config, **fields}))
    (folder / "modeling.py").write_text("raise SystemExit('code of the checkpoint was run')\n")
    plain_tokenizer("x1", "x2", "<|mask|>").save_pretrained(folder)
    return folder, model


@pytest.mark.parametrize(
    ("model_type", "stock", "shift", "attention", "block_size"),
    [
        ("Dream", Qwen2Config, True, "bidirectional", None),
        ("sdar", Qwen3Config, False, "block_causal", 4),
        ("a2d-qwen2", Qwen2Config, False, "bidirectional", None),
        ("a2d-qwen3", Qwen3Config, False, "bidirectional", None),
    ],
)
def test_they_compute_what_qwen_computes_without_a_causal_mask(
    tmp_path, model_type, stock, shift, attention, block_size
):
    folder, model = folder_of(tmp_path, model_type, stock)
    lm = load(folder)
    assert (lm.mask_id, lm.facts.shift, lm.facts.attention, lm.facts.block_size) == (20, shift, attention, block_size)
    query, at = question(lm)
    assert isinstance(query.rule, Bidirectional)
    model.config.is_causal = False
    with torch.no_grad():
        wanted = model(input_ids=query.ids).logits[0, at[:, 1] - int(shift)]
        got = lm.logits(query, at)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    lm.save(tmp_path / "stock")
    again = load(tmp_path / "stock")
    assert again.facts == lm.facts
    with torch.no_grad():
        assert torch.equal(again.logits(query, at), got)


def test_what_config_json_and_the_user_say_outranks_the_family(tmp_path):
    folder, _ = folder_of(tmp_path, "sdar", Qwen3Config, block_size=16)
    assert load(folder).facts.block_size == 16
    lm = load(folder, block_size=8, attention="bidirectional", shift=True)
    assert (lm.facts.block_size, lm.facts.attention, lm.facts.shift) == (8, "bidirectional", True)


def test_a_sliding_window_in_use_is_refused(tmp_path):
    window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}
    folder, _ = folder_of(tmp_path, "Dream", Qwen2Config, **window)
    with pytest.raises(UserError, match="cannot be made bidirectional: it has layers of sliding_attention"):
        load(folder)


def test_a_missing_bias_is_named(tmp_path):
    folder, _ = folder_of(
        tmp_path, "Dream", partial(Qwen3Config, head_dim=8)
    )  # Qwen3 has norms of queries and keys, and no biases
    with pytest.raises(UserError, match=r"missing: model.layers.0.self_attn.k_proj.bias.*unexpected: .*k_norm"):
        load(folder)
