import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from small_checkpoints import answer, ar_folder, edit_json, llada_folder, llama_config, question, random_model
from transformers import BertConfig, BertForMaskedLM

from unmask.core.attention_rules import Causal
from unmask.core.query import Query
from unmask.errors import UserError
from unmask.models import ScratchSpec, describe, from_scratch, load
from unmask.models.tokenizers import char_tokenizer


def test_a_causal_model_is_shifted_and_reads_on_as_before(tmp_path):
    folder = ar_folder(tmp_path)
    lm = load(folder)
    assert lm.facts.shift
    assert lm.model.config.is_causal is False
    query, at = question(lm, prompt=(1, 2, 3, 4, 5), canvas=1)
    query = Query(ids=query.ids, columns=query.columns, rule=Causal())
    with torch.no_grad():
        got = lm.logits(query, at)[:, :18]
        wanted = random_model(llama_config(18))(input_ids=query.ids[:, :-1]).logits[:, -1]
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_what_the_checkpoint_says_is_read_back_and_the_user_may_differ(tmp_path):
    lm = from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=2), shift=True, block_size=8)
    lm.save(tmp_path)
    assert load(tmp_path).facts == lm.facts
    other = load(tmp_path, shift=False, block_size=4, attention="block_causal").facts
    assert (other.shift, other.block_size, other.attention) == (False, 4, "block_causal")


def test_facts_that_changed_since_are_saved(tmp_path):
    lm = load(ar_folder(tmp_path / "base"))
    lm.facts = replace(lm.facts, block_size=16, shift=False)
    lm.save(tmp_path / "saved")
    assert load(tmp_path / "saved").facts == lm.facts


def test_the_filler_learns(tmp_path):
    """Stock models freeze the padding token's row, and the filler is often that token."""
    lm = load(ar_folder(tmp_path, tie_word_embeddings=False, pad_token_id=17))
    assert lm.filler_id == 17
    lm.model(input_ids=torch.tensor([[1, 17, 2]])).logits[0, 0].sum().backward()
    assert lm.model.get_input_embeddings().weight.grad[17].abs().max() > 0


def test_a_run_folder_gives_its_model(tmp_path):
    ar_folder(tmp_path / "model")
    assert load(tmp_path).source == str((tmp_path / "model").resolve())


def test_a_masked_language_model_is_not_shifted(tmp_path):
    tokenizer = char_tokenizer("0123456789")
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    lm = load(tmp_path)
    assert not lm.facts.shift
    assert lm.mask_id == tokenizer.mask_token_id
    assert describe(lm)["architecture"] == "BertForMaskedLM"


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_dtypes(tmp_path, dtype):
    lm = load(ar_folder(tmp_path), dtype=dtype)
    assert lm.model.dtype == torch.bfloat16
    assert answer(lm).dtype == torch.bfloat16
    assert lm.score(*question(lm), torch.zeros(5, dtype=torch.int64)).nll.dtype == torch.float32


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"dtype": "int8"}, "dtype must be float32, bfloat16, float16 or auto, found 'int8'"),
        ({"device": "gpu"}, "device must be cpu, cuda"),
        ({"block_size": 0}, "block_size must be at least 1, found 0"),
        (
            {"attention": "diagonal"},
            "attention must be one of bidirectional, block_causal, context_causal, causal, found 'diagonal'",
        ),
        ({"base": "elsewhere"}, "is a whole model; leave it out"),
    ],
)
def test_wrong_flags_are_refused(unchecked, tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        load(ar_folder(tmp_path), **flags)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("./nowhere/at/all", "found no model at './nowhere/at/all'"),
        ("nowhere.gguf", "found no model at 'nowhere.gguf'"),
        ("nobody/nothing-of-this-name", "'nobody/nothing-of-this-name' is no folder here, and the hub did not give it"),
    ],
)
def test_places_without_a_model_are_refused(path, message):
    with pytest.raises(UserError, match=message) as error:
        load(path)
    assert "\n" not in str(error.value)


def test_files_and_folders_that_are_no_models_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"expected config.json or adapter_config.json .* found neither"):
        load(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match=r"a \.gguf file or a hub name, found the file"):
        load(tmp_path / "notes.txt")
    (tmp_path / "config.json").write_text("{ not json")
    with pytest.raises(UserError, match="expected a JSON object"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match="expected a JSON object"):
        load(tmp_path)


def test_weights_that_are_absent_are_refused(tmp_path):
    folder = ar_folder(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"expected model\.safetensors .* found no weights"):
        load(folder)


def test_a_missing_shard_is_named(tmp_path):
    folder = llada_folder(tmp_path, shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"names model-00002-of-00002\.safetensors, which is not in"):
        load(folder)


@pytest.mark.parametrize("kind", ["stock", "llada"])
def test_pickles_are_read_only_if_allowed(tmp_path, kind):
    folder = (ar_folder if kind == "stock" else llada_folder)(tmp_path)
    whole = answer(load(folder))
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="write allow_pickle=True"):
        load(folder)
    assert torch.equal(answer(load(folder, allow_pickle=True)), whole)


def test_a_missing_weight_is_named(tmp_path):
    folder = ar_folder(tmp_path)
    edit_json(folder / "config.json", num_hidden_layers=3)
    with pytest.raises(UserError, match=r"missing: model\.layers\.2"):
        load(folder)


def test_a_weight_too_many_is_named(tmp_path):
    folder = ar_folder(tmp_path)
    edit_json(folder / "config.json", num_hidden_layers=1)
    with pytest.raises(UserError, match=r"unexpected: model\.layers\.1"):
        load(folder)


def test_weights_of_other_shapes_are_refused(tmp_path):
    folder = ar_folder(tmp_path)
    edit_json(folder / "config.json", intermediate_size=64)
    with pytest.raises(UserError, match=r"asks for .* of shape .*64.*, found .*48"):
        load(folder)


def test_code_of_a_checkpoint_is_never_run(tmp_path):
    folder = ar_folder(tmp_path)
    edit_json(folder / "config.json", model_type="novel", auto_map={"AutoModelForCausalLM": "modeling.Model"})
    (folder / "modeling.py").write_text("raise SystemExit('run')\n")
    with pytest.raises(UserError, match="model_type='novel', which neither transformers nor unmask"):
        load(folder)


def test_a_tokenizer_with_code_of_its_own_is_read_without_it(tmp_path):
    folder = ar_folder(tmp_path)
    edit_json(
        folder / "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["tok.Own", None]},
        tokenizer_class="OwnTokenizer",
    )
    (folder / "tok.py").write_text("raise SystemExit('run')\n")
    assert load(folder).tokenizer("12")["input_ids"] == [1, 2]


def test_unknown_facts_are_refused(tmp_path):
    folder = ar_folder(tmp_path)
    edit_json(folder / "config.json", unmask={"mask_id": 3, "shfit": True})
    with pytest.raises(UserError, match=r"config\.unmask\.shfit; did you mean 'shift'"):
        load(folder)


def test_a_model_without_a_language_head_is_refused(tmp_path):
    folder = ar_folder(tmp_path)
    (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(UserError, match="transformers has no language model"):
        load(folder)
