"""transformers' streamers are driven as its own diffusion models drive them."""

import pytest
import torch
from transformers import TextDiffusionStreamer, TextIteratorStreamer

from unmask.errors import UserError
from unmask.generate import generate
from unmask.models import ScratchSpec, from_scratch

SPEC = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=3)


class Noting(TextDiffusionStreamer):
    """Keeps the calls, and makes them."""

    def __init__(self, tokenizer, **options):
        super().__init__(tokenizer, **options)
        self.calls = []

    def put_draft(self, value, **options):
        self.calls.append(("draft", value.clone()))
        super().put_draft(value, **options)

    def put(self, value):
        self.calls.append(("put", value.clone()))
        super().put(value)

    def end(self):
        self.calls.append(("end", None))
        super().end()


@pytest.fixture(scope="module")
def lm():
    return from_scratch(SPEC)


def test_prompt_drafts_blocks_and_the_end(lm, capsys):
    streamer = Noting(lm.tokenizer)
    out = generate(lm, "12=", max_new_tokens=6, block_size=3, stop="never", streamer=streamer, keep_steps=True)
    kinds = [kind for kind, _ in streamer.calls]
    assert kinds == ["put", *["draft"] * 3, "put", *["draft"] * 3, "put", "end"]
    drafts = [value for kind, value in streamer.calls if kind == "draft"]
    assert [(draft == lm.mask_id).sum().item() for draft in drafts] == [2, 1, 0, 2, 1, 0]
    assert all(draft.shape == (1, 3) for draft in drafts)
    put = torch.cat([value for kind, value in streamer.calls if kind == "put"], dim=1)
    assert put.dtype == torch.int64
    answer = out.answers[0].tolist()
    assert put[0, 3:].tolist() == answer
    assert lm.tokenizer.decode(answer) in capsys.readouterr().out.replace("\n", "")


def test_nothing_is_put_after_the_end_of_the_answer(lm, monkeypatch):
    end, real = lm.eos_ids[0], lm.logits

    def logits(query, query_positions):
        out = real(query, query_positions)
        out[:, end] = torch.where(query.columns.position[query_positions[:, 0], query_positions[:, 1]] == 4, 1e4, -1e4)
        return out

    monkeypatch.setattr(lm, "logits", logits)
    streamer = Noting(lm.tokenizer)
    out = generate(lm, "12=", max_new_tokens=12, block_size=6, streamer=streamer)
    put = [value for kind, value in streamer.calls if kind == "put"]
    assert put[1][0].tolist() == out.answers[0].tolist()
    assert len(put) == 2
    assert put[1][0, -1] == end


def test_streamers_of_text_without_drafts(lm):
    streamer = TextIteratorStreamer(lm.tokenizer, skip_prompt=True, skip_special_tokens=True)
    out = generate(lm, "12=", max_new_tokens=8, block_size=4, stop="never", streamer=streamer)
    assert "".join(streamer) == out.texts[0]


def test_a_stop_string_ends_the_stream(lm):
    full = generate(lm, "12=", max_new_tokens=8, block_size=2, stop="never")
    streamer = Noting(lm.tokenizer)
    cut = generate(lm, "12=", max_new_tokens=8, block_size=2, stop_strings=[full.texts[0][2]], streamer=streamer)
    put = torch.cat([value for kind, value in streamer.calls if kind == "put"], dim=1)
    assert put[0, 3:].tolist() == cut.answers[0].tolist()


def test_several_rows_and_logits_are_refused(lm):
    with pytest.raises(UserError, match="streamer: expected one prompt and n=1, found 2 rows"):
        generate(lm, ["1", "2"], max_new_tokens=2, streamer=Noting(lm.tokenizer))
    streamer = Noting(lm.tokenizer)
    streamer._takes_logits = True
    with pytest.raises(UserError, match="expected one that takes tokens, found one that asks for logits"):
        generate(lm, "1", max_new_tokens=2, streamer=streamer)


def test_the_output_names_the_figure_as_transformers_does(lm):
    from transformers.models.diffusion_gemma.generation_diffusion_gemma import DiffusionGemmaGenerationOutput

    assert "tokens_per_forward" in DiffusionGemmaGenerationOutput.__dataclass_fields__
    out = generate(lm, "12=", max_new_tokens=8, block_size=4, steps=4, stop="never")
    assert out.tokens_per_forward == len(out.answers[0]) / 4
