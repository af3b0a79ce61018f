"""What a run writes of itself is enough to decode in the same way again."""

from dataclasses import replace

import torch

from unmask.config.components import fill
from unmask.decoding import Decoder
from unmask.evaluate.record import settings_of
from unmask.generate import generate
from unmask.models import ScratchSpec, from_scratch
from unmask.tasks import TASKS


def test_the_decoder_of_a_record_decodes_as_the_run_did():
    """On a model whose blocks are counted from the start of the text, too: nothing of what it adds is lost."""
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.6, seed=3), tokenizer="digits")
    lm.facts = replace(lm.facts, attention="block_causal", block_size=4, grid="text", shift=False)
    task, decoder = TASKS["sorting"](), Decoder(stop="never")
    problems = task.problems("test", 2, 0)
    kept = settings_of(
        lm,
        task,
        problems,
        decoder=decoder,
        model="m",
        split="test",
        max_new_tokens=9,
        batch_size=2,
        samples=1,
        seed=0,
        size=2,
    )
    assert kept["decoder"]["blocks"] == {"name": "fixed", "block_size": 4, "grid": "text"}
    again = fill(Decoder, kept["decoder"])
    prompts, length = [[1, 2, 3], [4, 5, 6, 1, 2]], 9
    found = [generate(lm, prompts, decoder=each, max_new_tokens=length).sequences for each in (decoder, again)]
    counted = generate(lm, prompts, decoder=Decoder(stop="never", blocks={"name": "fixed", "grid": "answer"}),
                       max_new_tokens=length).sequences  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(found[0], counted, strict=True))
