"""Training mirrors decoding: the same block state built through both paths gives the same logits."""

import pytest
import torch

from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws, RecordedDraws
from unmask.decoding import Decoder, decode
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import Blockwise

PROMPT, ANSWER, BLOCK, CANVAS = [11, 12, 13], list(range(1, 12)), 4, 16


@pytest.mark.parametrize("attention", ["bidirectional", "block_causal"])
@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("block", [0, 1, 2])
def test_training_and_decoding_read_the_same_and_answer_the_same(attention, shift, block):
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3), shift=shift, attention=attention)
    answer = [*ANSWER, lm.filler_id]
    blocks = len(answer) / BLOCK

    train = lay_out(
        [Example(prompt=PROMPT, answer=answer, order=0, canvas=CANVAS)], block_size=BLOCK, filler_id=lm.filler_id
    )
    recorded = {
        "block": torch.tensor([(block + 0.5) / blocks]),
        "t": torch.tensor([1.0]),
        "mask": torch.zeros(1, len(PROMPT) + CANVAS),
    }
    noised = Blockwise(block_size=BLOCK).noise(
        train, model=lm, draws=RecordedDraws(seed=0, values=recorded), progress=0.0
    )

    # Decoding, with the gold tokens forced for the earlier blocks: what a perfect model would have written.
    empty = lay_out(
        [Example(prompt=PROMPT, answer=(), order=0, canvas=CANVAS)], block_size=BLOCK, filler_id=lm.filler_id
    )
    empty.ids[0, len(PROMPT) : len(PROMPT) + block * BLOCK] = torch.tensor(answer[: block * BLOCK])
    seen = []

    class Spy:
        mask_id, eos_ids, vocab_size, rule = lm.mask_id, lm.eos_ids, lm.vocab_size, lm.rule
        heads, shift, store, score = lm.heads, lm.shift, lm.store, lm.score

        def logits(self, query, query_positions):
            seen.append((query, query_positions, lm.logits(query, query_positions)))
            return seen[-1][2]

    is_open = empty.is_canvas & (empty.offset >= block * BLOCK)
    resolved = Decoder(block_size=BLOCK, stop="never").resolve()
    with torch.no_grad():
        next(decode(Spy(), empty, resolved, draws=Draws(seed=0), is_open=is_open))
        query, at, decoded = seen[0]
        assert torch.equal(noised.query.ids, query.ids)
        assert torch.equal(noised.query.columns.position, query.columns.position)
        assert torch.equal(noised.query_positions, at)
        assert torch.equal(lm.logits(noised.query, noised.query_positions), decoded)


def test_a_saved_model_decodes_with_the_block_size_it_was_trained_with(tmp_path):
    from unmask.data import Encoded
    from unmask.generate import generate
    from unmask.models import load
    from unmask.train import TrainRun, train

    lm = from_scratch(ScratchSpec(hidden_size=32, layers=1, heads=2))
    examples = [Encoded(prompt=PROMPT, answer=[*ANSWER, lm.filler_id], source="row")]
    run = TrainRun(objective=Blockwise(block_size=BLOCK), steps=1, batch_size=1)
    result = train(lm, examples, run, out=tmp_path / "run", show=False)
    tuned = load(str(result.model))
    assert tuned.facts.block_size == BLOCK
    out = generate(tuned, torch.tensor([PROMPT]), max_new_tokens=8, stop="never", keep_steps=True)
    assert [int(step.at[0, 1]) // BLOCK for step in out.steps] == [0] * 4 + [1] * 4
