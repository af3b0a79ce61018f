import json

import pytest
from small_checkpoints import ar_folder

from unmask.errors import UserError
from unmask.models import Facts, ScratchSpec, describe, from_scratch, load

FACTS = Facts(mask_id=4, eos_ids=(2, 3), filler_id=3, vocab_size=9, shift=True, block_size=8)


def test_they_survive_json():
    assert Facts.from_config(json.loads(json.dumps(FACTS.as_config()))) == FACTS


def test_unknown_and_missing_keys_are_refused():
    with pytest.raises(UserError, match=r"config\.unmask\.blok_size; did you mean 'block_size'"):
        Facts.from_config({**FACTS.as_config(), "blok_size": 4})
    with pytest.raises(UserError, match=r"config\.unmask must name .*eos_ids"):
        Facts.from_config({"mask_id": 4, "filler_id": 3, "vocab_size": 9})
    with pytest.raises(UserError, match=r"config\.unmask must name .*filler_id"):
        Facts.from_config({"mask_id": 4, "eos_ids": [3], "vocab_size": 9})


def test_description_is_json_and_names_tokens(tmp_path):
    lm = load(ar_folder(tmp_path), block_size=4)
    facts = json.loads(json.dumps(describe(lm)))
    assert facts["mask"] == {"id": 18, "token": "<|mask|>"}
    assert facts["eos"] == [{"id": 17, "token": "<|endoftext|>"}]
    assert facts["filler"] == {"id": 17, "token": "<|endoftext|>"}
    assert facts["source"] == str(tmp_path.resolve())
    assert (facts["family"], facts["architecture"], facts["adapter_of"]) == ("llama", "LlamaForCausalLM", None)
    assert (facts["shift"], facts["attention"], facts["block_size"]) == (True, "bidirectional", 4)
    assert (facts["native_bidirectional"], facts["added_rows"], facts["tied_embeddings"]) == (True, 1, True)
    assert (facts["dtype"], facts["device"], facts["chat_template"]) == ("float32", "cpu", False)
    assert facts["parameters"] == facts["trainable"] == sum(w.numel() for w in lm.model.parameters())
    assert facts["max_positions"] == 64


def test_a_model_from_scratch_is_described():
    facts = describe(from_scratch(ScratchSpec(hidden_size=16, layers=1, heads=2)))
    assert facts["source"] == "from_scratch"
    assert facts["tokenizer"]
