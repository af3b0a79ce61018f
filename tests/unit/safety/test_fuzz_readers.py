"""Whatever a reader is given, it returns or raises a UserError of one short line, in time."""

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unmask.config.yaml import read_yaml
from unmask.data import read
from unmask.errors import UserError
from unmask.models.adapter_config import adapter_config
from unmask.models.config_file import check_sizes, read_config_file, stock_config
from unmask.models.gguf_file import check_gguf
from unmask.models.weights import Stored, read_header
from unmask.recipes.recipe import build_sections
from unmask.runtime.foreign import read_object
from unmask.runtime.template_process import render
from unmask.tracing.record import read_trace

EXAMPLES = int(os.environ.get("UNMASK_FUZZ_EXAMPLES", "40"))
quick = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES == 40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
texts = st.text(st.characters(exclude_categories=()), max_size=20) | st.sampled_from(["", "a" * 9999, "\ud83d", "../x"])
plain = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | texts
values = st.recursive(plain, lambda v: st.lists(v, max_size=4) | st.dictionaries(texts, v, max_size=4), max_leaves=12)


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """What is imported on the way is no part of any reader's time."""
    stock_config(CONFIG)


@pytest.fixture
def file(tmp_path):
    return lambda name: tmp_path / name


def stands(call, *arguments):
    """Call a reader, which may refuse in one line and in time, and nothing else."""
    began = time.monotonic()
    try:
        result = call(*arguments)
    except UserError as error:
        for line in getattr(error, "problems", [str(error)]):
            assert len(line.encode("utf-8", "surrogatepass")) < 4000
        result = None
    assert time.monotonic() - began < 5
    return result


def write(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8", errors="surrogatepass")
    return path


HEADER = {"unmask_trace": 1, "rows": [{"prompt": "a", "canvas": 2, "given": []}], "eos_ids": [1], "block_size": 2}
LINE = {
    "index": 0, "row": 0, "block": [0, 2], "offsets": [0], "ids": [1], "texts": ["a"], "probabilities": [0.5],
    "taken_back": [], "continues": 0,
}  # fmt: skip


@quick
@given(st.dictionaries(st.sampled_from(sorted(HEADER)), values), st.dictionaries(st.sampled_from(sorted(LINE)), values))
def test_traces(file, header, line):
    path = write(file("t.jsonl"), f"{json.dumps({**HEADER, **header})}\n{json.dumps(LINE)}\n{json.dumps(LINE | line)}")
    trace = stands(read_trace, path)
    if trace is not None:
        stands(trace.frames, 0)


@quick
@given(st.binary(max_size=200))
def test_bytes(file, raw):
    for name, reader in (
        ("t.jsonl", read_trace), ("a.json", read_object), ("m.safetensors", read_header), ("m.gguf", check_gguf),
    ):  # fmt: skip
        stands(reader, write(file(name), raw))
        stands(reader, write(file(name), b"GGUF\x03\0\0\0" + raw if name == "m.gguf" else b"{" + raw))


@quick
@given(st.dictionaries(texts, values, max_size=3), st.integers(-9, 9))
def test_headers_of_weights(file, header, off):
    text = json.dumps(header).encode()
    stands(
        read_header, write(file("m.safetensors"), (max(0, len(text) + off)).to_bytes(8, "little") + text + b"\0" * 8)
    )


@quick
@given(st.lists(values, max_size=3), st.sampled_from(["x.jsonl", "x.json", "x.csv", "x.tsv", "x.parquet", "x.csv.gz"]))
def test_rows(file, rows, name):
    path = write(file(name), "\n".join(map(json.dumps, rows)))
    stands(lambda: list(read(str(path))))


@quick
@given(st.binary(max_size=300), st.sampled_from(["x.jsonl", "x.json", "x.csv", "x.parquet", "x.jsonl.gz"]))
def test_rows_of_bytes(file, raw, name):
    stands(lambda: list(read(str(write(file(name), raw)))))


@quick
@given(st.text(max_size=80) | st.text(st.sampled_from("{}[]:,&*!|>-'\"? \n\ta1.~<#%@`"), max_size=60))
def test_yaml(text):
    stands(read_yaml, text, "recipe.yaml")


SECTIONS = {
    "model": st.dictionaries(st.sampled_from(["path", "lora", "from_scratch", "dtype", "device", "shift"]), values),
    "data": st.dictionaries(st.sampled_from(["path", "task", "columns", "roles", "max_length", "curriculum"]), values),
    "objective": values, "decoder": values, "run": values,
}  # fmt: skip


@quick
@given(st.fixed_dictionaries({}, optional=SECTIONS))
def test_recipes(recipe):
    stands(build_sections, recipe)


CONFIG = {
    "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 32, "head_dim": 8, "num_key_value_heads": 2, "rope_parameters": {"rope_theta": 1e4},
}  # fmt: skip
KEYS = [*CONFIG, "dtype", "architectures", "quantization_config", "num_labels", "id2label", "layer_types", "unmask",
        "hidden_act", "max_position_embeddings", "_attn_implementation", "pad_token_id"]  # fmt: skip


@quick
@given(st.dictionaries(st.sampled_from(KEYS) | texts, values, max_size=3))
def test_configs(file, changes):
    write(file("config.json"), json.dumps({**CONFIG, **changes}))
    config = stands(read_config_file, file("."))
    stored = {"a": Stored(dtype="F32", shape=(32, 16))}
    if config is not None and config["model_type"] == "llama" and stands(lambda: check_sizes(config, stored) or True):
        stands(stock_config, config)


LORA = ["r", "target_modules", "rank_pattern", "modules_to_save", "exclude_modules", "layers_pattern", "lora_dropout",
        "trainable_token_indices", "bias", "task_type", "megatron_config", "eva_config", "peft_type"]  # fmt: skip


@quick
@given(st.dictionaries(st.sampled_from(LORA) | texts, values, max_size=3))
def test_adapters(file, changes):
    stored = {"base_model.model.a.q_proj.lora_A.weight": Stored(dtype="F32", shape=(2, 8))}
    stands(adapter_config, write(file("a.json"), json.dumps({"peft_type": "LORA", "r": 2, **changes})), stored)


PIECES = st.sampled_from([
    "{{ a }}", "{% for i in range(", "99999", ") %}", "{% endfor %}", "{{ 'x' * ", " }}", "10**9", "{% if ", "%}", "{{",
    "{% endif %}", "{% set x = ", "~ a", "| join", "| tojson(indent=", "{% macro f() %}", "{% endmacro %}", "[", "]",
    "messages", ".__class__", "{{ raise_exception('", "') }}", "{% raw %}", "**", "7", "{% generation %}",
])  # fmt: skip


@quick
@given(st.lists(PIECES | st.text(max_size=5), max_size=9).map("".join))
def test_templates(monkeypatch, source):
    monkeypatch.setattr("unmask.runtime.template_process.SECONDS", 0.3)
    stands(render, source, {"messages": [{"role": "user", "content": "a"}], "a": "b"})


def test_memory_stays_small(tmp_path):
    import resource

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2 * 2**20
    assert isinstance(tmp_path, Path)
