"""Reads and writes .gguf files of diffusion language models: llama.cpp's dream, llada, llada-moe and rnd1."""

import struct

import gguf
import numpy as np
import pytest
import torch
from small_checkpoints import answer, plain_tokenizer, random_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config, Qwen3MoeConfig

from unmask.errors import UserError
from unmask.models import LoraSpec, add_lora, describe, load
from unmask.models.checkpoints import locate
from unmask.models.gguf_file import check_gguf
from unmask.models.gguf_tokenizer import _cutter
from unmask.models.gguf_write import family_for, write_gguf
from unmask.models.inspect import describe_gguf

ROWS = 320
SPECIAL = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
TEXT = [
    "the shift: a model that writes from left to right predicts column 12 from column 11; it's 3.14 'tis",
    "def f(x):\n\treturn x[0]\n\n\nthe END  of é日本 WE'LL isn't",
] * 4
STRINGS = [
    *TEXT[:2], "  x", "a\r\n\r\n b", "1234567", "it's I'LL", "e\u0301", "🚀 ~~", "<|im_end|>x<think> <|mask|>", "",
    "<|im", "\n\n\n",
]  # fmt: skip
SHAPE = {
    "vocab_size": ROWS, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "max_position_embeddings": 64, "initializer_range": 0.2, "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16}
STOCK = {
    "dream": (Qwen2Config, {}, "qwen2", True),
    "llada": (LlamaConfig, {}, "llama-bpe", False),
    "llada_moe": (Qwen3MoeConfig, {**EXPERTS, "norm_topk_prob": False}, "llada-moe", False),
    "rnd1": (Qwen3MoeConfig, {**EXPERTS, "norm_topk_prob": True}, "qwen2", True),
}


def byte_tokenizer(split, **changes):
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = _cutter(split), decoders.ByteLevel()
    if split == "qwen2":
        inner.normalizer = normalizers.NFC()
    letters = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=300, initial_alphabet=letters, show_progress=False))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, clean_up_tokenization_spaces=False, **{**SPECIAL, "mask_token": "<|mask|>", **changes}
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.add_tokens(["<think>"])
    tokenizer.chat_template = CHAT
    return tokenizer


def loaded(folder, family, tokenizer=None, config=None, **given):
    kind, fields, split, shift = STOCK[family]
    model = random_model((config or kind)(**{**SHAPE, **fields}))
    with torch.no_grad():  # stock classes start biases at 0 and norms at 1, where an exchange would not show
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))), alpha=0.3)
    model.save_pretrained(folder)
    tokenizer = tokenizer or byte_tokenizer(split)
    tokenizer.save_pretrained(folder)
    lm = load(folder, **{"shift": shift, "attention": "bidirectional", **given})
    lm.tokenizer = tokenizer  # transformers reads that of any Qwen folder as one that cuts text as Qwen's does
    return lm


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Each family's model, and its file in float32."""
    folder = tmp_path_factory.mktemp("gguf")
    models_ = {family: loaded(folder / family, family) for family in STOCK}
    return {f: (lm, write_gguf(lm, folder / f"{f}.gguf", family=f, dtype="f32")) for f, lm in models_.items()}


@pytest.mark.parametrize("family", STOCK)
def test_float32_comes_back_bit_for_bit(written, family):
    lm, file = written[family]
    again = load(file)
    ours, theirs = lm.stock.state_dict(), again.stock.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(answer(again), answer(lm))
    assert (again.facts.family, again.facts.shift) == (family, STOCK[family][3])
    assert again.facts.attention == "bidirectional"
    assert (again.mask_id, again.eos_ids, again.filler_id) == (lm.mask_id, lm.eos_ids, lm.filler_id)
    assert type(again.stock) is type(lm.stock)


@pytest.mark.parametrize("family", STOCK)
def test_its_head_tells_what_the_whole_file_does(written, family):
    _, file = written[family]
    assert describe_gguf(locate(file), device="cpu") == describe(load(file, device="cpu"))


@pytest.mark.parametrize("family", STOCK)
def test_its_tokenizer_comes_back(written, family):
    lm, file = written[family]
    again = load(file).tokenizer
    for text in STRINGS:
        ids = lm.tokenizer(text)["input_ids"]
        assert again(text)["input_ids"] == ids, text
        assert again.decode(ids) == lm.tokenizer.decode(ids)
    assert again.chat_template == CHAT
    assert again.get_vocab() == lm.tokenizer.get_vocab()
    special = ("bos_token_id", "eos_token_id", "pad_token_id", "mask_token_id")
    assert [getattr(again, name) for name in special] == [getattr(lm.tokenizer, name) for name in special]
    assert {i: (t.content, t.special) for i, t in again.added_tokens_decoder.items()} == {
        i: (t.content, t.special) for i, t in lm.tokenizer.added_tokens_decoder.items()
    }
    assert check_gguf(file).values["tokenizer.ggml.pre"] == STOCK[family][2]


@pytest.mark.parametrize("split", ["gpt-2", "smollm"])
def test_other_ways_of_cutting_text_have_their_names(tmp_path, split):
    lm = loaded(tmp_path / "m", "dream", tokenizer=byte_tokenizer(split))
    file = write_gguf(lm, tmp_path / "m.gguf", family="dream", dtype="f32")
    assert check_gguf(file).values["tokenizer.ggml.pre"] == split
    again = load(file).tokenizer
    assert [again(t)["input_ids"] for t in STRINGS] == [lm.tokenizer(t)["input_ids"] for t in STRINGS]


SMALLER = [("f16", "F16", 0.01), ("bf16", "BF16", 0.1), ("q8_0", "Q8_0", 0.5)]


@pytest.mark.parametrize(("dtype", "kind", "most"), SMALLER)
def test_smaller_types_round_matrices_and_nothing_else(written, tmp_path, dtype, kind, most):
    lm, _ = written["llada_moe"]
    file = write_gguf(lm, tmp_path / "m.gguf", family="llada_moe", dtype=dtype)
    kinds = {name: gguf.GGMLQuantizationType(t.kind).name for name, t in check_gguf(file).tensors.items()}
    assert {n for n, k in kinds.items() if k == "F32"} == {n for n in kinds if "norm" in n or "gate_inp" in n}
    assert set(kinds.values()) == {"F32", kind}
    again = load(file)
    for name, weight in lm.stock.state_dict().items():
        found = again.stock.state_dict()[name]
        if "norm" in name or name.endswith("gate.weight"):
            assert torch.equal(found, weight), name
        elif dtype != "q8_0":
            assert torch.equal(found, weight.to({"f16": torch.float16, "bf16": torch.bfloat16}[dtype]).float()), name
        else:  # blocks of 32 share a step of their largest value / 127, itself rounded to float16
            step = weight.reshape(-1, 32).abs().amax(1, keepdim=True) / 127
            assert ((found - weight).reshape(-1, 32).abs() <= 0.57 * step).all(), name
    difference = (answer(again) - answer(lm)).abs().max()
    assert 0 < difference < most


def test_bfloat16_weights_stay_the_same_bits(tmp_path):
    lm = loaded(tmp_path / "m", "dream", dtype="bfloat16")
    again = load(write_gguf(lm, tmp_path / "m.gguf", family="dream", dtype="bf16"), dtype="bfloat16")
    assert all(torch.equal(w, again.stock.state_dict()[n]) for n, w in lm.stock.state_dict().items())


def test_rows_that_blocks_of_32_do_not_fill_are_float16(tmp_path):
    lm = loaded(tmp_path / "m", "dream", config=lambda **f: Qwen2Config(**{**f, "intermediate_size": 80}))
    tensors = check_gguf(write_gguf(lm, tmp_path / "m.gguf", family="dream", dtype="q8_0")).tensors
    assert gguf.GGMLQuantizationType(tensors["blk.0.ffn_down.weight"].kind).name == "F16"
    assert gguf.GGMLQuantizationType(tensors["blk.0.ffn_up.weight"].kind).name == "Q8_0"


def arrays(file):
    """The float32 tensors of a file, by the gguf package's own reader."""
    return {t.name: t.data.copy() for t in gguf.GGUFReader(file).tensors}


def test_rows_of_query_and_key_of_llada_are_neighbouring_pairs(written):
    lm, file = written["llada"]
    stored, layer = arrays(file), lm.stock.state_dict()
    # 4 heads of 16 rows: rows 0 and 8 of each head turn together, so they are written as rows 0 and 1, and so on.
    order = [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]
    query = [16 * head + row for head in range(4) for row in order]
    for n in range(2):
        prefix = f"model.layers.{n}.self_attn"
        assert np.array_equal(stored[f"blk.{n}.attn_q.weight"], layer[f"{prefix}.q_proj.weight"][query].numpy())
        assert np.array_equal(stored[f"blk.{n}.attn_k.weight"], layer[f"{prefix}.k_proj.weight"][query[:32]].numpy())
        assert np.array_equal(stored[f"blk.{n}.attn_v.weight"], layer[f"{prefix}.v_proj.weight"].numpy())


def test_rows_of_the_others_are_in_the_stock_order_and_experts_are_three_stacks(written):
    for family in ("dream", "llada_moe", "rnd1"):
        lm, file = written[family]
        stored, layer = arrays(file), lm.stock.state_dict()
        query = layer["model.layers.1.self_attn.q_proj.weight"]
        assert np.array_equal(stored["blk.1.attn_q.weight"], query.numpy())
    experts = "model.layers.1.mlp.experts"
    assert stored["blk.1.ffn_gate_exps.weight"].shape == (4, 32, 64)
    assert np.array_equal(stored["blk.1.ffn_gate_exps.weight"], layer[f"{experts}.gate_up_proj"][:, :32].numpy())
    assert np.array_equal(stored["blk.1.ffn_up_exps.weight"], layer[f"{experts}.gate_up_proj"][:, 32:].numpy())
    assert np.array_equal(stored["blk.1.ffn_down_exps.weight"], layer[f"{experts}.down_proj"].numpy())


def test_keys_are_those_that_llama_cpp_reads(written):
    values = check_gguf(written["llada_moe"][1]).values
    assert values["general.architecture"] == "llada-moe"
    wanted = {
        "block_count": 2, "context_length": 64, "embedding_length": 64, "feed_forward_length": 96,
        "attention.head_count": 4, "attention.head_count_kv": 2, "attention.causal": False, "vocab_size": ROWS,
        "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 32,
    }  # fmt: skip
    assert {key: values[f"llada-moe.{key}"] for key in wanted} == wanted
    assert values["llada-moe.rope.freq_base"] == 500.0
    assert values["llada-moe.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-6)
    assert values["diffusion.shift_logits"] is False
    assert values["tokenizer.ggml.mask_token_id"] == written["llada_moe"][0].mask_id
    tokens = values["tokenizer.ggml.tokens"]
    assert len(tokens) == ROWS
    assert values["tokenizer.ggml.token_type"][tokens.index("<|im_end|>")] == 3
    assert values["tokenizer.ggml.token_type"][tokens.index("<think>")] == 4
    assert (tokens[-1], values["tokenizer.ggml.token_type"][-1]) == (f"[PAD{ROWS - 1}]", 5)


def rewritten(file, out, changes=(), drop=(), tensors=None):
    """Copy a file by the gguf package, with other values of some keys; None leaves one out."""
    reader, changes = gguf.GGUFReader(file), dict(changes)
    writer = gguf.GGUFWriter(out, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value = changes.pop(key, field.contents())
        if value is not None:
            kinds = field.types
            writer.add_key_value(key, value, kinds[0], sub_type=kinds[-1] if len(kinds) > 1 else None)
    for key, value in changes.items():
        kind = {bool: "BOOL", int: "UINT32", float: "FLOAT32", str: "STRING"}[type(value)]
        writer.add_key_value(key, value, gguf.GGUFValueType[kind])
    for name, data in (arrays(file) | (tensors or {})).items():
        if name not in drop:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def test_without_the_key_dream_is_shifted_and_llada_is_not(written, tmp_path):
    for family, shift in (("dream", True), ("llada", False), ("llada_moe", False)):
        file = rewritten(written[family][1], tmp_path / f"{family}.gguf", {"diffusion.shift_logits": None})
        assert load(file).facts.shift is shift
    file = rewritten(written["dream"][1], tmp_path / "off.gguf", {"diffusion.shift_logits": False})
    assert load(file).facts.shift is False


def test_the_mask_is_the_files_or_that_of_its_tokens(written, tmp_path):
    key = "tokenizer.ggml.mask_token_id"
    mask_id = written["llada"][0].mask_id
    assert load(rewritten(written["llada"][1], tmp_path / "a.gguf", {key: 5})).mask_id == 5
    assert load(rewritten(written["llada"][1], tmp_path / "b.gguf", {key: None})).mask_id == mask_id
    # llama.cpp's converter writes the released id into every LLaDA-MoE file, also where there is no such row.
    assert load(rewritten(written["llada_moe"][1], tmp_path / "c.gguf", {key: 156895})).mask_id == mask_id


def test_fused_queries_keys_and_values_and_tied_heads_are_read(written, tmp_path):
    lm, file = written["llada"]
    stored = arrays(file)
    fused = {
        f"blk.{n}.attn_qkv.weight": np.concatenate([stored[f"blk.{n}.attn_{x}.weight"] for x in "qkv"]) for n in (0, 1)
    }
    apart = [f"blk.{n}.attn_{x}.weight" for n in (0, 1) for x in "qkv"]
    again = load(rewritten(file, tmp_path / "a.gguf", drop=apart, tensors=fused))
    assert torch.equal(answer(again), answer(lm))
    tied = load(rewritten(file, tmp_path / "b.gguf", drop=["output.weight"]))
    assert tied.stock.get_output_embeddings().weight is tied.stock.get_input_embeddings().weight
    file = write_gguf(tied, tmp_path / "c.gguf", family="llada", dtype="f32")
    assert "output.weight" not in check_gguf(file).tensors
    assert torch.equal(answer(load(file)), answer(tied))


def test_a_llada_with_biases_on_query_key_and_value_is_qwen2(tmp_path):
    lm = loaded(tmp_path / "m", "llada", config=Qwen2Config)
    again = load(write_gguf(lm, tmp_path / "m.gguf", family="llada", dtype="f32"))
    assert again.stock.config.model_type == "qwen2"
    assert torch.equal(answer(again), answer(lm))


ODD = {
    "expected a whole number from 1 as dream.block_count": {"dream.block_count": None},
    "at most": {"dream.embedding_length": 2**30},
    "of shape (320, 32)": {"dream.embedding_length": 32, "dream.attention.key_length": None,
                          "dream.attention.value_length": None, "dream.rope.dimension_count": None},
    "missing: model.layers.2.": {"dream.block_count": 3},
    "heads in whole groups": {"dream.attention.head_count_kv": 3},
    "dream.rope.scaling.type='yarn'": {"dream.rope.scaling.type": "yarn"},
    "dream.attention.causal=True": {"dream.attention.causal": True},
    "expected a number above 0 as dream.rope.freq_base": {"dream.rope.freq_base": float("nan")},
    "is one of 4 parts": {"split.count": 4},
    "found 1 types": {"tokenizer.ggml.token_type": [1]},
    "expected two pieces in each merge": {"tokenizer.ggml.merges": ["ab"]},
}  # fmt: skip


@pytest.mark.parametrize("says", ODD)
def test_an_odd_file_is_refused_in_a_line(written, tmp_path, says):
    with pytest.raises(UserError) as refused:
        load(rewritten(written["dream"][1], tmp_path / "odd.gguf", ODD[says]))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_cut_off_anywhere_is_refused(written, tmp_path):
    whole = written["llada_moe"][1].read_bytes()
    for length in (3, 20, 300, 5_000, len(whole) // 2, len(whole) - 200):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(UserError, match="cut"):
            load(tmp_path / "cut.gguf")


def test_a_tensor_of_an_unknown_type_is_refused(written, tmp_path):
    raw = bytearray(written["dream"][1].read_bytes())
    name = b"blk.0.ffn_up.weight"
    at = raw.index(struct.pack("<Q", len(name)) + name) + 8 + len(name) + 4 + 2 * 8
    raw[at : at + 4] = struct.pack("<I", 999)
    (tmp_path / "odd.gguf").write_bytes(raw)
    with pytest.raises(UserError, match="in the type 999"):
        load(tmp_path / "odd.gguf")


def test_what_llama_cpp_would_decode_otherwise_is_not_written(written, tmp_path):
    out = tmp_path / "m.gguf"

    def refused(lm, family, says, dtype="f16"):
        with pytest.raises(UserError, match=says):
            write_gguf(lm, out, family=family, dtype=dtype)
        assert not list(tmp_path.glob("*.gguf*"))
        assert not list(tmp_path.glob(".*"))

    dream = written["dream"][0]
    refused(dream, "sdar", "decodes no models of the family 'sdar'")
    refused(dream, "llada_moe", "computes qwen3_moe models, found qwen2; write it as dream or llada")
    refused(written["rnd1"][0], "llada_moe", "norm_topk_prob=False only, found True")
    refused(dream, "dream", "gguf dtype must be f32, f16, bf16, q8_0", dtype="q4_0")
    refused(loaded(tmp_path / "q3", "dream", config=Qwen3Config), "dream", "no diffusion architecture for it")
    blocks = loaded(tmp_path / "b", "dream", attention="block_causal", block_size=4)
    refused(blocks, "dream", "found attention=block_causal")
    adapted = add_lora(loaded(tmp_path / "a", "dream"), LoraSpec(rank=2))
    refused(adapted, "dream", "merge them first")
    large = loaded(tmp_path / "l", "dream")
    large.stock.lm_head.weight.data[3, 3] = 70_000.0
    refused(large, "dream", "output.weight holds 7e\\+04, which float16 cannot; write dtype bf16 or f32")


def test_the_layout_follows_from_the_family_or_the_stock_class(written, tmp_path):
    assert {family: family_for(lm) for family, (lm, _) in written.items()} == {family: family for family in STOCK}
    read = load(written["llada"][1])
    assert family_for(read) == "llada"
    as_qwen = load(write_gguf(loaded(tmp_path / "m", "llada", config=Qwen2Config), tmp_path / "m.gguf", family="llada"))
    assert family_for(as_qwen) == "llada"
    with pytest.raises(UserError, match="no diffusion architecture for qwen3 models; it has for llama, qwen2"):
        family_for(loaded(tmp_path / "q3", "dream", config=Qwen3Config))


@pytest.mark.parametrize(("long", "short"), [("float32", "f32"), ("float16", "f16"), ("bfloat16", "bf16")])
def test_both_names_of_a_type_mean_the_same(written, tmp_path, long, short):
    lm = written["dream"][0]
    files = [write_gguf(lm, tmp_path / name / "m.gguf", family="dream", dtype=name) for name in (long, short)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_failure_leaves_the_older_file(tmp_path):
    lm = loaded(tmp_path / "m", "dream")
    file = write_gguf(lm, tmp_path / "m.gguf", family="dream")
    before = file.read_bytes()
    lm.stock.model.norm.weight.data[0] = float("nan")
    with pytest.raises(UserError, match="output_norm.weight holds numbers that are not finite"):
        write_gguf(lm, file, family="dream")
    assert file.read_bytes() == before


def test_a_tokenizer_of_another_kind_is_left_out_with_a_warning(tmp_path, caplog):
    lm = loaded(tmp_path / "m", "llada", tokenizer=plain_tokenizer("<|mask|>"), mask_token="<|mask|>")
    file = write_gguf(lm, tmp_path / "m.gguf", family="llada", dtype="f32")
    assert "not byte-level BPE" in caplog.text
    again = load(file)
    assert again.tokenizer is None
    assert again.mask_id == lm.mask_id
    assert torch.equal(answer(again), answer(lm))


def test_a_tokenizer_of_another_kind_is_not_read_and_the_log_says_so(written, tmp_path, caplog):
    lm, file = written["dream"]
    again = load(rewritten(file, tmp_path / "m.gguf", {"tokenizer.ggml.model": "bert"}))
    assert "of the kind 'bert', not byte-level BPE" in caplog.text
    assert again.tokenizer is None
    assert torch.equal(answer(again), answer(lm))


def test_it_can_be_adapted_and_saved(written, tmp_path):
    lm = add_lora(load(written["llada"][1]), LoraSpec(rank=2))
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.05)
    lm.save(tmp_path / "adapter")
    again = load(tmp_path / "adapter")
    assert torch.equal(answer(again), answer(lm))
    assert not torch.equal(answer(again), answer(written["llada"][0]))
    whole = load(written["llada"][1])
    whole.save(tmp_path / "folder")
    folder = load(tmp_path / "folder")
    assert folder.facts == whole.facts
    assert torch.equal(answer(folder), answer(whole))


def test_a_start_token_that_the_tokenizer_sets_is_set_again(tmp_path):
    from tokenizers import processors

    tokenizer = byte_tokenizer("llama-bpe")
    start = ("<|startoftext|>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=[start[0], "$A"], special_tokens=[start]
    )
    lm = loaded(tmp_path / "m", "llada", tokenizer=tokenizer)
    file = write_gguf(lm, tmp_path / "m.gguf", family="llada", dtype="f32")
    assert check_gguf(file).values["tokenizer.ggml.add_bos_token"] is True
    assert load(file).tokenizer("the")["input_ids"] == lm.tokenizer("the")["input_ids"]
    assert load(file).tokenizer("the")["input_ids"][0] == start[1]
