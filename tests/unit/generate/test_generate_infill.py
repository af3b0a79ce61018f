"""Infilling: given tokens stay, blanks are filled, and the text comes back whole."""

from dataclasses import replace

import pytest
import torch

from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.generate import infill
from unmask.models import ScratchSpec, from_scratch

SPEC = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=3)
DECODERS = {
    "quota": Decoder(block_size=4),
    "threshold": Decoder(block_size=4, threshold=0.3),
    "whole": Decoder(blocks="whole", steps=5),
    "small blocks": Decoder(block_size=2, selection="factor"),
}


@pytest.fixture(scope="module")
def lm():
    return from_scratch(SPEC)


def spell(lm, ids):
    return lm.tokenizer.decode(ids.tolist(), skip_special_tokens=True)


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("attention", ["bidirectional", "block_causal"])
def test_given_tokens_stay_and_blanks_are_filled(decoder, shift, attention):
    lm = from_scratch(SPEC, shift=shift, attention=attention, block_size=4)
    out = infill(lm, "12=___34___567", blank_tokens=[3, 5], decoder=decoder)
    (sequence,) = out.sequences
    blanks = [sequence[3:6], sequence[8:13]]
    assert spell(lm, torch.cat([sequence[:3], sequence[6:8], sequence[13:]])) == "12=34567"
    assert len(sequence) == 3 + 3 + 2 + 5 + 3
    assert all(lm.mask_id not in blank for blank in blanks)
    kept = [text.partition("<end>")[0] for text in out.blanks[0]]
    assert out.texts == [f"12={kept[0]}34{kept[1]}567"]
    for blank, text in zip(blanks, kept, strict=True):
        ids = blank.tolist()
        ends = [ids.index(end) for end in lm.eos_ids if end in ids]
        assert text == spell(lm, blank[: min(ends, default=len(ids))])


def test_what_follows_a_blank_is_read_by_a_model_that_looks_ahead():
    looks, causal = from_scratch(SPEC), from_scratch(SPEC, attention="block_causal", block_size=4)
    decoder = Decoder(block_size=4)
    found = {
        name: {
            infill(lm, f"12=___{after}", blank_tokens=4, decoder=decoder).blanks[0][0] for after in ("34", "99", "|a")
        }
        for name, lm in {"bidirectional": looks, "block_causal": causal}.items()
    }
    assert len(found["bidirectional"]) > 1
    assert len(found["block_causal"]) == 1  # what is given stands in a later block


def test_an_exact_cache_changes_nothing_and_the_approximate_ones_keep_what_is_given():
    texts = ["12=___34___5", "9___8|7___"]
    options = {"blank_tokens": [4, 5], "block_size": 4, "threshold": 0.3}
    causal = from_scratch(SPEC, attention="block_causal", block_size=4)
    plain, cached = (infill(causal, texts, cache=cache, **options) for cache in ("none", "block"))
    assert [row.tolist() for row in plain.sequences] == [row.tolist() for row in cached.sequences]
    lm = from_scratch(SPEC)
    plain = infill(lm, texts, **options)
    for cache in ("prefix", "dual"):
        every = infill(lm, texts, cache={"name": cache, "refresh_every": 1}, **options)
        assert [row.tolist() for row in plain.sequences] == [row.tolist() for row in every.sequences]
        stale = infill(lm, texts, cache=cache, **options)
        assert spell(lm, stale.sequences[0][7:9]) == "34"
        assert lm.mask_id not in stale.sequences[0]


def test_a_batch_equals_singles_whatever_the_lengths(lm):
    texts = ["1___2", "34567___|___9", "___1234567"]
    batch = infill(lm, texts[:1] + texts[2:], blank_tokens=4, block_size=4)
    assert batch.texts == [infill(lm, text, blank_tokens=4, block_size=4).texts[0] for text in texts[:1] + texts[2:]]
    assert batch.row_forwards == [4, 4]
    two = infill(lm, texts[1], blank_tokens=[2, 3], block_size=4)
    assert two.forwards == 5  # one token a step, and blocks that are full cost nothing


def test_an_end_token_ends_its_blank_only(lm, monkeypatch):
    end, real = lm.eos_ids[0], lm.logits

    def logits(query, query_positions):
        out = real(query, query_positions)
        second = (
            query.columns.position[query_positions[:, 0], query_positions[:, 1]] == 3
        )  # the second token of the first blank
        out[:, end] = torch.where(second, 1e4, -1e4)
        return out

    monkeypatch.setattr(lm, "logits", logits)
    out = infill(lm, "12___34___5", blank_tokens=4, block_size=4)
    first, second = out.blanks[0]
    assert (len(first), len(second)) == (1, 4)
    assert out.texts[0] == f"12{first}34{second}5"
    assert len(out.answers[0]) == 2 + 4
    assert out.answers[0][1] == end
    assert out.row_forwards == [8]  # every place of a blank is written
    assert out.tokens_per_forward == 6 / 8


def test_samples_and_seeds(lm):
    options = {"blank_tokens": 6, "temperature": 1.0}
    out = infill(lm, ["1___2", "3___4"], n=2, **options)
    assert len(out.samples) == 2
    assert len({*out.texts}) == 4
    assert infill(lm, "3___4", n=2, **options).texts == out.samples[1]
    with pytest.raises(UserError, match="n: expected a decoder that draws random numbers"):
        infill(lm, "1___2", n=2)


def test_more_than_three_underscores_are_one_blank_and_two_are_text():
    from unmask.generate.infill import BLANK

    assert BLANK.split("a______b__c___") == ["a", "b__c", ""]


REFUSED = {
    "no blank": (
        "12",
        {},
        "expected a blank, three or more underscores, found none in '12'; write for example 'a ___ b'",
    ),
    "none": ([], {}, "no text: expected at least one with a blank"),
    "no width": ("1___2", {"blank_tokens": 0}, "expected at least 1 token in each blank, found 0"),
    "widths": ("1___2", {"blank_tokens": [1, 2]}, "one number, or one for each of the text's 1 blanks, found 2"),
    "mask": ("1___<|mask|>", {}, r"found the mask token '<\|mask\|>'; write ___ in its place"),
    "stop": ("1___2", {"stop": "eos"}, "stop: every blank of a text is filled; leave it out"),
    "ids": ([[1, 2]], {}, r"text: expected a string with a blank, ___, found '\[1, 2\]'"),
    "both": ("1___2", {"decoder": Decoder(), "steps": 4}, "give either decoder=… or its fields"),
}


@pytest.mark.parametrize(("texts", "options", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_filled_is_refused(unchecked, lm, texts, options, says):
    with pytest.raises(UserError, match=says):
        infill(lm, texts, **options)


def test_a_blank_at_the_start_needs_a_model_without_shift():
    assert infill(from_scratch(SPEC), "___1", blank_tokens=2).texts[0].endswith("1")
    with pytest.raises(UserError, match="needs at least one token before the first blank, found none"):
        infill(from_scratch(SPEC, shift=True), "___1", blank_tokens=2)


def test_no_space_is_lost_or_added_at_the_joints(lm):
    """SentencePiece puts a space before a text and drops that of its first word."""
    from unmask.generate.infill import _continued, _spelled_after

    class Words:
        """Words are tokens, and a text alone is framed by a space, as SentencePiece does it."""

        known: dict[int, str] = {}

        def __call__(self, texts, add_special_tokens):
            return {"input_ids": [self.encode(text) for text in texts]}

        def encode(self, text):
            given = (" " + text).replace("\n", " \n").replace(" ", " ▁")[1:].split(" ") if text else []
            ids = [hash(piece) for piece in given]
            self.known.update(zip(ids, given, strict=True))
            return ids

        def decode(self, ids, skip_special_tokens):
            return "".join(self.known[token] for token in ids).replace("▁", " ").removeprefix(" ")

    tokenizer = Words()
    assert [tokenizer.known[token] for token in _continued(tokenizer, " b c")][-2:] == ["▁b", "▁c"]
    lm = replace(lm, tokenizer=tokenizer)
    assert _spelled_after(lm, tokenizer.encode("a"), tokenizer.encode("b")) == " b"
    assert _spelled_after(lm, [], tokenizer.encode("b")) == "b"
