"""Every family of checkpoints passes the public contract, on a tiny checkpoint in the layout of its release."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import Qwen2Config, Qwen3Config

from unmask.models.families import FAMILIES
from unmask.models.families.contract import check_family

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/models"))
from small_checkpoints import LLADA, llada_weights, random_model

SHAPE = {
    "vocab_size": 24, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64, "initializer_range": 0.2,
}  # fmt: skip


def llada(**changes):
    config = {**LLADA, **changes}
    return config, llada_weights(config)


def qwen(model_type, stock, **changes):
    """Qwen's own names and fields, under the model type of the release."""
    model = random_model(stock(**SHAPE, tie_word_embeddings=False))
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    ends = {"mask_token_id": 20, "eos_token_id": 17, "pad_token_id": 17}
    return {**SHAPE, "model_type": model_type, "tie_word_embeddings": False, **ends, **changes}, weights


TINY = {
    "llada": llada,
    "Dream": lambda: qwen("Dream", Qwen2Config),
    "sdar": lambda: qwen("sdar", Qwen3Config),
    "a2d-qwen2": lambda: qwen("a2d-qwen2", Qwen2Config),
    "a2d-qwen3": lambda: qwen("a2d-qwen3", Qwen3Config),
}


@pytest.mark.parametrize("model_type", FAMILIES)
def test_the_contract_holds(model_type, tmp_path):
    check_family(FAMILIES[model_type], *TINY[model_type](), tmp_path)


BROKEN = {
    "two weights get one stock name": {"rename": lambda name: "lm_head.weight"},
    "has no stock name": {"rename": lambda name: None},
    "expected shift, attention": {"attention": "bidirectional"},
    "is loaded as the family": {"name": "Another"},
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
    config, weights = TINY["Dream"]()
    del weights["model.norm.weight"]
    with pytest.raises(AssertionError, match=r"never filled: \['model.norm.weight'\]"):
        check_family(FAMILIES["Dream"], config, weights, tmp_path)
