"""Why an answer is empty: read from what stands on the canvas."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unmask import generate, generate_file
from unmask.generate.empty import why_empty
from unmask.models import ScratchSpec, from_scratch

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from chat_templates import tokenizer_for  # noqa: E402  # a neighbour's helpers


@pytest.fixture(scope="module")
def lm():
    return from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2), tokenizer_for("chatml"))


@torch.no_grad()
def writes(lm, token):
    """Bend a model so that it writes one token everywhere."""
    head = lm.model.get_output_embeddings()
    head.weight.zero_()
    hidden = []
    lm.model.model.norm.register_forward_hook(lambda *a: hidden.append(a[2]) or torch.ones_like(a[2]))
    head.weight[token] = 1.0


def reason(lm, **options):
    found = generate(lm, "Hi", max_new_tokens=8, block_size=4, **options)
    chat = options.get("chat")
    return why_empty(lm, found.answers[0], found.texts[0], finish=found.finish[0], chat=chat, canvas=8)


def test_the_first_token_is_the_end():
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2), tokenizer_for("chatml"))
    writes(lm, lm.eos_ids[0])
    end = lm.tokenizer.convert_ids_to_tokens(lm.eos_ids[0])
    assert f"the first token that was written is the end of the answer ({end}); " in reason(lm)
    assert "leave out --raw" in reason(lm, chat=False)
    lm.facts = replace(lm.facts, canvas=4)
    assert "the canvas of 8 is larger than the 4 that it was trained on: --max-new-tokens 4" in reason(lm)
    lm.facts = replace(lm.facts, source="some/base", family=None)
    lm.source = "some/base"
    assert "not tuned as a diffusion model yet" in reason(lm)


def test_special_tokens_and_white_space_and_stop_strings():
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2), tokenizer_for("chatml"))
    special = next(i for i in lm.tokenizer.all_special_ids if i not in (*lm.eos_ids, lm.mask_id))
    writes(lm, special)
    assert f"its 8 tokens are special ones ({lm.tokenizer.convert_ids_to_tokens(special)})" in reason(lm)
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2), tokenizer_for("chatml"))
    writes(lm, lm.tokenizer("\n")["input_ids"][0])
    assert "it is white space only (8 tokens)" in reason(lm)
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2), tokenizer_for("chatml"))
    writes(lm, lm.tokenizer("x")["input_ids"][0])
    assert reason(lm) is None
    assert reason(lm, stop_strings="x") == "it begins with a stop string; leave out --stop, or name another one"


def test_an_answer_that_only_thinks(lm):
    ids = torch.tensor(lm.tokenizer("<think>so")["input_ids"])
    assert "it is all thinking, and the canvas was full" in why_empty(lm, ids, "<think>so", finish="length")
    assert "ends without an answer" in why_empty(lm, ids, "<think>so</think>\n", finish="end")
    assert why_empty(lm, ids, "<think>so</think>\n4", finish="end") is None


def test_a_file_says_that_its_canvas_is_too_large(tmp_path):
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2), tokenizer_for("chatml"))
    writes(lm, lm.eos_ids[0])
    lm.facts = replace(lm.facts, canvas=4)
    (tmp_path / "p.txt").write_text("Hi\nHo\n")
    report = generate_file(lm, tmp_path / "p.txt", tmp_path / "a.jsonl", max_new_tokens=8, block_size=4)
    (reason,) = report.empty
    assert report.empty[reason] == 2
    assert "the canvas of 8 is larger than the 4 that it was trained on" in reason
