from dataclasses import replace

import pytest
import torch
from small_checkpoints import answer, plain_tokenizer, question
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    Lfm2Config,
    MambaConfig,
    MistralConfig,
    Qwen3MoeConfig,
)

from unmask.core.attention_rules import Causal
from unmask.errors import UserError
from unmask.models import ScratchSpec, from_scratch, load
from unmask.models.call import learn_call
from unmask.models.probe import settle_attention

KV = {"num_key_value_heads": 2}
SHAPE = {
    "vocab_size": 18,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "pad_token_id": None,
}


def folder_of(folder, config):
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    plain_tokenizer().save_pretrained(folder)
    return folder


def scratch(**kwargs):
    return from_scratch(ScratchSpec(hidden_size=16, layers=2, heads=2), **kwargs)


@pytest.mark.parametrize(
    "config",
    [
        MistralConfig(**SHAPE, **KV, sliding_window=None),
        MistralConfig(**SHAPE, **KV, sliding_window=512, max_position_embeddings=512),  # holds the longest text
        GPT2Config(vocab_size=18, n_embd=16, n_layer=2, n_head=2, n_positions=64),
        Qwen3MoeConfig(**SHAPE, **KV, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8),
    ],
    ids=lambda c: c.model_type,
)
def test_models_with_full_attention_pass(tmp_path, config):
    lm = load(folder_of(tmp_path, config))
    assert lm.facts.native_bidirectional
    assert lm.flops.forwards == 0
    assert answer(lm).isfinite().all()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (MistralConfig(**SHAPE, **KV, sliding_window=4), "attends within a window of 4 tokens"),
        (Gemma2Config(**SHAPE, **KV, head_dim=8), "layers of sliding_attention"),
        (Lfm2Config(**SHAPE, **KV, layer_types=["conv", "full_attention", "conv"]), "layers of conv"),
        (MambaConfig(vocab_size=18, hidden_size=16, num_hidden_layers=1), "layers of linear_attention"),
        (BloomConfig(vocab_size=18, hidden_size=16, n_layer=1, n_head=2), "fails on a mask"),
    ],
    ids=lambda c: getattr(c, "model_type", ""),
)
def test_models_that_cannot_look_both_ways_are_refused(tmp_path, config, reason):
    with pytest.raises(UserError, match=rf"cannot be made bidirectional: it.*{reason}") as error:
        load(folder_of(tmp_path, config))
    assert "\n" not in str(error.value)


def test_a_model_that_stays_causal_gets_4d_masks():
    lm = scratch()
    lm.model.config.is_causal = True
    settle_attention(lm, "it")
    assert not lm.facts.native_bidirectional
    by_masks = answer(lm)
    lm.model.config.is_causal = False
    settle_attention(lm, "it")
    assert lm.facts.native_bidirectional
    assert torch.allclose(by_masks, answer(lm), atol=1e-6)


def test_a_model_that_ignores_masks_is_refused():
    lm = scratch()
    forward = lm.model.forward

    def without_mask(input_ids, attention_mask=None, position_ids=None, logits_to_keep=0, use_cache=False):
        return forward(input_ids, position_ids=position_ids, logits_to_keep=logits_to_keep)

    lm.model.forward = without_mask
    with pytest.raises(UserError, match="padding reaches the text"):
        settle_attention(lm, "it")


def test_a_recurrent_layer_is_noticed():
    """Its configuration says nothing: only the mask that hides the past tells."""
    lm = scratch()

    class Recurrent(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x + x.cumsum(1))

    lm.model.model.layers[1].mlp = Recurrent(lm.model.model.layers[1].mlp)
    with pytest.raises(UserError, match="does not hide the past"):
        settle_attention(lm, "it")


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shift_and_dtype_do_not_matter(shift, dtype):
    lm = scratch(shift=shift)
    lm.model.to(dtype)
    before = lm.facts
    lm.facts = replace(before, native_bidirectional=False)
    settle_attention(lm, "it")
    assert lm.facts == before


def test_other_attention_kernels_are_refused_where_a_rule_needs_a_4d_mask():
    lm = scratch()
    learn_call(lm.model)  # as loading does
    lm.model.config._attn_implementation_internal = "flash_attention_2"
    query, at = question(lm)
    with pytest.raises(UserError, match="'sdpa' or 'eager', found 'flash_attention_2'"):
        lm.logits(replace(query, rule=Causal()), at)
