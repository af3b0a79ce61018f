"""Reads .gguf files: one that the test writes, and a real one where the environment names it."""

import os
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from small_checkpoints import answer, llama_config, question, random_model
from transformers import AutoModelForCausalLM

from unmask.cli.opening import open_tokenizer
from unmask.core.attention_rules import Causal
from unmask.errors import UserError
from unmask.models import LoraSpec, add_lora, describe, load
from unmask.models.checkpoints import locate
from unmask.models.export import export
from unmask.models.inspect import describe_gguf
from unmask.models.preflight import preflight
from unmask.recipes.check import check

REAL = os.environ.get("UNMASK_SMOLLM2_GGUF")
TOKENS = [*"0123456789abcdef", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "Ċ", "01"]
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
LAYER = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def interleave(weight, heads):
    """Order the rows of a projection as gguf does: it turns neighbouring pairs, transformers turns halves."""
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def write_gguf(file, model):
    c = model.config
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_vocab_size(c.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3 if t.startswith("<|") else 1 for t in TOKENS])
    writer.add_token_merges(["0 1"])
    writer.add_bos_token_id(17)
    writer.add_eos_token_id(18)
    writer.add_chat_template(CHAT)
    weights = model.state_dict()
    tensors = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    for n in range(c.num_hidden_layers):
        tensors |= {f"blk.{n}.{ours}": f"model.layers.{n}.{theirs}" for ours, theirs in LAYER.items()}
    for ours, theirs in tensors.items():
        weight = weights[f"{theirs}.weight"]
        if ours.endswith(("attn_q", "attn_k")):
            heads = c.num_attention_heads if ours.endswith("q") else c.num_key_value_heads
            weight = interleave(weight, heads)
        writer.add_tensor(f"{ours}.weight", weight.numpy().astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    model = random_model(llama_config(len(TOKENS), num_key_value_heads=2))
    return write_gguf(tmp_path_factory.mktemp("gguf") / "small.gguf", model), model


def test_its_weights_tokens_and_ends(small):
    file, model = small
    lm = load(file)
    assert lm.mask_id == len(TOKENS)
    assert (lm.facts.added_rows, lm.facts.shift) == (1, True)
    assert lm.eos_ids == (18, 16)
    assert lm.filler_id == 16
    assert lm.tokenizer.chat_template == CHAT
    assert lm.tokenizer.decode(lm.tokenizer("4a<|im_end|>")["input_ids"]) == "4a<|im_end|>"
    query, at = question(lm, prompt=(1, 2, 3, 4, 5, 6), canvas=1)
    with torch.no_grad():
        got = lm.logits(type(query)(ids=query.ids, columns=query.columns, rule=Causal()), at)
        wanted = model(input_ids=query.ids[:, :-1]).logits[:, -1]
    torch.testing.assert_close(got[:, : len(TOKENS)], wanted, rtol=1e-4, atol=1e-5)


def test_saved_it_is_a_plain_folder(small, tmp_path):
    lm = load(small[0])
    lm.save(tmp_path / "native")
    again = load(tmp_path / "native")
    assert again.facts == lm.facts
    assert torch.equal(answer(again), answer(lm))
    export(lm, tmp_path / "plain", to="transformers")
    assert not hasattr(AutoModelForCausalLM.from_pretrained(tmp_path / "plain").config, "quantization_config")


def test_adapters_find_their_gguf_base(small, tmp_path):
    lm = add_lora(load(small[0]), LoraSpec(rank=2))
    lm.save(tmp_path)
    assert torch.equal(answer(load(tmp_path)), answer(lm))


def test_a_folder_that_holds_one_says_so(small):
    with pytest.raises(UserError, match=r"small\.gguf: write the path of that file"):
        load(small[0].parent)


def test_a_broken_file_is_refused(tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + b"\x00" * 64)
    with pytest.raises(UserError, match=r"cannot read 'broken\.gguf'"):
        load(tmp_path / "broken.gguf")


@pytest.mark.skipif(not REAL, reason="UNMASK_SMOLLM2_GGUF does not name SmolLM2-135M-Instruct.Q4_1.gguf (98 MB)")
def test_a_real_chat_model_reads_on_causally_and_reloads(tmp_path):
    lm = load(REAL)
    facts = describe(lm)
    assert facts["mask"] == {"id": 49152, "token": "<|mask|>"}
    assert [e["token"] for e in facts["eos"]] == ["<|im_end|>", "<|endoftext|>"]
    assert facts["filler"]["token"] == "<|endoftext|>"
    assert facts["chat_template"]
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = lm.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
    gold = lm.tokenizer("The capital of France is Paris.<|im_end|>")["input_ids"]
    query, at = question(lm, prompt=prompt, canvas=len(gold))
    ids = query.ids.clone()
    ids[0, len(prompt) :] = torch.tensor(gold)
    query = type(query)(ids=ids, columns=query.columns, rule=Causal())
    stock = AutoModelForCausalLM.from_pretrained(Path(REAL).parent, gguf_file=Path(REAL).name, dtype=torch.float32)
    with torch.no_grad():
        got = lm.logits(query, at)
        wanted = stock.eval()(input_ids=ids).logits[0, at[:, 1] - 1]
    torch.testing.assert_close(got[:, :49152], wanted, rtol=1e-4, atol=1e-3)
    assert got.argmax(-1).tolist() == gold
    lm.save(tmp_path)
    assert torch.equal(answer(load(tmp_path)), answer(lm))


@pytest.fixture
def unread(monkeypatch):
    """Fail if a tensor is unpacked."""

    def refuse(*_, **__):
        raise AssertionError("a weight was read")

    monkeypatch.setattr(gguf, "dequantize", refuse)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", refuse)


def test_its_head_tells_the_facts_and_tokens_that_the_whole_file_does(small, request):
    lm = load(small[0], device="cpu")
    whole = describe(lm)
    request.getfixturevalue("unread")
    assert describe_gguf(locate(small[0]), device="cpu") == whole
    seen = preflight(locate(small[0]))
    assert seen.problems == []
    assert (seen.ends.eos_ids, seen.ends.filler_id) == (lm.eos_ids, lm.filler_id)
    assert (seen.block_size, seen.grid, seen.mask_id) == (lm.facts.block_size, lm.facts.grid, None)
    assert (seen.traits, sum(weight.numel() for weight in seen.model.parameters())) == (
        lm.traits, whole["parameters"] - sum(weight.shape[1] for weight in _tables(lm)),
    )  # fmt: skip
    tokenizer, ends, _, size, grid = open_tokenizer(str(small[0]))  # what preview asks
    assert (len(tokenizer), ends, size, grid) == (len(TOKENS), seen.ends, seen.block_size, seen.grid)
    text = "<|im_start|>4a01 0\n<|im_end|>"
    assert seen.tokenizer(text)["input_ids"] == lm.tokenizer(text)["input_ids"]
    assert seen.tokenizer.chat_template == lm.tokenizer.chat_template


def _tables(lm):
    """Return the embedding and, where it is another one, the head: each got a row for the mask token."""
    return {
        id(w): w for w in (lm.model.get_input_embeddings().weight, lm.model.get_output_embeddings().weight)
    }.values()


def test_a_recipe_with_one_is_checked_without_its_weights(small, unread, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "1", "completion": "2"}\n{"prompt": 3}\n')
    recipe = {"model": {"path": str(small[0])}, "data": {"path": str(rows)}, "run": {"steps": 1, "batch_size": 1}}
    found = check({**recipe, "objective": "blockwise"})
    assert any("rows.jsonl:2" in problem for problem in found.problems), found
    found = check({**recipe, "model": {"path": str(small[0]), "lora": {"targets": ["nothing"]}}})
    assert any(problem.startswith("model: ") for problem in found.problems), found


def test_a_damaged_head_is_a_problem_of_the_recipe(small, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(small[0].read_bytes()[:200])
    (problem, *_) = preflight(locate(cut)).problems
    assert "cut.gguf" in problem
    with pytest.raises(UserError, match=r"cut\.gguf"):
        describe_gguf(locate(cut))


@pytest.mark.skipif(not REAL, reason="UNMASK_SMOLLM2_GGUF does not name SmolLM2-135M-Instruct.Q4_1.gguf (98 MB)")
def test_the_head_of_a_real_one_tells_the_same():
    lm = load(REAL, device="cpu")
    assert describe_gguf(locate(REAL), device="cpu") == describe(lm)
    text = "Hello, world 123\n isn't é <|im_end|>"
    assert preflight(locate(REAL)).tokenizer(text)["input_ids"] == lm.tokenizer(text)["input_ids"]
