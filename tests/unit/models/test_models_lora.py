import json

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from small_checkpoints import answer, ar_folder, edit_json, plain_tokenizer, question, random_model
from transformers import AutoModelForCausalLM, GPT2Config

from unmask.errors import UserError
from unmask.models import LoraSpec, ScratchSpec, add_lora, describe, from_scratch, load, merge, tokens
from unmask.models.export import export
from unmask.models.lora import adapted_layers

ALL = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def step(lm, count=3):
    """Train a little, so that nothing is at its start any more."""
    optimizer = torch.optim.AdamW([w for w in lm.model.parameters() if w.requires_grad], lr=1e-2)
    query, at = question(lm)
    for _ in range(count):
        lm.score(query, at, torch.full((len(at),), 7)).nll.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return lm


def adapted(folder, *, lora=None, **flags):
    return add_lora(load(folder, **flags), LoraSpec(rank=2, **(lora or {})))


def last_parts(lm):
    return {name.rpartition(".")[2] for name in adapted_layers(lm.model)}


@pytest.mark.parametrize("tie", [True, False])
def test_all_linear_is_every_layer_but_the_head(tmp_path, tie):
    lm = adapted(ar_folder(tmp_path, tie_word_embeddings=tie))
    assert last_parts(lm) == ALL
    assert len(adapted_layers(lm.model)) == 7 * 2


@pytest.mark.parametrize(
    ("targets", "count"),
    [
        (("q_proj",), 2),
        (("q_proj", "down_proj"), 4),
        (("model.layers.1.self_attn.v_proj",), 1),
        (("0.mlp.up_proj",), 1),
    ],
)
def test_exactly_the_named_layers_are_touched(tmp_path, targets, count):
    lm = adapted(ar_folder(tmp_path), lora={"targets": targets})
    assert len(adapted_layers(lm.model)) == count
    trained = {name for name, w in lm.model.named_parameters() if w.requires_grad}
    assert all(".lora_" in name or "trainable_tokens" in name for name in trained)
    assert len([name for name in trained if ".lora_" in name]) == 2 * count
    frozen = {n: w.clone() for n, w in lm.model.named_parameters() if not w.requires_grad}
    step(lm)
    assert all(torch.equal(w, dict(lm.model.named_parameters())[n]) for n, w in frozen.items())


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            ("q_proj", "w_proj"),
            r"names 'w_proj', which is no linear layer .*\(all: down_proj, gate_proj, k_proj, lm_head",
        ),
        (("q_porj",), "did you mean 'q_proj'"),
        (("embed_tokens",), "names 'embed_tokens', which is no linear layer"),
        (("self_attn",), "names 'self_attn', which is no linear layer"),
        (("proj",), "names 'proj', which is no linear layer"),
        (("lm_head",), "tied to the embedding"),
    ],
)
def test_names_that_match_nothing_are_refused(tmp_path, targets, message):
    lm = load(ar_folder(tmp_path))
    before = set(lm.model.state_dict())
    with pytest.raises(UserError, match=message) as error:
        add_lora(lm, LoraSpec(targets=targets))
    assert "\n" not in str(error.value)
    assert set(lm.model.state_dict()) == before


def test_an_untied_head_can_be_adapted(tmp_path):
    lm = adapted(ar_folder(tmp_path, tie_word_embeddings=False), lora={"targets": ("lm_head",)})
    assert adapted_layers(lm.model) == ["base_model.model.lm_head"]
    assert answer(lm).shape == (5, lm.vocab_size)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rank": 0}, "rank must be at least 1, found 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), found 1.0"),
        ({"targets": "q_proj"}, "'all-linear' or a list of names, found 'q_proj'"),
        ({"targets": ()}, "must name at least one layer"),
    ],
)
def test_impossible_specifications_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        LoraSpec(**fields)


def test_recipes_give_targets_as_lists():
    spec = TypeAdapter(LoraSpec).validate_python({"rank": 8, "targets": ["q_proj", "v_proj"]})
    assert spec.targets == ("q_proj", "v_proj")


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("rows", [None, 24], ids=["new row", "spare row"])
def test_the_mask_row_learns_and_the_tie_holds(tmp_path, tie, rows):
    lm = adapted(ar_folder(tmp_path, tie_word_embeddings=tie, rows=rows))
    before = lm.model.get_input_embeddings().weight.detach().clone()
    step(lm)
    after = lm.model.get_input_embeddings().weight.detach()
    moved = (after != before).any(1).nonzero().flatten().tolist()
    assert moved == [lm.mask_id]
    merged = merge(lm)
    head = merged.model.get_output_embeddings().weight
    assert (merged.model.get_input_embeddings().weight is head) == tie


def test_the_mask_row_stays_where_it_is_not_to_be_trained(tmp_path):
    lm = step(adapted(ar_folder(tmp_path), lora={"train_mask_row": False}))
    assert not [n for n, w in lm.model.named_parameters() if w.requires_grad and ".lora_" not in n]


def test_it_starts_as_the_base_and_depends_on_its_seed_only(tmp_path):
    folder = ar_folder(tmp_path)
    base = answer(load(folder))
    state = torch.get_rng_state()
    lm = adapted(folder)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(answer(lm), base)
    first, same, other = (
        dict(adapted(folder, lora={"seed": seed}).model.named_parameters()) for seed in (0, 0, 1)
    )  # fmt: skip
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("rows", [None, 24], ids=["new row", "spare row"])
@pytest.mark.parametrize("train_mask_row", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_saved_and_reloaded_it_answers_the_same(tmp_path, tie, rows, train_mask_row, dtype):
    base = ar_folder(tmp_path / "base", tie_word_embeddings=tie, rows=rows)
    lm = step(adapted(base, lora={"train_mask_row": train_mask_row}, dtype=dtype, block_size=4))
    lm.save(tmp_path / "adapter")
    again = load(tmp_path / "adapter")
    assert again.facts == lm.facts
    assert again.tokenizer.mask_token_id == lm.mask_id
    assert torch.equal(answer(again), answer(lm))
    assert step(again).facts == lm.facts  # it can be trained on
    again.save(tmp_path / "second")
    assert torch.equal(answer(load(tmp_path / "second")), answer(again))


@pytest.mark.parametrize("tie", [True, False])
def test_the_start_of_the_mask_row_is_kept(tmp_path, tie, monkeypatch):
    """Another machine's mean of the embedding may differ in its last bits."""
    lm = adapted(ar_folder(tmp_path / "base", tie_word_embeddings=tie), lora={"train_mask_row": False})
    lm.save(tmp_path / "adapter")
    start_row = tokens.start_row

    def differently(model, row, *, known):
        start_row(model, row, known=known)
        with torch.no_grad():
            model.get_input_embeddings().weight[row] += 1.0
            model.get_output_embeddings().weight[row] -= 3.0

    monkeypatch.setattr(tokens, "start_row", differently)
    assert torch.equal(answer(load(tmp_path / "adapter")), answer(lm))


def test_the_folder_holds_no_weights_of_the_base(tmp_path):
    lm = step(adapted(ar_folder(tmp_path / "base"), lora={"targets": ("q_proj",)}))
    lm.save(tmp_path / "adapter")
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert {tuple(w.shape) for w in saved.values()} == {(2, 32), (32, 2), (1, 32)}
    sidecar = json.loads((tmp_path / "adapter" / "unmask_adapter.json").read_text())
    assert sidecar["base"] == str((tmp_path / "base").resolve())
    assert sidecar["facts"]["mask_id"] == 18
    assert sidecar["facts"]["added_rows"] == 1


@pytest.mark.parametrize("tie", [True, False])
def test_merged_it_answers_the_same_and_is_plain(tmp_path, tie):
    lm = step(adapted(ar_folder(tmp_path / "base", tie_word_embeddings=tie)))
    wanted = answer(lm)
    merged = merge(lm)
    assert merged.adapter is None
    torch.testing.assert_close(answer(merged), wanted, rtol=1e-4, atol=1e-5)
    merged.save(tmp_path / "merged")
    assert torch.equal(answer(load(tmp_path / "merged")), answer(merged))
    export(merged, tmp_path / "plain", to="transformers")
    _, report = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert all(w.requires_grad for w in merged.model.parameters())


def test_merging_needs_adapters(tmp_path):
    with pytest.raises(UserError, match="no adapters to merge"):
        merge(load(ar_folder(tmp_path)))


def test_a_base_must_be_findable_and_whole(tmp_path):
    with pytest.raises(UserError, match="never saved; save and load it first"):
        add_lora(from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=2)), LoraSpec())
    lm = adapted(ar_folder(tmp_path))
    with pytest.raises(UserError, match="already has adapters"):
        add_lora(lm, LoraSpec())


def test_another_base_is_refused(tmp_path):
    step(adapted(ar_folder(tmp_path / "base"))).save(tmp_path / "adapter")
    ar_folder(tmp_path / "other", seed=1)
    with pytest.raises(
        UserError, match=r"belongs to weights with fingerprint \w{12}, but .* has \w{12}; write base="
    ) as e:
        load(tmp_path / "adapter", base=tmp_path / "other")
    assert "\n" not in str(e.value)
    ar_folder(tmp_path / "base", seed=1)
    with pytest.raises(UserError, match="belongs to weights with fingerprint"):
        load(tmp_path / "adapter")


def test_a_single_changed_weight_of_the_base_is_noticed(tmp_path):
    lm = adapted(ar_folder(tmp_path / "base"))
    lm.save(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        base.model.layers[1].mlp.down_proj.weight[0, 0] += 1e-3
    base.save_pretrained(tmp_path / "base")
    with pytest.raises(UserError, match="belongs to weights with fingerprint"):
        load(tmp_path / "adapter")


def test_a_base_that_moved_or_was_sharded_is_the_same_base(tmp_path):
    lm = step(adapted(ar_folder(tmp_path / "base")))
    lm.save(tmp_path / "adapter")
    AutoModelForCausalLM.from_pretrained(tmp_path / "base").save_pretrained(tmp_path / "moved", max_shard_size="10KB")
    plain_tokenizer().save_pretrained(tmp_path / "moved")
    (tmp_path / "base").rename(tmp_path / "gone")
    with pytest.raises(UserError, match=r"cannot load the base of the adapter .*: found no model at"):
        load(tmp_path / "adapter")
    assert torch.equal(answer(load(tmp_path / "adapter", base=tmp_path / "moved")), answer(lm))


def test_the_users_dtype_is_taken_after_the_base_is_known(tmp_path):
    lm = step(adapted(ar_folder(tmp_path / "base")))
    lm.save(tmp_path / "adapter")
    half = load(tmp_path / "adapter", dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    assert half.stock.model.rotary_emb.inv_freq.dtype == torch.float32
    half.save(tmp_path / "again")
    torch.testing.assert_close(answer(load(tmp_path / "again")), answer(lm))


def test_an_adapter_over_an_adapter_is_refused(tmp_path):
    adapted(ar_folder(tmp_path / "base")).save(tmp_path / "adapter")
    with pytest.raises(UserError, match="must be a whole model"):
        load(tmp_path / "adapter", base=tmp_path / "adapter")


def test_flags_over_the_sidecar(tmp_path):
    adapted(ar_folder(tmp_path / "base"), block_size=4).save(tmp_path / "adapter")
    assert load(tmp_path / "adapter").facts.block_size == 4
    changed = load(tmp_path / "adapter", block_size=8, shift=False).facts
    assert (changed.block_size, changed.shift) == (8, False)
    with pytest.raises(UserError, match="fixed in training; leave out mask_id"):
        load(tmp_path / "adapter", mask_id=3)


def test_a_foreign_adapter_without_a_sidecar_is_read(tmp_path):
    lm = step(adapted(ar_folder(tmp_path / "base", "<|mask|>")))
    lm.save(tmp_path / "adapter")
    (tmp_path / "adapter" / "unmask_adapter.json").unlink()
    assert torch.equal(answer(load(tmp_path / "adapter")), answer(lm))
    edit_json(tmp_path / "adapter" / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(UserError, match="does not name its base; write base="):
        load(tmp_path / "adapter")


def test_gpt2_names_its_layers_differently(tmp_path):
    shape = {"vocab_size": 18, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    random_model(GPT2Config(**shape)).save_pretrained(tmp_path)
    plain_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"no linear layer .*all: lm_head"):
        adapted(tmp_path, lora={"targets": ("c_attn",)})


def test_description(tmp_path):
    facts = describe(adapted(ar_folder(tmp_path)))
    assert facts["adapter_of"] == str(tmp_path.resolve())
    assert facts["architecture"] == "LlamaForCausalLM"
    assert 0 < facts["trainable"] < facts["parameters"]
