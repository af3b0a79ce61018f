"""The live view: what is written, how surely, and where the model is at."""

import io

import pytest
from rich.console import Console

from unmask.generate import generate, infill, stream
from unmask.models import ScratchSpec, from_scratch
from unmask.plots.palette import shade
from unmask.plots.terminal import frame, spell, watch

SPEC = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=3)


@pytest.fixture(scope="module")
def lm():
    return from_scratch(SPEC)


def styles(text):
    return [(text.plain[span.start : span.end], str(span.style)) for span in text.spans]


def test_the_active_block_stands_in_brackets_until_the_end(lm):
    steps = list(stream(lm, "12=", max_new_tokens=6, block_size=3, stop="never"))
    plain = [frame(step, lm).plain for step in steps]
    assert [text.count("·") for text in plain] == [5, 4, 3, 2, 1, 0]
    assert [text.find("⟦") for text in plain] == [0, 0, 3, 3, 3, -1]
    assert [text.find("⟧") for text in plain] == [4, 4, 7, 7, 7, -1]


def test_colours_tell_how_sure_the_model_was_and_fresh_tokens_are_underlined(lm):
    step = list(stream(lm, "12=", max_new_tokens=4, block_size=4, stop="never"))[-1]
    found = styles(frame(step, lm))
    assert len(found) == 4
    for offset, (_, style) in enumerate(found):
        assert style.endswith(f"on {shade(float(step.state.log_prob[0, 3 + offset].exp()))}")
        assert ("underline" in style) == (offset == int(step.at[0, 1]))


def test_given_tokens_have_no_colour(lm):
    out = infill(lm, "1___234", blank_tokens=2, block_size=8, keep_steps=True)
    found = styles(frame(out.steps[-1], lm))
    assert [text for text, style in found if style == "bold"] == ["2", "3", "4"]


def test_what_nobody_wrote_after_the_end_is_dim(lm, monkeypatch):
    real = lm.logits

    def ends(query, query_positions):
        out = real(query, query_positions)
        out[:, lm.eos_ids[0]] = 1e4
        return out

    monkeypatch.setattr(lm, "logits", ends)
    out = generate(lm, "12=", max_new_tokens=4, block_size=2, keep_steps=True)
    found = styles(frame(out.steps[-1], lm))
    assert [text for text, _ in found] == ["∎"] * 4
    assert [style == "dim" for _, style in found] == [False, True, True, True]


def test_spelling(lm):
    assert spell(lm, lm.eos_ids[0]) == "∎"
    assert spell(lm, 3) == "3"


def test_watching_passes_the_steps_on_and_leaves_the_last_frame(lm):
    console = Console(file=io.StringIO(), width=100)
    steps = list(
        watch(stream(lm, "12=", max_new_tokens=4, block_size=2, stop="never"), lm, title="12=", console=console)
    )
    assert len(steps) == 4
    assert "forward 4 · 4 tokens · 1.00 tokens per forward" in console.file.getvalue()
    assert console.file.getvalue().startswith("12=")
