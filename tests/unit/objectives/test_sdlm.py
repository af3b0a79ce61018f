"""SDLM: blocks behind random anchors of a causal text."""

from dataclasses import replace

import pytest
import torch
from texts import END, M, ask, causal, lay, tiny

from unmask.core.attention import ANCHORED, CLEAN, PAD, may_attend
from unmask.core.attention_rules import Causal
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.data import Encoded
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import Sdlm
from unmask.tasks import TASKS
from unmask.train import Layout, TrainRun, train

SHIFTED = ["llama-shifted", "qwen2-shifted"]
EVERY = 1e9
"""So often that every candidate is an anchor."""


def shown(query, row=0):
    """(token, position, document) of the columns of a row, stream by stream; padding left out."""
    c = query.columns
    columns = zip(query.ids[row].tolist(), c.position[row].tolist(), c.segment[row].tolist(), strict=True)
    streams = c.stream[row].tolist()
    return {s: [x for x, t in zip(columns_, streams, strict=True) if t == s and x[2] != PAD]
            for columns_ in [list(columns)] for s in (CLEAN, ANCHORED)}  # fmt: skip


def sampled(query, row=0):
    """Anchors in order."""
    c = query.columns
    return list(dict.fromkeys(c.block[row][c.stream[row] == ANCHORED].tolist()))


def one():
    """A prompt of 2 and 3 answer tokens; the canvas has 3 columns of filler."""
    return lay_out([Example(prompt=[1, 2], answer=[3, 4, END], order=0, canvas=6)], block_size=6, filler_id=END)


def test_layout_by_hand():
    """Anchors at the prompt's last token and at the token before the end: blocks of 2 with the anchor's copy."""
    n = ask(Sdlm(block_size=2, repeat=2 / 1.5), one(), tiny("llama-shifted"), anchor=[[0, 0.9, 0.5, 0.7, 0, 0, 0, 0]])
    mask = n.query.ids[0, 6].item()
    assert shown(n.query) == {
        CLEAN: [(1, 0, 0), (2, 1, 0), (3, 2, 0), (4, 3, 0), (END, 4, 0)],
        ANCHORED: [(2, 1, 0), (mask, 2, 0), (4, 3, 0), (mask, 4, 0)],
    }
    # Column c is asked and the state at c - 1 answers: slot 0 of the first block is column 5, of the second 7.
    assert n.query_positions.tolist() == [[0, 6], [0, 7], [0, 8]]
    assert n.targets.tolist() == [3, 4, END]
    assert n.weight.tolist() == pytest.approx([1 / 3] * 3)
    assert float(n.count) == 1
    assert n.query.before is None


def test_layout_without_shift_by_hand():
    """Then a block has one mask more, and each mask answers for itself."""
    n = ask(Sdlm(block_size=2, repeat=2 / 1.5), one(), anchor=[[0, 0.9, 0.5, 0.7, 0, 0, 0, 0]])
    assert shown(n.query)[ANCHORED] == [(2, 1, 0), (M, 2, 0), (M, 3, 0), (4, 3, 0), (M, 4, 0), (M, 5, 0)]
    assert n.query_positions.tolist() == [[0, 6], [0, 7], [0, 9]]
    assert n.targets.tolist() == [3, 4, END]
    positions = n.query.columns.position[0, n.query_positions[:, 1]].tolist()
    assert positions == [2, 3, 4]  # those of the targets


def test_targets_stop_after_the_end_of_turn():
    """Neither filler nor anything of the tail is a target, however long the block."""
    n = ask(Sdlm(block_size=8, repeat=EVERY), one(), tiny("llama-shifted"))
    assert sampled(n.query) == [1, 2, 3]
    assert n.targets.tolist() == [3, 4, END, 4, END, END]
    assert (n.query.columns.segment != PAD).sum() == 5 + 3 * 8


def test_targets_stop_at_the_end_of_a_packed_text():
    """The text beside it starts with an answer right away."""
    batch = lay((2, 4), (0, 3), block=4, row_length=10)
    assert batch.owner.tolist() == [[0] * 6 + [1] * 4]
    n = ask(Sdlm(block_size=8, repeat=EVERY), batch, tiny("llama-shifted"))
    assert torch.bincount(n.example).tolist() == [4 + 3 + 2 + 1, 2 + 1]
    text = batch.ids[0].tolist()
    assert n.targets[n.example == 0].tolist() == [t for start in range(2, 6) for t in text[start:6]]


@pytest.mark.parametrize(("length", "block", "repeat", "anchors"), [(8, 2, 1.0, 4), (8, 4, 3.0, 6), (8, 8, 3.0, 3),
    (3, 8, 1.0, 1), (5, 2, 1.0, 2), (4, 2, 9.0, 4)])  # fmt: skip
def test_number_of_anchors(length, block, repeat, anchors):
    """floor(repeat n / D), at least one, at most one for each of the n candidates; never the same twice."""
    batch = lay((3, length), block=8)
    for seed in range(5):
        found = sampled(ask(Sdlm(block_size=block, repeat=repeat), batch, seed=seed).query)
        assert len(set(found)) == len(found) == anchors
        assert set(found) <= set(range(2, 2 + length))


def test_every_anchor_is_drawn_alike():
    batch = lay(*[(3, 8)] * 400, block=8)
    n = ask(Sdlm(block_size=4, repeat=1.0), batch)
    found = [q for row in range(400) for q in sampled(n.query, row)]
    counts = torch.bincount(torch.tensor(found), minlength=10)[2:]
    assert len(found) == 800
    assert (
        float(((counts - 100.0) ** 2 / 100).sum()) < 24.3
    )  # 7 degrees of freedom, p = .001 (fewer without replacement)


def test_an_answer_without_a_prompt_has_no_anchor_for_its_first_token():
    n = ask(Sdlm(block_size=2, repeat=EVERY), lay((0, 4), block=4), tiny("llama-shifted"))
    assert sampled(n.query) == [0, 1, 2]


@pytest.mark.parametrize("causal_blocks", [False, True])
@pytest.mark.parametrize("packed", [None, 40], ids=["padded", "packed"])
@pytest.mark.parametrize("name", [*SHIFTED, "llama"])
def test_a_block_sees_its_prefix_without_its_anchor_and_itself(name, packed, causal_blocks):
    """6: no other block, no later text, no clean copy of the anchor; the clean text is causal and sees no block."""
    lm = tiny(name)
    batch = lay((3, 8), (2, 5), (1, 4), row_length=packed)
    n = ask(Sdlm(block_size=3, causal_blocks=causal_blocks), batch, lm)
    c = n.query.columns
    seen = may_attend(n.query.rule, c, c)
    for row in range(len(c.position)):
        for q in range(c.position.shape[1]):
            for k in range(c.position.shape[1]):
                if c.segment[row, q] == PAD or c.segment[row, k] != c.segment[row, q]:
                    continue
                before = c.position[row, k] < c.position[row, q]
                at_or_before = before | (c.position[row, k] == c.position[row, q])
                if c.stream[row, q] == CLEAN:
                    expected = c.stream[row, k] == CLEAN and at_or_before
                elif c.stream[row, k] == CLEAN:
                    expected = c.position[row, k] < c.block[row, q]
                else:
                    expected = c.block[row, k] == c.block[row, q] and (at_or_before or not causal_blocks)
                assert bool(seen[row, q, k]) == bool(expected)


@pytest.mark.parametrize("name", [*SHIFTED, "llama"])
def test_blocks_do_not_know_each_other(name):
    """Through a model: other tokens in all other blocks, after the anchor and at its clean copy change nothing."""
    lm = tiny(name)
    batch = lay((3, 8), (2, 8), row_length=21)
    n = ask(Sdlm(block_size=3, repeat=1.0), batch, lm)
    c, queried = n.query.columns, n.query_positions[:, 1] - int(lm.shift)
    with torch.no_grad():
        plain = lm.logits(n.query, n.query_positions)
        for k in range(0, len(n.query_positions), 3):
            document, anchor = int(c.segment[0, queried[k]]), int(c.block[0, queried[k]])
            mine = (c.segment == document) & (c.stream == ANCHORED) & (c.block == anchor)
            prefix = (c.segment == document) & (c.stream == CLEAN) & (c.position < anchor)
            ids = torch.where(mine | prefix, n.query.ids, (n.query.ids + 3) % 9)
            moved = lm.logits(replace(n.query, ids=ids), n.query_positions)
            same = mine[0, queried]
            torch.testing.assert_close(moved[same], plain[same], rtol=0, atol=1e-5)
            assert (moved[~same] - plain[~same]).abs().max() > 1e-2


@pytest.mark.parametrize("name", SHIFTED)
@pytest.mark.parametrize("packed", [None, 40], ids=["padded", "packed"])
def test_blocks_of_one_are_next_token_training_on_drawn_anchors(name, packed):
    """D = 1: the loss of a causal model on the tokens after the anchors."""
    lm = tiny(name)
    batch = lay((3, 8), (2, 5), (1, 4), row_length=packed)
    n = ask(Sdlm(block_size=1, repeat=0.5, normaliser="per_masked"), batch, lm)
    assert len(n.query_positions) == 4 + 2 + 2
    with torch.no_grad():
        mine = lm.score(n.query, n.query_positions, n.targets).nll
        c, state = n.query.columns, n.query_positions[:, 1] - 1
        row = n.query_positions[:, 0]
        wanted = zip(c.segment[row, state].tolist(), (c.block[row, state] + 1).tolist(), strict=True)
        at = [
            ((batch.owner == document) & (batch.position == position)).nonzero()[0].tolist()
            for document, position in wanted
        ]
        at = torch.tensor(at)
        theirs = lm.score(causal(batch, Causal()), at, n.targets).nll
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    assert torch.equal(batch.ids[at[:, 0], at[:, 1]], n.targets)


@pytest.mark.parametrize("name", SHIFTED)
def test_the_first_slot_of_causal_blocks_is_the_autoregressive_model(name):
    """6: same visible tokens, same positions. In bidirectional blocks the first slot sees the masks behind it."""
    lm = tiny(name)
    batch = lay((3, 8), (2, 5))
    with torch.no_grad():
        for causal_blocks in (True, False):
            n = ask(Sdlm(block_size=4, repeat=EVERY, causal_blocks=causal_blocks), batch, lm)
            c, state = n.query.columns, n.query_positions[:, 1] - 1
            row = n.query_positions[:, 0]
            is_first = c.position[row, state] == c.block[row, state]
            at = torch.stack([row, c.position[row, state] + 1], dim=1)[is_first]
            change = lm.logits(n.query, n.query_positions)[is_first] - lm.logits(causal(batch, Causal()), at)
            assert len(at) == 13
            assert change.abs().max() < 1e-5 if causal_blocks else change.abs().max() > 1e-2


def test_the_loss_divides_by_examples_or_by_all_asked_tokens():
    batch = lay((3, 8), (2, 4), block=8)
    for normaliser in ("per_masked_row", "per_masked"):
        objective = Sdlm(block_size=4, normaliser=normaliser)
        n = ask(objective, batch)
        sizes = torch.bincount(n.example)
        expected = 1 / sizes[n.example] if normaliser == "per_masked_row" else torch.ones(len(n.query_positions))
        torch.testing.assert_close(n.weight, expected)
        assert float(n.count) == (2 if normaliser == "per_masked_row" else len(n.query_positions))


def test_it_leaves_a_context_causal_model():
    assert Sdlm().attention == "context_causal"
    assert Sdlm(block_size=8).block_size == 8


def ahead(lm, prompts, answers):
    """The block's greedy tokens at every anchor: (example, anchor's offset) -> tokens, as far as there are targets."""
    pairs = enumerate(zip(prompts, answers, strict=True))
    examples = [Example(prompt=p, answer=a, order=i, canvas=len(a)) for i, (p, a) in pairs]
    batch = lay_out(examples, block_size=4, filler_id=lm.filler_id)
    n = Sdlm(repeat=EVERY).noise(batch, model=lm, draws=Draws(seed=0), progress=1.0)
    with torch.no_grad():
        token = lm.logits(n.query, n.query_positions).argmax(-1)
    anchor = n.query.columns.block[n.query_positions[:, 0], n.query_positions[:, 1] - 1].tolist()
    found = {}
    for e, q, t in zip(n.example.tolist(), anchor, token.tolist(), strict=True):
        found.setdefault((e, q - len(prompts[e]) + 1), []).append(t)
    return found


def one_token_at_a_time(lm, prompts, length):
    """Greedy decoding by the first slot of a block: always one accepted token a forward."""
    texts = [[] for _ in prompts]
    for offset in range(length):
        found = ahead(lm, prompts, [[*text, 0] for text in texts])  # the 0 stands where no anchor sees it
        for e, text in enumerate(texts):
            text.append(found[e, offset][0])
    return texts


def accepted(lm, prompts, texts):
    """Mean length of the prefix of a block of 4 that equals the text, over all anchors that 4 tokens follow."""
    counts = []
    for (e, offset), tokens in ahead(lm, prompts, texts).items():
        if len(tokens) == 4:
            equal = [mine == theirs for mine, theirs in zip(tokens, texts[e][offset:], strict=False)]
            assert equal[0]  # the first slot wrote the text
            counts.append(next((i for i, is_equal in enumerate(equal) if not is_equal), 4))
    return sum(counts) / len(counts)


def test_it_learns_to_write_several_tokens_at_once(tmp_path):
    """Trained on sorting for seconds, blocks of 4 agree with decoding one token a forward, and that is mostly right."""
    task = TASKS["sorting"](shortest=4, longest=4)
    lm = from_scratch(ScratchSpec(hidden_size=64, layers=2, heads=4), shift=True)
    encode = lm.tokenizer.encode
    rows = [
        Encoded(prompt=encode(p.prompt), answer=[*encode(p.solution), lm.filler_id], source=p.source)
        for p in task.problems("train", 2000, 0)
    ]
    run = TrainRun(objective=Sdlm(), steps=200, batch_size=32, lr=5e-3)
    train(lm, rows, run, out=tmp_path / "run", layout=Layout(), show=False)
    assert lm.facts.attention == "context_causal"
    problems = task.problems("test", 20, 0)
    prompts = [encode(p.prompt) for p in problems]
    texts = one_token_at_a_time(lm, prompts, 9)
    assert sum(task.is_right(lm.tokenizer.decode(t), p) for t, p in zip(texts, problems, strict=True)) >= 10
    assert accepted(lm, prompts, texts) > 1.5
