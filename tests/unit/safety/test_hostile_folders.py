"""What a folder asks for beyond its weights is left out or refused: no connection, no code, no other file."""

import json
import logging
import shutil
import socket
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from unmask.errors import UserError
from unmask.models import LoraSpec, ScratchSpec, add_lora, from_scratch, load

SHAPE = ScratchSpec(hidden_size=16, layers=2, heads=2)
CODE = "import pathlib\npathlib.Path('was_run').touch()\nraise SystemExit('code of the folder was run')\n"


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    root = tmp_path_factory.mktemp("originals")
    from_scratch(SHAPE).save(root / "model")
    add_lora(load(root / "model"), LoraSpec(rank=2)).save(root / "adapter")
    return root


@pytest.fixture
def model(originals, tmp_path):
    return shutil.copytree(originals / "model", tmp_path / "model")


@pytest.fixture
def adapter(originals, tmp_path):
    return shutil.copytree(originals / "adapter", tmp_path / "adapter")


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No connection is opened, as if none could be; the hub is not told to be offline."""

    def refuse(*arguments, **options):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / "was_run").exists()


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def logits(lm):
    ids = torch.arange(6)[None]
    with torch.no_grad():
        return lm.model(input_ids=ids).logits


LEFT_OUT = {
    "attention kernel": {"_attn_implementation": "kernels-community/flash-attn3"},
    "attention kernel, public name": {"attn_implementation": "owner/kernel@main:attention"},
    "attention kernel, inner name": {"_attn_implementation_internal": "owner/kernel"},
    "attention by part": {"attn_implementation": {"": "owner/kernel", "text_config": "owner/kernel"}},
    "attention that is not installed": {"_attn_implementation": "flash_attention_2"},
    "experts kernel": {"experts_implementation": "owner/kernel", "_experts_implementation": "owner/kernel"},
    "kernels": {"use_kernels": True, "kernel_config": {"RMSNorm": "owner/kernel:Norm"}},
    "code": {
        "auto_map": {"AutoConfig": "of_the_folder.Config", "AutoModelForCausalLM": "owner/other--of_the_folder.Model"}
    },
    "code, and leave to run it": {"auto_map": {"AutoConfig": "of_the_folder.Config"}, "trust_remote_code": True},
    "other weights": {"transformers_weights": "../../secret.safetensors"},
    "name": {"_name_or_path": "owner/name", "name_or_path": "http://localhost:9/x"},
    "pipelines": {"custom_pipelines": {"text": {"impl": "of_the_folder.Pipe"}}, "custom_generate": "owner/name"},
    "plans": {"tp_plan": "auto", "tp_size": 8, "device_map": "auto", "distributed_config": {"tp_size": 4}},
    "adapters": {"peft_config": {}, "adapter_kwargs": {"revision": "x"}, "base_model_name_or_path": "owner/name"},
    "fused": {"fusion_config": {"x": True}, "compile_config": {"backend": "of_the_folder"}},
    "unknown": {"unheard_of": {"a": [1]}, "my_hook": "of_the_folder.hook"},
    "labels": {"num_labels": 10**9, "id2label": {"0": "x"}},
}


@pytest.mark.parametrize("changes", LEFT_OUT.values(), ids=LEFT_OUT)
def test_keys_of_config_are_left_out(model, changes):
    wanted = logits(load(model))
    for name in ("of_the_folder.py", "configuration_code.py", "modeling_llama.py", "tokenization_code.py"):
        (model / name).write_text(CODE)
    edit(model / "config.json", **changes)
    lm = load(model)
    assert torch.equal(logits(lm), wanted)
    assert lm.model.config._attn_implementation == "sdpa"
    assert not any(hasattr(lm.model.config, key) for key in ("unheard_of", "my_hook", "use_kernels"))
    assert "of_the_folder" not in sys.modules


def test_what_is_left_out_is_told_once(model, caplog):
    edit(model / "config.json", use_kernels=True, _attn_implementation="owner/kernel", auto_map={}, _name_or_path="x")
    with caplog.at_level(logging.WARNING, logger="unmask"):
        load(model)
    assert [r.getMessage() for r in caplog.records if "left out" in r.getMessage()] == [
        f"config.json of '{model}': _attn_implementation, use_kernels left out"
    ]


REFUSED = {
    "bitsandbytes": ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "quantised"),
    "unknown method": ({"quantization_config": {"quant_method": "owner/kernel"}}, "quantised"),
    "text": ({"quantization_config": "auto"}, "quantised"),
    "compression": ({"compression_config": {"format": "pack"}}, "quantised"),
    "dtype that is a function": ({"dtype": "load"}, "expected a dtype for dtype, found 'load'"),
    "old dtype": ({"torch_dtype": "os", "dtype": None}, "expected a dtype for torch_dtype"),
    "width": ({"hidden_size": 10**12}, "expected at most .* for hidden_size"),
    "negative": ({"vocab_size": -5}, "for vocab_size"),
    "vocabulary": ({"vocab_size": 10**8}, "for vocab_size"),
    "layers": ({"num_hidden_layers": 10**9}, "for num_hidden_layers"),
    "heads": ({"num_attention_heads": 10**9, "head_dim": None}, "for num_attention_heads"),
    "text for a number": ({"hidden_size": "64"}, "expected a whole number for hidden_size, found '64'"),
    "list for a number": ({"num_hidden_layers": [2, 10**9]}, "num_hidden_layers"),
    "half": ({"intermediate_size": 44.5}, "expected a whole number for intermediate_size"),
    "object": ({"hidden_size": {"a": 10**12}}, "hidden_size"),
    "digits": ({"rope_parameters": {"rope_theta": 10**300, "rope_type": "default"}}, "smaller number"),
    "positions": ({"max_position_embeddings": "many"}, "max_position_embeddings"),
    "activation": ({"hidden_act": "owner/kernel"}, "owner/kernel"),
    "rope": ({"rope_parameters": {"rope_type": "of_the_folder", "rope_theta": 1e4}}, "."),
    "type": ({"model_type": ["llama"]}, "expected model_type, a name"),
    "no type": ({"model_type": None}, "expected model_type, a name"),
    "architectures": ({"architectures": {"a": 1}}, "expected a list of names for architectures"),
    "other model": ({"model_type": "gpt2"}, "."),
    "facts": ({"unmask": {"mask_id": "x", "eos_ids": [1], "filler_id": 1, "vocab_size": 2}}, "config.unmask.mask_id"),
    "facts in a list": ({"unmask": [1]}, "."),
    "ends": ({"eos_token_id": {"a": 1}, "unmask": {}}, "."),
    "long text": ({"hidden_act": "x" * 10**6}, "."),
}


def refusal(folder):
    with pytest.raises(UserError) as caught:
        load(folder)
    message = str(caught.value)
    assert len(message) < 420, message
    return message


@pytest.mark.parametrize(("changes", "says"), REFUSED.values(), ids=REFUSED)
def test_values_of_config_are_refused(model, changes, says):
    edit(model / "config.json", **changes)
    with pytest.raises(UserError, match=says):
        load(model)
    refusal(model)


TOKENIZER = {
    "files elsewhere": {"vocab_file": "/dev/zero", "tokenizer_file": "/dev/stdin", "merges_file": "/etc/passwd"},
    "special tokens elsewhere": {"special_tokens_map_file": "/dev/zero", "chat_template_file": "/etc/passwd"},
    "code": {
        "auto_map": {"AutoTokenizer": ["of_the_folder.Tokenizer", "of_the_folder.Tokenizer"]},
        "tokenizer_class": "Mine",
    },
    "another folder": {"name_or_path": "owner/name", "subfolder": "..", "gguf_file": "x.gguf"},
}


@pytest.mark.parametrize("changes", TOKENIZER.values(), ids=TOKENIZER)
def test_keys_of_the_tokenizer_are_left_out(model, changes):
    wanted = load(model).tokenizer.get_vocab()
    (model / "of_the_folder.py").write_text(CODE)
    edit(model / "tokenizer_config.json", **changes)
    tokenizer = load(model).tokenizer
    assert tokenizer.get_vocab() == wanted
    assert tokenizer.name_or_path == str(model)
    tokenizer.save_pretrained(model.parent / "again")


def test_a_tokenizer_class_must_be_a_name(model):
    edit(model / "tokenizer_config.json", tokenizer_class="os.system")
    assert "expected the name of a class for tokenizer_class" in refusal(model)


def test_generation_config_cannot_ask_for_anything(model):
    wanted = logits(load(model))
    edit(model / "generation_config.json", custom_generate="owner/name", assistant_model="owner/name", watermark=1)
    assert torch.equal(logits(load(model)), wanted)


ADAPTERS = {
    "another kind": ({"peft_type": "PROMPT_TUNING", "tokenizer_name_or_path": "owner/name"}, "peft_type: LORA"),
    "no kind": ({"peft_type": None}, "peft_type: LORA"),
    "a module to import": ({"megatron_config": {"a": 1}, "megatron_core": "of_the_folder"}, "megatron_config"),
    "layers copied": ({"layer_replication": [[0, 10**7]]}, "layer_replication"),
    "rank": ({"r": 10**9}, "a rank of 1 to"),
    "rank of a layer": ({"rank_pattern": {"q_proj": 10**9}}, "a rank of 1 to"),
    "rank by a slow pattern": ({"rank_pattern": {"(.*)*x": 4}}, "names of layers for rank_pattern"),
    "left out by a slow pattern": ({"exclude_modules": "(.*)*(.*)*x"}, "names for exclude_modules"),
    "targets": ({"target_modules": [1, None]}, "names of layers"),
    "targets that are not there": ({"target_modules": ["nowhere"]}, "."),
    "fewer targets": ({"target_modules": ["q_proj"]}, "unexpected"),
    "files": ({"corda_config": {"cache_file": "/etc/x"}}, "corda_config"),
    "quantised": ({"loftq_config": {"loftq_bits": 4}}, "loftq_config"),
    "text for a number": ({"r": "2"}, "a rank of 1 to"),
    "dropout": ({"lora_dropout": "x"}, "."),
    "tokens": ({"trainable_token_indices": [10**9]}, "."),
}


@pytest.mark.parametrize(("changes", "says"), ADAPTERS.values(), ids=ADAPTERS)
def test_adapters_are_refused(adapter, changes, says):
    edit(adapter / "adapter_config.json", **changes)
    with pytest.raises(UserError, match=says):
        load(adapter)
    refusal(adapter)


def test_a_pattern_of_an_adapter_is_never_run(adapter):
    wanted = logits(load(adapter))
    edit(
        adapter / "adapter_config.json",
        target_modules="(.*)*(.*)*(.*)*_proj",
        auto_mapping={"parent_library": "of_the_folder"},
    )
    (adapter / "of_the_folder.py").write_text(CODE)
    assert torch.equal(logits(load(adapter)), wanted)


def test_an_adapter_with_weights_missing_is_refused(adapter):
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    weights.pop(next(name for name in weights if "lora_B" in name))
    save_file(weights, file)
    assert "lora_B" in refusal(adapter)
    file.unlink()
    assert "expected adapter_model.safetensors" in refusal(adapter)


INDEXES = {
    "elsewhere": "../../../etc/passwd",
    "absolute": "/etc/passwd",
    "hidden": ".model.safetensors",
    "another kind": "model.pkl",
    "a number": 7,
    "empty": "",
    "missing": "model-00009.safetensors",
}


@pytest.mark.parametrize("name", INDEXES.values(), ids=INDEXES)
def test_an_index_names_files_beside_it(model, name):
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    refusal(model)


def test_weights_of_integers_are_refused(model):
    weights = load_file(model / "model.safetensors")
    name = "model.embed_tokens.weight"
    save_file({**weights, name: weights[name].to(torch.int32)}, model / "model.safetensors", metadata={"format": "pt"})
    assert "expected floating-point weights, found 'model.embed_tokens.weight' as I32" in refusal(model)


def test_a_tensor_in_two_files_is_refused(model):
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    save_file(weights, model / "model-1.safetensors")
    save_file(weights, model / "model-2.safetensors")
    places = dict.fromkeys(list(weights)[:3], "model-1.safetensors") | {"x": "model-2.safetensors"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert "which another weight file holds too" in refusal(model)
