"""What the decoding loop costs beside the model: every step's time less that of the model's own call.

The model looks its logits up in a table. Prompts of 64 tokens, a canvas of 128, blocks of 32, one token a step. The
cost at 64 rows is compared with that at 8. A large vocabulary is shown, too: choosing among 49,152 tokens and measuring
how sure that is reads every logit twice, whatever the loop does.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from unmask.core.attention import BIDIRECTIONAL
from unmask.core.batch import Batch, Example, lay_out
from unmask.core.protocols import Query
from unmask.core.random import Draws
from unmask.decoding import Decoder, decode

PROMPT, CANVAS, BLOCK = 64, 128, 32
DECODERS = {
    "quota": {},
    "threshold": {"threshold": 0.9},
    "entropy": {"selection": {"name": "quota", "score": "entropy"}},
    "edit": {"revision": "edit"},
}


class Table:
    """Logits by position, and how long it took to look them up."""

    rule, heads, shift, eos_ids = BIDIRECTIONAL, {}, False, (1,)

    def __init__(self, vocabulary: int) -> None:
        self.vocab_size, self.mask_id, self.seconds = vocabulary, vocabulary - 1, 0.0
        self.table = torch.randn(PROMPT + CANVAS, vocabulary, generator=torch.Generator().manual_seed(0))

    def logits(self, query: Query, query_positions: Tensor) -> Tensor:
        """Look up."""
        began = time.perf_counter()
        found = self.table[query.columns.position[query_positions[:, 0], query_positions[:, 1]]]
        self.seconds += time.perf_counter() - began
        return found


def rows(count: int) -> Batch:
    """Prompts of one token, repeated."""
    examples = [Example(prompt=(2,) * PROMPT, answer=(), order=row, canvas=CANVAS) for row in range(count)]
    return lay_out(examples, block_size=BLOCK, filler_id=1)


def overhead(table: Table, batch: Batch, decoder: Decoder) -> float:
    """Milliseconds a step that are not the model's."""
    table.seconds, steps = 0.0, 0
    began = time.perf_counter()
    with torch.inference_mode():
        for _ in decode(table, batch, decoder.resolve(), draws=Draws(seed=0)):
            steps += 1
    return (time.perf_counter() - began - table.seconds) / steps * 1e3


def main() -> None:
    """Take turns between 8 and 64 rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    table, batches = Table(arguments.vocabulary), {count: rows(count) for count in (8, 64)}
    figures = {}
    print(f"{arguments.rounds} rounds on {os.cpu_count()} cores, {arguments.vocabulary} tokens; ms a step")
    print(f"{'decoder':12}{'8 rows':>10}{'64 rows':>10}{'ratio':>8}")
    for name, fields in DECODERS.items():
        decoder = Decoder(block_size=BLOCK, stop="never", **fields)
        taken: dict[int, list[float]] = {count: [] for count in batches}
        for _ in range(arguments.rounds):
            for count, batch in batches.items():
                taken[count].append(overhead(table, batch, decoder))
        few, many = (statistics.median(each) for each in taken.values())
        figures[name] = {"8": few, "64": many, "ratio": many / few}
        print(f"{name:12}{few:10.2f}{many:10.2f}{many / few:8.2f}")
    if arguments.out:
        setting = {"vocabulary": arguments.vocabulary, "rounds": arguments.rounds}
        arguments.out.write_text(json.dumps({**setting, "milliseconds": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
