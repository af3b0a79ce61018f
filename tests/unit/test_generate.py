"""Text in, text out, on a real tiny model."""

import pytest
import torch

from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.generate import generate, stream
from unmask.models import ScratchSpec, from_scratch

SPEC = ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3, seed=3)
TEMPLATE = (
    "{% for m in messages %}{{ m.role[0] + ':' + m.content + '\n' }}{% endfor %}{{ 'a:' if add_generation_prompt }}"
)
ROWS = ([1, 2, 3], [4], [5, 6, 7, 8, 9, 1])


@pytest.fixture(scope="module")
def lm():
    return from_scratch(SPEC)


@pytest.fixture(scope="module")
def chatty():
    lm = from_scratch(SPEC)
    lm.tokenizer.chat_template = TEMPLATE
    return lm


def sequences(out):
    return [row.tolist() for row in out.sequences]


def test_one_prompt_in_any_form(lm):
    ids = lm.tokenizer("12=")["input_ids"]
    forms = ["12=", ["12="], ids, [ids], torch.tensor(ids), torch.tensor([ids]), [torch.tensor(ids)], tuple(ids)]
    found = [sequences(generate(lm, form, max_new_tokens=6)) for form in forms]
    assert all(each == found[0] for each in found)
    assert found[0][0][: len(ids)] == ids


@pytest.mark.parametrize("decoder", [
    Decoder(block_size=4), Decoder(block_size=4, threshold=0.3), Decoder(blocks="whole", steps=5),
    Decoder(block_size=3, selection={"name": "quota", "score": "entropy"}, stop="never"),
], ids=["quota", "threshold", "whole", "entropy"])  # fmt: skip
@pytest.mark.parametrize("shift", [False, True])
def test_a_batch_of_different_lengths_equals_singles(decoder, shift):
    lm = from_scratch(SPEC, shift=shift)
    batch = generate(lm, list(ROWS), decoder=decoder, max_new_tokens=10)
    singles = [generate(lm, [row], decoder=decoder, max_new_tokens=10) for row in ROWS]
    assert sequences(batch) == [sequences(single)[0] for single in singles]
    assert batch.texts == [single.texts[0] for single in singles]
    assert batch.row_forwards == [single.forwards for single in singles]
    assert batch.forwards == max(batch.row_forwards)


def test_a_sequence_is_prompt_plus_canvas(lm):
    out = generate(lm, list(ROWS), max_new_tokens=7, stop="never")
    for row, found in zip(ROWS, sequences(out), strict=True):
        assert found[: len(row)] == row
        assert len(found) == len(row) + 7
        assert lm.mask_id not in found[len(row) :]


def test_forwards_are_counted(lm):
    lm.flops.reset()
    out = generate(lm, list(ROWS), max_new_tokens=8, block_size=4, steps=4, stop="never", keep_steps=True)
    assert (out.forwards, out.row_forwards) == (4, [4, 4, 4])
    assert out.tokens_per_forward == sum(len(answer) for answer in out.answers) / 12
    assert [step.index for step in out.steps] == [0, 1, 2, 3]
    assert sum(len(step.at) for step in out.steps) == 24
    assert generate(lm, [1], max_new_tokens=4).steps == []


def test_texts_and_answers_end_at_the_end_of_text(lm, monkeypatch):
    end = lm.eos_ids[0]
    real = lm.logits

    def logits(query, query_positions):
        out = real(query, query_positions)
        third = (
            query.columns.position[query_positions[:, 0], query_positions[:, 1]] == 5
        )  # the third token of the canvas
        out[:, end] = torch.where(third, 1e4, -1e4)
        return out

    monkeypatch.setattr(lm, "logits", logits)
    out = generate(lm, [1, 2, 3], max_new_tokens=8, block_size=8, stop="never")
    assert len(out.answers[0]) == 3
    assert out.answers[0][-1] == end
    assert len(out.texts[0]) == 2
    assert len(out.sequences[0]) == 11
    stopped = generate(lm, [1, 2, 3], max_new_tokens=8, block_size=2)
    assert stopped.texts[0] == lm.tokenizer.decode(stopped.answers[0][:2])
    assert stopped.forwards == 3  # the fourth place of its block need not be written any more
    assert stopped.sequences[0][6:].tolist() == [lm.filler_id] * 5


def test_strings_go_through_the_chat_template_unless_told_otherwise(chatty, lm):
    def prompt(model, given, **options):
        (row,) = sequences(generate(model, given, max_new_tokens=2, **options))
        return model.tokenizer.decode(row[:-2])

    assert prompt(chatty, "12") == "u:12\na:"
    assert prompt(chatty, "12", chat=False) == "12"
    talk = [{"role": "user", "content": "12"}, {"role": "assistant", "content": "3"}, {"role": "user", "content": "4"}]
    assert prompt(chatty, talk) == "u:12\na:3\nu:4\na:"
    assert prompt(chatty, [talk]) == "u:12\na:3\nu:4\na:"
    assert prompt(lm, "12") == "12"
    with pytest.raises(UserError, match="needs a chat template, found a tokenizer without one"):
        generate(lm, talk)
    with pytest.raises(UserError, match="chat=true needs a chat template"):
        generate(lm, "12", chat=True)


def test_mixed_prompts_in_one_batch(chatty):
    mixed = generate(chatty, ["12", [1, 2, 3], [{"role": "user", "content": "12"}]], max_new_tokens=4)
    assert mixed.sequences[0].equal(mixed.sequences[2])
    assert mixed.sequences[1][:3].tolist() == [1, 2, 3]


def test_stream_gives_the_steps_of_generate(lm):
    steps = list(stream(lm, "12=", max_new_tokens=6, block_size=3))
    out = generate(lm, "12=", max_new_tokens=6, block_size=3)
    assert len(steps) == out.forwards
    assert steps[-1].state.ids[0].tolist() == sequences(out)[0]


def test_the_seed_decides_a_sample(lm):
    options = {"max_new_tokens": 12, "temperature": 1.0, "stop": "never"}
    first, again, other = (sequences(generate(lm, "12=", seed=seed, **options)) for seed in (1, 1, 2))
    assert first == again != other


def test_the_training_mode_is_put_back(lm):
    lm.model.train()
    generate(lm, "12=", max_new_tokens=2)
    assert lm.model.training
    lm.model.eval()
    generate(lm, "12=", max_new_tokens=2)
    assert not lm.model.training


def test_a_prompt_that_contains_the_mask_token_keeps_it(lm):
    (row,) = sequences(generate(lm, [1, lm.mask_id, 2], max_new_tokens=4, stop="never"))
    assert row[:3] == [1, lm.mask_id, 2]
    assert lm.mask_id not in row[3:]


def test_an_empty_prompt(lm):
    assert len(generate(lm, "", max_new_tokens=4, stop="never").sequences[0]) == 4
    shifted = from_scratch(SPEC, shift=True)
    for empty in ("", [""], torch.zeros(1, 0, dtype=torch.long), ["12", ""]):
        with pytest.raises(UserError, match="empty prompt: a model with shifted logits needs at least one token"):
            generate(shifted, empty)


def test_the_block_size_of_the_model_is_the_default():
    lm = from_scratch(SPEC, block_size=2)
    trained = generate(lm, [1, 2], max_new_tokens=8, keep_steps=True)
    assert [step.at[0, 1].item() // 2 for step in trained.steps] == [0, 0, 1, 1, 2, 2, 3, 3][: trained.forwards]
    assert sequences(trained) == sequences(generate(lm, [1, 2], max_new_tokens=8, block_size=2))


REFUSED = {
    "nothing": ([], {}, "no prompt: expected at least one"),
    "no canvas": ("12", {"max_new_tokens": 0}, "max_new_tokens=0: expected at least 1"),
    "both": ("12", {"decoder": Decoder(), "steps": 4}, r"give either decoder=… or its fields \['steps'\], not both"),
    "steps": ("12", {"steps": 5, "block_size": 4, "max_new_tokens": 8}, "steps=5: expected a multiple of the 2 blocks"),
    "selection": ("12", {"selection": "quota", "threshold": 0.9}, "needs the selection 'threshold', found 'quota'"),
    "field": ("12", {"blok_size": 4}, "blok_size: unknown key; did you mean 'block_size'?"),
    "ids": ([1, 66], {}, r"prompt: expected token ids from 0 to 65, found 66"),
    "negative": (torch.tensor([[-1]]), {}, r"prompt: expected token ids from 0 to 65, found -1"),
    "kind": ([1.5, 2.0], {}, "prompt: expected text, chat messages or token ids, found"),
    "number": (7, {}, "prompt: expected text, chat messages or token ids, found"),
}


@pytest.mark.parametrize(("prompts", "options", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_decoded_is_refused(unchecked, lm, prompts, options, says):
    with pytest.raises(UserError, match=says):
        generate(lm, prompts, **options)


def test_text_without_a_tokenizer(lm):
    from dataclasses import replace

    bare = replace(lm, tokenizer=None)
    with pytest.raises(UserError, match="text prompt: the model has no tokenizer; give token ids"):
        generate(bare, "12")
    assert generate(bare, [1, 2], max_new_tokens=2).texts == [""]


def test_public_functions_stay_functions_when_their_modules_are_imported():
    """Python binds an imported submodule to its package, which would hide a function of the same name."""
    import unmask.evaluate.api
    import unmask.train.config  # noqa: F401

    assert unmask.generate is generate
    assert unmask.stream is stream
    for name in ("evaluate", "generate", "load", "train"):
        assert callable(getattr(unmask, name)), name


def test_a_text_beyond_the_positions_of_the_model_is_told_once(caplog):
    short = from_scratch(ScratchSpec(hidden_size=32, layers=1, heads=2, max_positions=8))
    generate(short, [1, 2], max_new_tokens=6, threshold=0)
    assert not caplog.text
    for _ in range(2):
        generate(short, [[1, 2, 3], [1]], max_new_tokens=6, threshold=0)
    assert [record.getMessage()[:68] for record in caplog.records] == [
        "a prompt and its answer take 9 columns, and the model was made for 8"
    ]
