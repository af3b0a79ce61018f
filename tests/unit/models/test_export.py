"""Released checkpoints come back bit for bit; what an engine would decode otherwise is refused."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_checkpoints import answer, ar_folder, edit_json, llada_folder, plain_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from unmask.errors import UserError
from unmask.models import load
from unmask.models.engines import ENGINES, commands, obstacles
from unmask.models.export import export, merged, open_for_export, targets
from unmask.models.families import FAMILIES
from unmask.models.lora import LoraSpec, add_lora

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))
from test_families import TINY

EXPORTED = [name for name in targets() if name in FAMILIES]


def released(name, folder, shards=1, dtype=torch.bfloat16):
    """A folder as such a model is released: its files, code that must not run, weights of the given dtype."""
    config, weights = TINY[name]()
    config |= {"torch_dtype": str(dtype).removeprefix("torch."), "auto_map": {"AutoConfig": "configuration_x.X"}}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=3))
    (folder / "configuration_x.py").write_text("raise SystemExit('code of the checkpoint was run')\n")
    (folder / "generation_config.json").write_text('{"eos_token_id": [17, 16], "steps": 128}')
    (folder / "LICENSE").write_text("anything")
    plain_tokenizer("x1", "x2", "<|mask|>", "x3", "x4", "x5").save_pretrained(folder)
    stored = {key: tensor.to(torch.float32 if "gate.weight" in key or "bias" in key else dtype).contiguous()
              for key, tensor in weights.items()}  # fmt: skip
    names = sorted(stored)
    files = dict.fromkeys(names, "model.safetensors")
    if shards > 1:
        files = {key: f"model-{i % shards + 1:05d}-of-{shards:05d}.safetensors" for i, key in enumerate(names)}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    for file in set(files.values()):
        save_file({key: stored[key] for key in names if files[key] == file}, folder / file)
    return folder


def tensors(folder):
    return {key: tensor for file in folder.glob("*.safetensors") for key, tensor in load_file(file).items()}


def same_bits(first, second):
    assert first.keys() == second.keys()
    for key, tensor in first.items():
        assert (tensor.dtype, tensor.shape) == (second[key].dtype, second[key].shape), key
        assert tensor.contiguous().view(torch.uint8).equal(second[key].contiguous().view(torch.uint8)), key


@pytest.mark.parametrize("name", EXPORTED)
def test_a_released_checkpoint_comes_back_bit_for_bit(name, tmp_path):
    source = released(name, tmp_path / "released", shards=2)
    done = export(open_for_export(source), tmp_path / "out", to=name)
    same_bits(tensors(source), tensors(done.folder))
    for file in source.iterdir():
        if file.suffix in (".json", ".py") or file.name == "LICENSE":
            assert (done.folder / file.name).read_bytes() == file.read_bytes(), file.name
    assert {file.name for file in source.glob("*.safetensors")} == {f.name for f in done.folder.glob("*.safetensors")}
    assert done.missing == ""


@pytest.mark.parametrize("name", EXPORTED)
def test_without_a_source_the_family_writes_its_own_configuration(name, tmp_path):
    lm = load(released(name, tmp_path / "released", dtype=torch.float32))
    lm.facts = replace(lm.facts, source=None)
    done = export(lm, tmp_path / "out", to=name)
    again = load(done.folder)
    assert replace(again.facts, source=None) == lm.facts
    assert torch.equal(answer(again), answer(lm))
    config = json.loads((done.folder / "config.json").read_text())
    assert config["architectures"][0] in FAMILIES[name].architectures
    assert "rope_parameters" not in config  # engines read rope_theta at the top
    assert "unmask" not in config


def test_a_trained_model_goes_back_in_the_types_of_its_source(tmp_path):
    source = released("llada", tmp_path / "released")
    lm = load(source, dtype="float32")
    with torch.no_grad():
        lm.model.get_input_embeddings().weight[3] += 1
    lm.save(tmp_path / "trained")
    again = open_for_export(tmp_path / "trained")
    assert (again.facts.family, again.facts.source) == ("llada", str(source))
    done = export(again, tmp_path / "out", to="llada")
    found, before = tensors(done.folder), tensors(source)
    changed = [key for key in before if not torch.equal(found[key], before[key])]
    assert changed == ["model.transformer.wte.weight"]
    assert found[changed[0]].dtype == torch.bfloat16
    assert "the authors'" not in done.missing


def test_a_source_that_is_gone_is_said(tmp_path, caplog):
    source = released("sdar", tmp_path / "released", dtype=torch.float32)
    lm = load(source)
    source.rename(tmp_path / "elsewhere")
    done = export(lm, tmp_path / "out", to="sdar")
    assert "no files are copied from the remembered source" in caplog.text
    assert "configuration_*.py" in done.missing
    with_files = export(lm, tmp_path / "again", to="sdar", like=tmp_path / "elsewhere")
    assert "configuration_x.py" in with_files.copied


def test_a_source_of_another_family_is_refused(tmp_path):
    lm = load(released("sdar", tmp_path / "released", dtype=torch.float32))
    other = released("dream", tmp_path / "other")
    with pytest.raises(UserError, match="expected a source of the family SDAR, found one of Dream"):
        export(lm, tmp_path / "out", to="sdar", like=other)
    assert not (tmp_path / "out").exists()


REFUSED = {
    "attention": ({"attention": "bidirectional"}, "attention is bidirectional, SDAR is served as block_causal"),
    "grid": ({"grid": "answer"}, "train with decoder.grid: text"),
    "shift": ({"shift": True}, "predictions are shifted, SDAR is served not shifted"),
    "block size": ({"block_size": 8}, r"train with block_size: 4; or name an engine .*--dllm-block-length 8"),
    "mask": ({"mask_id": 19}, "the mask token is 19, that of the source is 20"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_an_engine_would_decode_otherwise_is_refused(fault, tmp_path):
    lm = load(released("sdar", tmp_path / "released", dtype=torch.float32))
    changes, message = REFUSED[fault]
    lm.facts = replace(lm.facts, **changes)
    with pytest.raises(UserError, match=message):
        export(lm, tmp_path / "out", to="sdar")
    assert not list(tmp_path.glob("*out*"))


def test_an_engine_that_is_told_the_block_size_takes_another(tmp_path):
    lm = load(released("sdar", tmp_path / "released", dtype=torch.float32))
    lm.facts = replace(lm.facts, block_size=8, vocab_size=lm.vocab_size)
    with pytest.raises(UserError, match="SGLang of SDAR models has 151669 written into it"):
        export(lm, tmp_path / "strict", to="sdar", engine="sglang")
    lm.facts = replace(lm.facts, block_size=8)
    faults = obstacles(replace(lm.facts, mask_id=151669), FAMILIES["sdar"], engine="lmdeploy")
    assert faults == []
    assert "--dllm-block-length 8" in commands("sdar", lm.facts, "lmdeploy")["LMDeploy"]


def test_a_model_of_another_class_is_refused(tmp_path):
    lm = load(ar_folder(tmp_path / "llama"))
    with pytest.raises(UserError, match="SDAR"):
        export(lm, tmp_path / "out", to="sdar")
    with pytest.raises(UserError, match="did you mean|expected"):
        export(lm, tmp_path / "out", to="sdarr")


@pytest.mark.parametrize(
    ("to", "given", "named"),
    [
        ("transformers", {"like": "x"}, "no use for like"),
        ("transformers", {"engine": "sglang", "dtype": "float16"}, "no use for engine and dtype"),
        ("gguf", {"like": "x"}, "no use for like"),
        ("gguf", {"engine": "sglang"}, "llama.cpp is the engine"),
    ],
)
def test_options_that_a_layout_would_leave_out_are_refused(to, given, named, tmp_path):
    lm = load(released("dream", tmp_path / "released"))
    with pytest.raises(UserError, match=named):
        export(lm, tmp_path / "out.gguf", to=to, **given)


def test_every_engine_names_families_that_can_be_written():
    assert {family for engine in ENGINES.values() for family in engine.serves} <= set(EXPORTED)


def test_a_native_folder_cannot_be_taken_for_a_causal_model(tmp_path):
    lm = load(ar_folder(tmp_path / "llama"))
    lm.save(tmp_path / "native")
    for auto in (AutoConfig, AutoModelForCausalLM):
        with pytest.raises(ValueError, match="model type `unmask`"):
            auto.from_pretrained(tmp_path / "native")
    config = json.loads((tmp_path / "native/config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("unmask", ["UnmaskDiffusionLM"])
    assert "auto_map" not in config
    assert "unmask generate native" in (tmp_path / "native/README.md").read_text()
    assert torch.equal(answer(load(tmp_path / "native")), answer(lm))


def test_a_guard_without_the_stock_names_is_refused(tmp_path):
    load(ar_folder(tmp_path / "llama")).save(tmp_path / "native")
    edit_json(tmp_path / "native/config.json", unmask_stock=None)
    with pytest.raises(UserError, match="expected unmask_stock with the model_type"):
        load(tmp_path / "native")


def test_a_plain_folder_is_what_transformers_loads(tmp_path):
    lm = load(ar_folder(tmp_path / "llama"))
    export(lm, tmp_path / "plain", to="transformers")
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert torch.equal(stock.lm_head.weight, lm.model.lm_head.weight)
    assert load(tmp_path / "plain").facts == lm.facts


def test_saving_keeps_the_generation_config_and_no_code(tmp_path):
    source = llada_folder(tmp_path / "released")
    (source / "generation_config.json").write_text('{"eos_token_id": [17, 16], "steps": 128}')
    load(source).save(tmp_path / "native")
    assert json.loads((tmp_path / "native/generation_config.json").read_text())["steps"] == 128
    assert "auto_map" not in json.loads((tmp_path / "native/tokenizer_config.json").read_text())


def test_merging_is_exact_and_checked(tmp_path, monkeypatch):
    lm = add_lora(load(released("sdar", tmp_path / "base", dtype=torch.float32)), LoraSpec(rank=2))
    with torch.no_grad():
        for name, weight in lm.model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.05)
    lm.save(tmp_path / "adapter")
    plain = open_for_export(tmp_path / "adapter")
    torch.testing.assert_close(answer(plain), answer(lm), rtol=1e-5, atol=1e-5)
    done = export(plain, tmp_path / "out", to="sdar")
    torch.testing.assert_close(answer(load(done.folder)), answer(lm), rtol=1e-5, atol=1e-5)
    monkeypatch.setattr("unmask.models.export.merge", lambda lm: load(tmp_path / "base"))
    with pytest.raises(UserError, match="merging changed a logit"):
        merged(load(tmp_path / "adapter"))
