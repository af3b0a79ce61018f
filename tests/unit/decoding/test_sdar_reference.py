"""Blocks counted from the start of the text: SDAR's sampler, written down from its description, one row at a time."""

from dataclasses import replace

import pytest
import torch

from unmask.core.query import Query
from unmask.decoding import Decoder
from unmask.generate import generate
from unmask.models import ScratchSpec, from_scratch
from unmask.models.facts import Facts

BLOCK = 4


@pytest.fixture(scope="module")
def lm():
    spec = ScratchSpec(hidden_size=32, layers=2, heads=2, architecture="qwen3", seed=3, init_std=0.6)
    lm = from_scratch(spec, tokenizer="digits")
    lm.facts = replace(lm.facts, attention="block_causal", block_size=BLOCK, grid="text", shift=False)
    return lm


class Absolute:
    """Blocks of the whole text, each seeing itself and those before it."""

    def allows(self, q, k):
        return k.position // BLOCK <= q.position // BLOCK


def reference(lm, prompt, length, *, threshold, steps):
    """Per block of the text: all tokens above the threshold if they are as many as the quota, else the quota's best."""
    text = prompt + [lm.mask_id] * length
    while lm.mask_id in text:
        first = text.index(lm.mask_id) // BLOCK * BLOCK
        places = [c for c in range(first, min(first + BLOCK, len(text))) if text[c] == lm.mask_id]
        for step in range(steps):
            if not places:
                break
            quota = BLOCK // steps + (step < BLOCK % steps)  # of the block, whatever the prompt fills of it
            ids = torch.tensor([text])
            zero = torch.zeros_like(ids)
            from unmask.core.attention import Columns

            columns = Columns(position=torch.arange(len(text))[None], segment=zero, block=zero, stream=zero)
            query = Query(ids=ids, columns=columns, rule=Absolute())
            with torch.no_grad():
                logits = lm.logits(query, torch.tensor([[0, c] for c in places])).double()
            probability = logits.softmax(-1)
            logits[:, lm.mask_id] = -torch.inf
            token = logits.argmax(-1)
            sure = {c: float(probability[i, token[i]]) for i, c in enumerate(places)}
            ranked = sorted(places, key=lambda c: (-sure[c], c))
            high = [c for c in places if sure[c] > threshold]
            for column in high if len(high) >= quota else ranked[:quota]:
                text[column] = int(token[places.index(column)])
            places = [c for c in places if text[c] == lm.mask_id]
    return text


@pytest.mark.parametrize("prompt", [1, 3, 4, 6, 8, 11])
@pytest.mark.parametrize(("threshold", "steps"), [(2.0, 4), (2.0, 2), (0.3, 4), (0.3, 2), (0.15, 1)])
@pytest.mark.parametrize("cache", ["none", "block"])
def test_token_for_token(lm, prompt, threshold, steps, cache):
    ids = torch.randint(0, 7, (prompt,), generator=torch.Generator().manual_seed(prompt)).tolist()
    length = 16 - prompt % BLOCK
    total = steps * -(-length // BLOCK)
    found = generate(lm, ids, max_new_tokens=length, threshold=threshold, steps=total, stop="never", cache=cache)
    assert found.sequences[0].tolist() == reference(lm, ids, length, threshold=threshold, steps=steps)


def test_the_prompt_is_block_causal_too_and_rows_keep_their_grids(lm):
    """A batch of uneven prompts equals the single runs; the answer's grid gives another text."""
    prompts = [[1, 2, 3], [4, 5, 6, 1, 2, 3], [5, 1, 1, 2, 4, 2, 3, 3, 1]]
    options = {"max_new_tokens": 12, "stop": "never"}
    together = generate(lm, prompts, **options)
    for prompt, ids in zip(prompts, together.sequences, strict=True):
        assert torch.equal(generate(lm, prompt, **options).sequences[0], ids)
    facts = lm.facts
    lm.facts = replace(facts, grid="answer")
    try:
        other = generate(lm, prompts, **options)
    finally:
        lm.facts = facts
    assert any(not torch.equal(a, b) for a, b in zip(together.sequences, other.sequences, strict=True))


def test_a_checkpoint_of_the_family_says_so_and_what_is_trained_by_blocks_counts_from_the_answer(lm):
    from unmask.models.families.qwen import SDAR

    assert (SDAR.grid, SDAR.attention) == ("text", "block_causal")
    assert Facts.from_config(lm.facts.as_config()).grid == "text"
    assert Decoder().resolve(trained_block_size=BLOCK, grid="text").blocks.grid == "text"
