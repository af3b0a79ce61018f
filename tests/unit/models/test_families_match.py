"""A checkpoint is taken for what it is: by model type and architecture together, never by one of them."""

import json
import logging
import re

import pytest
import torch
from safetensors.torch import save_file
from small_checkpoints import LLADA, ar_folder, edit_json, llada_weights, plain_tokenizer, random_model
from transformers import LlamaConfig, Qwen2Config, Qwen3Config, Qwen3MoeConfig

from unmask.errors import UserError
from unmask.models import load

SHAPE = {
    "vocab_size": 24, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64,
}  # fmt: skip
ENDS = {"eos_token_id": 17, "pad_token_id": 17, "tie_word_embeddings": False}
STOCK = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config, "qwen3_moe": Qwen3MoeConfig}
CAUSAL = {"AutoModelForCausalLM": "modeling_strange.StrangeForCausalLM"}
BY_HAND = {"shift": False, "attention": "bidirectional", "mask_id": 20}


def folder_of(folder, stock, model_type, architecture, **fields):
    """A checkpoint with the names of a stock class; a field that is None is not written."""
    folder.mkdir(parents=True, exist_ok=True)
    model = random_model(STOCK[stock](**SHAPE, tie_word_embeddings=False, initializer_range=0.3))
    save_file({k: v.clone() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    config = {**SHAPE, **ENDS, "model_type": model_type, "architectures": architecture and [architecture], **fields}
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return folder


def facts_of(folder, **flags):
    facts = load(folder, **flags).facts
    return facts.family, facts.shift, facts.attention, facts.block_size, facts.mask_id


# Types of other models


def test_the_architecture_tells_a_mixture_from_a_dense_llada(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLADA))
    save_file(llada_weights(LLADA), tmp_path / "model.safetensors")
    assert load(tmp_path, mask_id=20).facts.family == "llada"
    edit_json(tmp_path / "config.json", architectures=["LLaDAMoEModelLM"])
    with pytest.raises(UserError, match="expected LLaDAMoEModel, LLaDAMoEModelLM, LLaDAModel, LLaDAModelLM with"):
        load(tmp_path, mask_id=20)


@pytest.mark.parametrize(
    ("stock", "architecture", "fields", "facts"),
    [
        ("llama", "StableDiffcoderForCausalLM", {}, ("stable_diffcoder", False, "block_causal", 4, 5)),
        (
            "qwen2", "Qwen2ForCausalLM", {"text_mask_token_id": 20, "block_size": 8, "causal_attn": False},
            ("sdlm", True, "context_causal", 8, 20),
        ),
        ("qwen2", "Qwen2ForCausalLM", {"mask_token_id": 20}, (None, True, "bidirectional", None, 20)),
        ("llama", "LlamaForCausalLM", {"mask_token_id": 20}, (None, True, "bidirectional", None, 20)),
        ("llama", None, {"mask_token_id": 20}, (None, True, "bidirectional", None, 20)),
    ],
)  # fmt: skip
def test_a_stock_type_alone_says_nothing(tmp_path, stock, architecture, fields, facts):
    assert facts_of(folder_of(tmp_path, stock, stock, architecture, **fields)) == facts


@pytest.mark.parametrize(
    ("architecture", "auto_map", "named"),
    [
        ("StrangeForCausalLM", None, r"architectures\[0\] is 'StrangeForCausalLM'"),
        ("Qwen2ForCausalLM", None, r"architectures\[0\] is 'Qwen2ForCausalLM'"),
        ("LlamaForCausalLM", CAUSAL, "auto_map has AutoModelForCausalLM: 'modeling_strange.StrangeForCausalLM'"),
        (None, CAUSAL, "auto_map has AutoModelForCausalLM"),
    ],
)
def test_what_only_looks_like_a_stock_model_is_refused_and_loads_by_hand(tmp_path, architecture, auto_map, named):
    folder_of(tmp_path, "llama", "llama", architecture, auto_map=auto_map)
    with pytest.raises(UserError, match=named) as caught:
        load(tmp_path, mask_id=20)
    assert "\n" not in str(caught.value)
    assert "shift=…, attention=… and mask_token=… (or mask_id=…)" in str(caught.value)
    assert facts_of(tmp_path, **BY_HAND) == (None, False, "bidirectional", None, 20)


def test_by_hand_blocks_need_their_size(tmp_path):
    folder_of(tmp_path, "llama", "llama", "StrangeForCausalLM")
    flags = {**BY_HAND, "attention": "block_causal"}
    with pytest.raises(UserError, match="StrangeForCausalLM"):
        load(tmp_path, **flags)
    assert facts_of(tmp_path, **flags, block_size=4) == (None, False, "block_causal", 4, 20)


def test_code_for_the_tokenizer_alone_is_no_other_model(tmp_path):
    auto_map = {"AutoTokenizer": ["tokenization.Strange", None], "AutoConfig": "configuration.Strange"}
    folder_of(tmp_path, "llama", "llama", "LlamaForCausalLM", auto_map=auto_map)
    assert load(tmp_path, mask_id=20).facts.family is None


@pytest.mark.parametrize(
    ("model_type", "title"),
    [
        ("diffusion_gemma", "DiffusionGemma"),
        ("nemotron_labs_diffusion", "Nemotron-Labs-Diffusion"),
        ("mdlm", "MDLM"),
        ("bd3lm", "BD3LM"),
        ("sedd", "SEDD"),
    ],
)
def test_models_that_come_later_are_refused_by_name(tmp_path, model_type, title):
    folder_of(tmp_path, "llama", model_type, "Model")
    with pytest.raises(UserError, match=f"^{title} models .* are not supported yet"):
        load(tmp_path, **BY_HAND)


def test_a_type_that_nobody_knows_is_named(tmp_path):
    folder_of(tmp_path, "llama", "strange", "StrangeForCausalLM")
    with pytest.raises(UserError, match="model_type='strange', which neither transformers nor unmask .*sdar_moe"):
        load(tmp_path, **BY_HAND)


def test_a_family_with_another_architecture_is_refused(tmp_path):
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLMWithHead")
    with pytest.raises(UserError, match=r"architectures\[0\]='SDARForCausalLMWithHead'; expected SDARForCausalLM"):
        load(tmp_path)


def test_a_family_without_an_architecture_is_loaded(tmp_path):
    assert load(folder_of(tmp_path, "qwen3", "sdar", None, mask_token_id=20)).facts.family == "sdar"


@pytest.mark.parametrize("architectures", ["SDARForCausalLM", {"a": 1}, 5, [5]])
def test_architectures_of_another_kind_are_refused(tmp_path, architectures):
    folder_of(tmp_path, "llama", "llama", "x", architectures=architectures)
    with pytest.raises(UserError, match="architectures"):
        load(tmp_path, mask_id=20)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"block_size": 0, "mask_token_id": 20}, "whole number from 1 for block_size, found 0"),
        ({"block_size": "4", "mask_token_id": 20}, "whole number from 1 for block_size, found '4'"),
        ({"mask_token_id": "<M>"}, "whole number for mask_token_id, found '<M>'"),
        ({"mask_token_id": [20]}, "whole number for mask_token_id"),
    ],
)
def test_a_block_size_or_mask_of_another_kind_is_refused(tmp_path, fields, named):
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLM", **fields)
    with pytest.raises(UserError, match=re.escape(named)):
        load(tmp_path)


def test_a_causal_dream_is_refused(tmp_path):
    folder_of(tmp_path, "qwen2", "Dream", "DreamModel", mask_token_id=20, full_attn_mask=False)
    with pytest.raises(UserError, match="full_attn_mask=False, expected true"):
        load(tmp_path)


def test_code_named_by_a_text_is_foreign_too(tmp_path):
    folder_of(tmp_path, "llama", "llama", "LlamaForCausalLM", mask_token_id=20, auto_map="modeling_x.X")
    with pytest.raises(UserError, match="auto_map is 'modeling_x.X'"):
        load(tmp_path)


def test_sdlm_is_known_by_its_mask_without_a_block_size(tmp_path):
    folder_of(tmp_path, "qwen2", "qwen2", "Qwen2ForCausalLM", text_mask_token_id=20)
    assert facts_of(tmp_path) == ("sdlm", True, "context_causal", 4, 20)


def test_added_tokens_keep_the_ids_of_their_files_across_gaps(tmp_path):
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLM", eos_token_id=18)
    letters = [*"abcdefghijklmnop"]
    (tmp_path / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    decoder = {"18": {"content": "<|endoftext|>", "special": True}, "22": {"content": "<|MASK|>", "special": False}}
    config = {"added_tokens_decoder": decoder, "tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|endoftext|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    lm = load(tmp_path)
    assert lm.facts.mask_id == 22
    assert lm.tokenizer("ab<|MASK|>c<|endoftext|>")["input_ids"] == [0, 1, 22, 2, 18]
    lm.save(tmp_path / "saved")
    assert load(tmp_path / "saved").tokenizer("ab<|MASK|>")["input_ids"] == [0, 1, 22]


def test_a_fork_of_sdar_with_a_causal_prompt_is_refused(tmp_path):
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLM", mask_token_id=20, use_regular_causal=True)
    with pytest.raises(UserError, match="use_regular_causal=true"):
        load(tmp_path)


# Fields


ODD = {
    "attn_implementation": "flex_attention", "num_diffusion_steps": 10**7, "ep_size": 10**9, "fuse_cross_entropy": True,
    "num_train_samples": 10**8, "debug": False, "router_dtype": "fp32", "sliding_window": False, "rope_scaling": False,
    "image_size": {"height": 10**9}, "conplemenrary_mask": True, "model_max_length": 10**18, "causal_attn": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("stock", "model_type", "architecture"),
    [("qwen3", "sdar", "SDARForCausalLM"), ("qwen2", "Dream", "DreamModel"), ("qwen2", "qwen2", "Qwen2ForCausalLM")],
)
def test_odd_fields_change_nothing_and_are_not_saved(tmp_path, stock, model_type, architecture):
    plain = load(folder_of(tmp_path / "plain", stock, model_type, architecture, mask_token_id=20))
    odd = load(folder_of(tmp_path / "odd", stock, model_type, architecture, mask_token_id=20, **ODD))
    ids = torch.arange(6)[None]
    with torch.no_grad():
        assert torch.equal(odd.model(ids).logits, plain.model(ids).logits)
    odd.save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved/config.json").read_text())
    assert not set(saved) & (set(ODD) - {"sliding_window", "rope_scaling"})
    assert saved.get("sliding_window") in (None, False)


def test_sizes_that_a_family_reads_are_still_bounded(tmp_path):
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLM", mask_token_id=20, num_hidden_layers=10**7)
    with pytest.raises(UserError, match="expected at most .* for num_hidden_layers"):
        load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**LLADA, "mask_token_id": 20, "n_layers": 10**7}))
    with pytest.raises(UserError, match="expected at most .* for n_layers"):
        load(tmp_path)


# The mask token


@pytest.mark.parametrize(
    "spelling",
    ["<|mdm_mask|>", "<|mask|>", "<|MASK|>", "<MASK>", "[MASK]", "<mask>", "<M>", "|<MASK>|", "<[MASK_TOKEN]>",
     "<text_mask>"],
)  # fmt: skip
def test_spellings_of_the_mask_among_added_tokens(tmp_path, spelling):
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLM")
    tokenizer = plain_tokenizer("x1", "x2", spelling)
    tokenizer.save_pretrained(tmp_path)
    assert load(tmp_path).facts.mask_id == tokenizer.get_vocab()[spelling]


def test_an_error_says_where_a_mask_was_looked_for(tmp_path):
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLM")
    plain_tokenizer("x1").save_pretrained(tmp_path)
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    for looked in ("SDAR", "mask_token_id in config.json", "tokenizer's mask token", "151669", "24 rows", "mask_id=…"):
        assert looked in str(caught.value)


def test_the_familys_own_mask_is_taken_where_no_file_names_one(tmp_path):
    assert load(folder_of(tmp_path, "llama", "llama", "StableDiffcoderForCausalLM")).facts.mask_id == 5


def test_files_that_spell_the_mask_in_two_ways_agree_on_its_row(tmp_path):
    """As SDAR's: special_tokens_map.json says <MASK>, tokenizer_config.json <|MASK|>; slow files, no tokenizer.json."""
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLM", eos_token_id=18)
    letters = [*"abcdefghijklmnopqr", "<|endoftext|>", "<|im_end|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    added = {"<|endoftext|>": 18, "<|im_end|>": 19, "<MASK>": 20}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    names = ["<|im_end|>", "<MASK>"]
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"additional_special_tokens": names, "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"})
    )
    entry = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    decoder = {"18": "<|endoftext|>", "19": "<|im_end|>", "20": "<|MASK|>"}
    tokenizer_config = {
        "added_tokens_decoder": {
            key: {**entry, "content": name, "special": name != "<|MASK|>"} for key, name in decoder.items()
        },
        "additional_special_tokens": ["<|im_end|>", "<|MASK|>"], "mask_token": "<|MASK|>", "bos_token": None,
        "auto_map": {"AutoTokenizer": ["tokenization_qwen2.Qwen2Tokenizer", None]}, "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>", "tokenizer_class": "Qwen2Tokenizer", "unk_token": None, "errors": "replace",
    }  # fmt: skip
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    lm = load(tmp_path)
    assert (lm.facts.mask_id, lm.facts.added_rows) == (20, 0)
    assert max(lm.tokenizer.get_vocab().values()) < 24
    assert lm.tokenizer("ab<|MASK|>c")["input_ids"] == [0, 1, 20, 2]


def test_a_mask_beyond_the_table_is_refused_not_given_a_row(tmp_path):
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLM", mask_token_id=24)
    with pytest.raises(UserError, match="must be below the embedding's 24 rows, found 24"):
        load(tmp_path)


def test_a_known_family_gets_no_new_token(tmp_path):
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLM", mask_token_id=20)
    plain_tokenizer("x1", "x2", "<|mask|>").save_pretrained(tmp_path)
    with pytest.raises(UserError, match="'<new>' is not in the tokenizer of this SDAR checkpoint"):
        load(tmp_path, mask_token="<new>")
    lm = load(tmp_path, mask_token="x1")
    assert (lm.facts.mask_id, lm.facts.added_rows) == (18, 0)


# What the user says, and what the name says


def test_the_name_tells_dllms_block_diffusion(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    folder = folder_of(tmp_path / "Qwen3-0.6B-diffusion-bd3lm-v0.1", "qwen3", "a2d-qwen3", "A2DQwen3LMHeadModel")
    assert facts_of(folder, mask_id=20) == ("a2d_qwen3", False, "block_causal", 32, 20)
    assert "block-causal attention, for 'bd3lm' is in its name; nothing in its files tells" in caplog.text
    caplog.clear()
    assert facts_of(folder, mask_id=20, attention="bidirectional")[2] == "bidirectional"
    assert not caplog.text
    other = folder_of(tmp_path / "Qwen3-0.6B-diffusion-mdlm-v0.1", "qwen3", "a2d-qwen3", "A2DQwen3LMHeadModel")
    assert facts_of(other, mask_id=20)[2:4] == ("bidirectional", None)
    assert "full attention" in caplog.text


def test_the_user_outranks_the_family(tmp_path):
    folder_of(tmp_path, "qwen3", "sdar", "SDARForCausalLM", mask_token_id=20)
    flags = {"shift": True, "attention": "bidirectional", "block_size": 16, "mask_id": 21}
    assert facts_of(tmp_path, **flags) == ("sdar", True, "bidirectional", 16, 21)


# Folders that transformers or unmask saved


def test_a_plain_model_saved_by_transformers_still_loads(tmp_path):
    lm = load(ar_folder(tmp_path, "<|mask|>"))
    assert (lm.facts.family, lm.facts.shift, lm.facts.mask_id) == (None, True, 18)


def test_a_saved_model_is_known_by_its_facts(tmp_path):
    source = folder_of(tmp_path / "released", "llama", "llama", "StableDiffcoderForCausalLM", auto_map=CAUSAL)
    lm = load(source)
    lm.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.facts == lm.facts
    assert again.family == "Stable-DiffCoder"
    assert (again.facts.family, again.facts.source) == ("stable_diffcoder", str(source))
    edit_json(tmp_path / "saved/config.json", architectures=["SomeOtherName"])
    with pytest.raises(UserError, match=r"expected a list of names for architectures, \['UnmaskDiffusionLM'\]"):
        load(tmp_path / "saved")


def test_a_few_facts_do_not_make_a_foreign_checkpoint_ours(tmp_path):
    source = folder_of(tmp_path / "released", "llama", "llama", "FooDiffusion", unmask={"mask_id": 20})
    with pytest.raises(UserError, match="architectures\\[0\\] is 'FooDiffusion'"):
        load(source)


def test_a_folder_of_an_older_version_has_no_family(tmp_path):
    lm = load(folder_of(tmp_path / "released", "qwen3", "sdar", "SDARForCausalLM", mask_token_id=20))
    lm.save(tmp_path / "saved")
    config = json.loads((tmp_path / "saved/config.json").read_text())
    old = {key: value for key, value in config["unmask"].items() if key not in ("family", "source")}
    edit_json(tmp_path / "saved/config.json", unmask=old)
    again = load(tmp_path / "saved")
    assert (again.facts.family, again.facts.source) == (None, None)
    assert (again.facts.attention, again.facts.grid, again.facts.block_size) == ("block_causal", "text", 4)
