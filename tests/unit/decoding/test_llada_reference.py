"""Our loop against LLaDA's semi-autoregressive sampler, written down again from its description, one row at a time."""

import pytest
import torch

from toys import Hash
from unmask.core.attention import BIDIRECTIONAL
from unmask.core.batch import Example, lay_out
from unmask.decoding import Decoder
from unmask.generate import generate
from unmask.models import ScratchSpec, from_scratch


def reference(model, prompt, length, block, steps):
    """Fill ``length`` masks after the prompt: per block, the surest tokens by a quota that sums to the block."""
    text = prompt + [model.mask_id] * length
    blocks = length // block
    per_block = steps // blocks
    for number in range(blocks):
        begin = len(prompt) + number * block
        base, rest = divmod(block, per_block)
        for step in range(per_block):
            quota = base + (step < rest)
            if quota == 0:
                continue
            batch = lay_out([Example(prompt=text, answer=(), order=0, canvas=0)], block_size=block, filler_id=0)
            at = torch.tensor([[0, column] for column in range(len(text))])
            logits = model.logits(batch.query(batch.ids, BIDIRECTIONAL), at)
            probability = logits.softmax(-1)
            logits[:, model.mask_id] = -torch.inf
            token = logits.argmax(-1)
            open_columns = [c for c in range(begin, begin + block) if text[c] == model.mask_id]
            open_columns.sort(key=lambda c: (-float(probability[c, token[c]]), c))
            for column in open_columns[:quota]:
                text[column] = int(token[column])
    return text


CASES = [(5, 16, 4, 16), (1, 16, 16, 16), (3, 12, 4, 6), (2, 24, 8, 9), (7, 8, 8, 3)]


@pytest.mark.parametrize(("prompt", "length", "block", "steps"), CASES)
def test_token_for_token_on_a_toy(prompt, length, block, steps):
    from unmask.core.random import Draws
    from unmask.decoding import decode

    ids = list(range(prompt))
    batch = lay_out([Example(prompt=ids, answer=(), order=0, canvas=length)], block_size=block, filler_id=9)
    resolved = Decoder(block_size=block, steps=steps, stop="never").resolve()
    *_, last = decode(Hash(), batch, resolved, draws=Draws(seed=0))
    assert last.state.ids[0].tolist() == reference(Hash(), ids, length, block, steps)


@pytest.mark.parametrize(("prompt", "length", "block", "steps"), CASES)
@pytest.mark.parametrize("shift", [False, True])
def test_token_for_token_on_a_model(prompt, length, block, steps, shift):
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.4, seed=steps), shift=shift)
    ids = torch.randint(0, 60, (prompt,), generator=torch.Generator().manual_seed(length)).tolist()
    out = generate(lm, [ids], decoder=Decoder(block_size=block, steps=steps, stop="never"), max_new_tokens=length)
    with torch.inference_mode():
        assert out.sequences[0].tolist() == reference(lm, ids, length, block, steps)
