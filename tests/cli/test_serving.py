"""Export and the check before it, as commands."""

import json
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("unit/models", "contracts")]
from test_export import released  # noqa: E402

RECIPE = {
    "data": {"task": "sorting", "size": 40, "max_length": 64},
    "objective": {"name": "block_diffusion"},
    "run": {"steps": 1, "batch_size": 2},
}


@pytest.fixture
def done(run):
    """Run a command that must succeed."""

    def done(*arguments):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        return result

    return done


@pytest.fixture(scope="module")
def sdar(tmp_path_factory):
    import torch

    return released("sdar", tmp_path_factory.mktemp("sdar") / "released", dtype=torch.float32)


def test_export_prints_how_each_engine_serves_the_folder(done, sdar, tmp_path):
    result = done("export", sdar, tmp_path / "out", "--to", "sdar")
    assert "serve with SGLang:" in result.stdout
    assert f"--model-path {tmp_path / 'out'}" in result.stdout
    assert f"lmdeploy serve api_server {tmp_path / 'out'}" in result.stdout


def test_export_refuses_in_one_line(refused, sdar, tmp_path):
    refused("export", sdar, tmp_path / "out", "--to", "sdar", "--for", "sglang", says="has 151669 written into it")
    refused("export", sdar, tmp_path / "out", "--to", "sdar", "--for", "vllm", says="unknown engine 'vllm'")
    refused("export", sdar, tmp_path / "out", "--to", "gguf", says="expected the name of a new .gguf file")
    refused("export", sdar, tmp_path / "out.gguf", "--to", "gguf", says="llama.cpp")


def checked(sdar, **sections):
    return {**RECIPE, "model": {"path": str(sdar)}, **sections}


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"run": {**RECIPE["run"], "export": "sdar"}}, None),
        ({"run": {**RECIPE["run"], "export": "sdar"}, "decoder": {"grid": "answer"}}, "train with decoder.grid: text"),
        ({"run": {**RECIPE["run"], "export": "sdar"}, "objective": {"name": "vanilla"}}, None),
        ({"run": {**RECIPE["run"], "export": "llada2"}}, "computed by another class than this qwen3 model"),
        ({"run": {**RECIPE["run"], "export": "sdar"}, "objective": {"name": "block_diffusion", "block_size": 8}},
         "blocks have 8 columns, SDAR is served in blocks of 4"),
    ],
)  # fmt: skip
def test_check_says_before_training_what_export_would_refuse(sdar, sections, says):
    from unmask.recipes.check import check

    problems = [each for each in check(checked(sdar, **sections)).problems if each.startswith("run.export")]
    assert (problems == []) if says is None else any(says in each for each in problems), problems


def test_check_for_an_engine_needs_a_family(sdar):
    from unmask.recipes.check import check

    assert any("151669" in each for each in check(checked(sdar), engine="sglang").problems)
    assert any("run.export, one of llada" in each for each in check(
        {**RECIPE, "model": {"from_scratch": {"hidden_size": 16, "layers": 1, "heads": 2}}}, engine="dinfer"
    ).problems)  # fmt: skip
    assert any("unknown engine" in each for each in check(checked(sdar), engine="vllm").problems)


def test_merge_writes_a_plain_folder(done, sdar, tmp_path):
    from unmask.models import load
    from unmask.models.lora import LoraSpec, add_lora

    add_lora(load(sdar), LoraSpec(rank=2)).save(tmp_path / "adapter")
    done("merge", tmp_path / "adapter", tmp_path / "merged")
    assert json.loads((tmp_path / "merged/config.json").read_text())["model_type"] == "qwen3"


def test_released_decodes_as_the_family_and_options_outrank_it(sdar):
    from unmask.cli.decoding import decoder_of
    from unmask.decoding import Decoder

    wanted = {
        "block_size": 4,
        "temperature": 1.0,
        "selection": {"name": "threshold", "threshold": 0.85, "strict": True},
    }
    assert decoder_of({"released": True}, model=str(sdar)) == Decoder(**wanted)
    mine = decoder_of({"released": True, "threshold": 0.5, "temperature": 0.0}, model=str(sdar))
    assert (mine.threshold, mine.temperature, mine.resolve().selection.threshold) == (0.5, 0.0, 0.5)


def test_released_needs_a_family(refused):
    refused("generate", "asset:quickstart/model", "--prompt", "sort 3 1", "--released", says="sampler is known")


def test_inspect_shows_the_family_and_its_sampler(done, sdar):
    shown = json.loads(done("inspect", sdar, "--json").stdout)
    assert (shown["family"], shown["released_sampler"]["block_size"]) == ("SDAR", 4)
