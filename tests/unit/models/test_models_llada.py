import pytest
import torch
from small_checkpoints import LLADA, answer, edit_json, llada_folder, llada_weights, plain_tokenizer, question
from torch.nn import functional as F  # noqa: N812
from transformers import AutoModelForCausalLM

from unmask.errors import UserError
from unmask.models import load
from unmask.models.export import export
from unmask.models.families.llama import RULES, convert

SHAPES = {
    "as released": {},
    "grouped keys": {"n_kv_heads": 2},
    "tied": {"weight_tying": True},
    "tied, one key head": {"weight_tying": True, "n_kv_heads": 1},
    "query, key and value biases": {"include_qkv_bias": True, "n_kv_heads": 2},
    "all biases but the norms'": {"include_bias": True, "bias_for_layer_norm": False, "weight_tying": True},
    "other base and epsilon": {"rope_theta": 100.0, "rms_norm_eps": 0.1},
}


def by_hand(weights, config, ids):
    """LLaDA's forward from the paper's description, one text, no library layers."""

    def linear(name, x):
        bias = weights.get(f"model.transformer.{name}.bias")
        out = x @ weights[f"model.transformer.{name}.weight"].T
        return out if bias is None else out + bias

    def norm(name, x):
        x = x / (x.pow(2).mean(-1, keepdim=True) + config["rms_norm_eps"]).sqrt()
        return x * weights[f"model.transformer.{name}.weight"]

    heads, d = config["n_heads"], config["d_model"] // config["n_heads"]
    groups = config["n_kv_heads"] or heads
    angle = torch.arange(len(ids))[:, None] * config["rope_theta"] ** (-torch.arange(0, d, 2) / d)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]  # [L, 1, d / 2]

    def turn(x):
        first, second = x[..., : d // 2], x[..., d // 2 :]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    table = weights["model.transformer.wte.weight"]
    x = table[ids]
    for n in range(config["n_layers"]):
        b = f"blocks.{n}"
        y = norm(f"{b}.attn_norm", x)
        q = turn(linear(f"{b}.q_proj", y).view(-1, heads, d))
        k = turn(linear(f"{b}.k_proj", y).view(-1, groups, d)).repeat_interleave(heads // groups, 1)
        v = linear(f"{b}.v_proj", y).view(-1, groups, d).repeat_interleave(heads // groups, 1)
        share = (torch.einsum("qhd,khd->hqk", q, k) / d**0.5).softmax(-1)
        x = x + linear(f"{b}.attn_out", torch.einsum("hqk,khd->qhd", share, v).flatten(1))
        y = norm(f"{b}.ff_norm", x)
        x = x + linear(f"{b}.ff_out", F.silu(linear(f"{b}.ff_proj", y)) * linear(f"{b}.up_proj", y))
    x = norm("ln_f", x)
    return x @ table.T if config["weight_tying"] else linear("ff_out", x)


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("shards", [1, 3])
def test_it_computes_what_llada_computes(tmp_path, changes, shards):
    config = {**LLADA, **changes}
    weights = llada_weights(config)
    lm = load(llada_folder(tmp_path, weights, shards=shards, **changes))
    query, at = question(lm)
    wanted = by_hand(weights, config, query.ids[0])[at[:, 1]]
    torch.testing.assert_close(answer(lm), wanted, rtol=1e-4, atol=1e-4)
    assert sum(p.numel() for p in lm.model.parameters()) == sum(w.numel() for w in weights.values())


def test_what_the_release_says_is_believed(tmp_path):
    lm = load(llada_folder(tmp_path))
    assert (lm.mask_id, lm.facts.shift, lm.facts.attention, lm.vocab_size) == (20, False, "bidirectional", 32)
    assert lm.family == "LLaDA"
    assert lm.facts.added_rows == 0


def test_the_end_of_a_turn_is_not_the_filler(tmp_path):
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|eot_id|>{% endfor %}assistant: "
    tokenizer = plain_tokenizer("<|eot_id|>", "x1", "<|mdm_mask|>", chat_template=template)
    lm = load(llada_folder(tmp_path, tokenizer=tokenizer))
    assert lm.eos_ids == (18, 17)
    assert lm.filler_id == 17


def test_exported_it_is_a_stock_llama(tmp_path):
    lm = load(llada_folder(tmp_path / "llada", weight_tying=True))
    export(lm, tmp_path / "stock", to="transformers")
    model, report = AutoModelForCausalLM.from_pretrained(tmp_path / "stock", output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    query, at = question(lm)
    with torch.no_grad():
        assert torch.equal(model(input_ids=query.ids).logits[0, at[:, 1]], answer(lm))
    assert load(tmp_path / "stock").facts == lm.facts


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_weights_take_the_dtype_that_is_asked_for(tmp_path, dtype):
    lm = load(llada_folder(tmp_path), dtype=dtype)
    assert {w.dtype for w in lm.model.parameters()} == {torch.bfloat16 if dtype else torch.float32}
    assert lm.model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert lm.model.dtype == next(lm.model.parameters()).dtype


@pytest.mark.parametrize(
    ("drop", "add", "named"),
    [
        ("blocks.1.ff_out.weight", None, "missing: model.layers.1.mlp.down_proj.weight"),
        ("ff_out.weight", None, "missing: lm_head.weight"),
        (None, "blocks.0.att_proj.weight", "unexpected: model.transformer.blocks.0.att_proj.weight"),
        (None, "blocks.2.q_proj.weight", "unexpected: model.transformer.blocks.2.q_proj.weight"),
        (None, "blocks.0.q_proj.bias", "unexpected: model.transformer.blocks.0.q_proj.bias"),
        (None, "wpe.weight", "unexpected: model.transformer.wpe.weight"),
    ],
)
def test_nothing_may_be_missing_or_left_over(tmp_path, drop, add, named):
    weights = llada_weights(LLADA)
    if drop:
        del weights[f"model.transformer.{drop}"]
    if add:
        weights[f"model.transformer.{add}"] = torch.zeros(32, 32)
    with pytest.raises(UserError, match="exactly the weights of a LLaDA model") as error:
        load(llada_folder(tmp_path, weights))
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_a_weight_of_another_shape_is_named(tmp_path):
    weights = llada_weights(LLADA)
    weights["model.transformer.blocks.0.up_proj.weight"] = torch.zeros(40, 32)
    with pytest.raises(UserError, match=r"up_proj.weight of shape \(48, 32\), found .* \(40, 32\)"):
        load(llada_folder(tmp_path, weights))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"alibi": True}, "alibi=False only, found True"),
        ({"rope": False}, "rope=True only, found False"),
        ({"block_type": "sequential"}, "block_type='llama' only, found 'sequential'"),
        ({"activation_type": "swiglu"}, "activation_type='silu'"),
        ({"layer_norm_type": "default"}, "layer_norm_type='rms'"),
        ({"attention_layer_norm": True}, "attention_layer_norm=False"),
        ({"scale_logits": True}, "scale_logits=False"),
        ({"input_emb_norm": True}, "input_emb_norm=False"),
        ({"block_group_size": 2}, "block_group_size=1"),
        ({"include_bias": True}, "norms have no bias"),
        ({"bias_for_layer_norm": True}, "norms have no bias"),
        ({"include_bias": True, "bias_for_layer_norm": False}, "LM head has no bias"),
    ],
)
def test_what_stock_llama_cannot_compute_is_refused(tmp_path, changes, named):
    with pytest.raises(UserError, match=named):
        load(llada_folder(tmp_path, llada_weights(LLADA), **changes))


@pytest.mark.parametrize("field", ["block_type", "activation_type", "layer_norm_type", "rope"])
def test_an_absent_field_means_what_the_release_takes_it_to_mean(tmp_path, field):
    folder = llada_folder(tmp_path)
    edit_json(folder / "config.json", **{field: None})
    with pytest.raises(UserError, match=field):
        load(folder)


def test_sizes_that_are_absent_are_derived():
    config = {**LLADA, "mlp_hidden_size": None, "mlp_ratio": 3, "embedding_size": None, "multi_query_attention": True}
    _, fields = convert(config)
    assert fields["intermediate_size"] == 96
    assert fields["vocab_size"] == 30
    assert fields["num_key_value_heads"] == 1


def test_a_missing_size_is_named(tmp_path):
    folder = llada_folder(tmp_path)
    edit_json(folder / "config.json", d_model=None)
    with pytest.raises(UserError, match="d_model"):
        load(folder)


def test_names():
    names = {
        "model.transformer.blocks.0.ff_proj.weight": "model.layers.0.mlp.gate_proj.weight",
        "model.transformer.blocks.11.attn_out.bias": "model.layers.11.self_attn.o_proj.bias",
        "model.transformer.blocks.3.ff_out.weight": "model.layers.3.mlp.down_proj.weight",
        "model.transformer.ff_out.weight": "lm_head.weight",
        "model.transformer.wte.weight": "model.embed_tokens.weight",
    }
    shapes = dict.fromkeys(names.values(), (2, 2))
    assert {name: RULES.targets(name, shapes)[0].name for name in names} == names
    assert RULES.released(shapes) == list(names)
    assert RULES.targets("model.layers.0.mlp.gate_proj.weight", shapes) is None
