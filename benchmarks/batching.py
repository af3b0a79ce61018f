"""Eight uneven prompts side by side against one after the other: the same text, and how much sooner.

The model has SmolLM2-135M's shape with random weights; prompts of 64 to 256 tokens, a canvas of one block of 32 (or
`--blocks` of them), one token a step. Without a cache on a bidirectional model, with `dual` on the same, and with
`block` on a block-causal one. `--ended 6`: six of the rows are full after the first step, and the others go on alone.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from shape import END, MASK, model

from unmask.core.batch import Batch, Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, decode
from unmask.models import LoadedModel

BLOCK, ROWS = 32, 8
VARIANTS = {"none": "bidirectional", "dual": "bidirectional", "block": "block_causal"}


def examples(blocks: int) -> list[Example]:
    """Prompts of even steps from 64 to 256 tokens."""
    generator = torch.Generator().manual_seed(0)
    lengths = [64 + row * 192 // (ROWS - 1) for row in range(ROWS)]
    prompts = [torch.randint(1, MASK, (length,), generator=generator).tolist() for length in lengths]
    return [Example(prompt=p, answer=(), order=row, canvas=blocks * BLOCK) for row, p in enumerate(prompts)]


def run(lm: LoadedModel, cache: str, batch: Batch, ended: int = 0) -> tuple[float, list[torch.Tensor]]:
    """Decode a batch; return the seconds and the canvases."""
    resolved = Decoder(block_size=BLOCK, stop="never", cache=cache).resolve()
    is_open = (batch.offset < 1) | (torch.arange(len(batch.order)) >= ended)[:, None]
    began = time.perf_counter()
    with torch.inference_mode():
        for step in decode(lm, batch, resolved, draws=Draws(seed=0), is_open=is_open):
            ids = step.state.ids
    seconds = time.perf_counter() - began
    return seconds, [ids[row][batch.is_canvas[row]] for row in range(len(ids))]


def compare(lm: LoadedModel, cache: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Take turns between the batch and the single rows."""
    rows, ratios, same = examples(arguments.blocks), [], []
    singles = rows[arguments.ended :]
    together = lay_out(rows, block_size=BLOCK, filler_id=END)
    for _ in range(arguments.rounds):
        batch_seconds, texts = run(lm, cache, together, arguments.ended)
        alone = [run(lm, cache, lay_out([row], block_size=BLOCK, filler_id=END)) for row in singles]
        ratios.append(sum(seconds for seconds, _ in alone) / batch_seconds)
        pairs = zip(texts[arguments.ended :], alone, strict=True)
        same.append(sum(bool(torch.equal(text, ids[0])) for text, (_, ids) in pairs))
    return {"faster": statistics.median(ratios), "range": [min(ratios), max(ratios)], "same": min(same)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=30, help="fewer: to try the script")
    parser.add_argument("--ended", type=int, default=0, help="rows that are full after a step; the others are compared")
    parser.add_argument("--only", choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    print(f"{ROWS} rows, {arguments.blocks} blocks, {arguments.rounds} rounds on {os.cpu_count()} cores")
    figures = {}
    for cache, attention in VARIANTS.items():
        if arguments.only in (None, cache):
            lm = model(layers=arguments.layers, attention=attention)
            lm.model.eval()
            found = figures[cache] = compare(lm, cache, arguments)
            low, high = found["range"]
            print(
                f"{cache:8}{found['faster']:6.2f} times as fast ({low:.2f} to {high:.2f}); same text in "
                f"{found['same']} of {ROWS - arguments.ended} rows",
                flush=True,
            )
    if arguments.out:
        setting = {"blocks": arguments.blocks, "layers": arguments.layers, "ended": arguments.ended}
        arguments.out.write_text(json.dumps({**setting, "caches": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
