"""What caches save in decoding: the same decoder with each of them and without, taking turns in one process.

The model has SmolLM2-135M's shape with random weights: 256 prompt tokens, a canvas of 256, blocks of 32, one token a
step. `block` is compared with reading the prefix and the current block at every step (same tokens out, which is
checked), `dual` and `prefix` with reading the whole canvas. With fewer than all 8 blocks those in the middle are timed,
in a run in which the text before them is there: its first reading, which all blocks share, is left out.
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from shape import END, MASK, model

from unmask.core.attention import PAD
from unmask.core.batch import Batch, Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, decode
from unmask.models import LoadedModel

PROMPT, CANVAS, BLOCK = 256, 256, 32
COMPARISONS = {"block_causal": ("prefix + block", ["block"]), "bidirectional": ("whole canvas", ["dual", "prefix"])}


@dataclass(frozen=True)
class UpToTheBlock:
    """What is done without a cache on a model whose blocks never see later ones: those are not read."""

    is_exact: ClassVar[bool] = True

    def open(self, lm: LoadedModel) -> Any:
        """Read up to the end of the active block."""
        return _Truncated(lm)


class _Truncated:
    def __init__(self, lm: LoadedModel) -> None:
        self.lm, self.forwards = lm, 0

    def logits(self, query: Any, query_positions: Any, *, state: Any, rows: Any) -> Any:
        self.forwards += 1
        block = (state.block_end[rows].max() - 1) // BLOCK
        end = int(((query.columns.segment != PAD) & (query.columns.block <= block)).sum(1).max())
        return self.lm.logits(replace(query, ids=query.ids[:, :end], columns=query.columns[:, :end]), query_positions)


CACHES = {"prefix + block": UpToTheBlock(), "whole canvas": "none"}


def run(lm: LoadedModel, cache: Any, batch: Batch, blocks: int) -> tuple[float, torch.Tensor]:
    """Decode the blocks in the middle; return the seconds and the text."""
    begin = (CANVAS // BLOCK - blocks + 1) // 2 * BLOCK
    is_open = (batch.offset >= max(begin - 1, 0)) & (batch.offset < begin + blocks * BLOCK)
    resolved = Decoder(block_size=BLOCK, stop="never", cache=cache).resolve()
    with torch.inference_mode():
        steps = decode(lm, batch, resolved, draws=Draws(seed=0), is_open=is_open)
        if begin:
            next(steps)  # fills the last column of the block before, and reads what stands before that
        started = time.perf_counter()
        for step in steps:
            ids = step.state.ids
        return time.perf_counter() - started, ids


def rows(count: int) -> Batch:
    """Random prompts, and random text in the canvas, of which the run opens what it decodes."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(1, MASK, (count, PROMPT + CANVAS), generator=generator).tolist()
    examples = [Example(prompt=t[:PROMPT], answer=t[PROMPT:], order=row, canvas=CANVAS) for row, t in enumerate(text)]
    return lay_out(examples, block_size=BLOCK, filler_id=END)


def main() -> None:
    """Take turns, and print ratios of medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=CANVAS // BLOCK, help="how many of the 8 are decoded")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved measurements of each variant")
    parser.add_argument("--layers", type=int, default=30, help="fewer: to try the script")
    parser.add_argument("--only", choices=list(COMPARISONS), help="one of the two comparisons")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    batch, figures = rows(arguments.batch), {}
    for attention, (baseline, names) in COMPARISONS.items():
        if arguments.only in (None, attention):
            lm = model(layers=arguments.layers, attention=attention)
            lm.model.eval()
            figures |= compare(lm, [baseline, *names], batch, arguments)
    if arguments.out:
        setting = {"batch": arguments.batch, "blocks": arguments.blocks, "layers": arguments.layers}
        arguments.out.write_text(json.dumps({**setting, "variants": figures}, indent=1) + "\n")


def compare(lm: LoadedModel, names: list[str], batch: Batch, arguments: argparse.Namespace) -> dict[str, Any]:
    """Time variants against the first of them."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    texts = {}
    for round_ in range(arguments.rounds):
        for name in names if round_ % 2 == 0 else reversed(names):
            taken, texts[name] = run(lm, CACHES.get(name, name), batch, arguments.blocks)
            seconds[name].append(taken)
    steps = arguments.blocks * BLOCK
    print(f"\n{arguments.batch} rows, {steps} steps, {arguments.rounds} rounds on {os.cpu_count()} cores")
    print(f"{'variant':16}{'s a step':>10}{'faster':>8}{'range':>16}{'same text':>11}")
    figures = {}
    for name in names:
        ratios = [b / s for s, b in zip(seconds[name], seconds[names[0]], strict=True)]
        median, faster = statistics.median(seconds[name]) / steps, statistics.median(ratios)
        same = float((texts[name] == texts[names[0]]).double().mean())
        figures[name] = {"seconds_a_step": median, "faster": faster, "range": [min(ratios), max(ratios)], "same": same}
        between = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{name:16}{median:10.3f}{faster:8.2f}{between:>16}{same:11.1%}")
    return figures


if __name__ == "__main__":
    main()
