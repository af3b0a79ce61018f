"""How noisy a step is: variance of the gradient, for the same forward tokens, of ways to train blocks.

On the quick start's base model and its task. For each setting gradients are taken of many steps, each on other
examples, the same for all settings; relative variance = E|g - mean g|^2 / |mean g|^2, times the tokens that a step
reads. A setting with half the figure needs half the compute for a gradient as steady. Means differ between weightings,
so only figures of one weighting tell which estimator is better; between weightings they tell how steady a step of a
given size is.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

import unmask
from unmask.core.batch import Batch
from unmask.core.protocols import Objective
from unmask.core.random import Draws
from unmask.data import Collator, encode
from unmask.models import LoadedModel
from unmask.objectives import Blockwise, Vanilla
from unmask.tasks import choose_task

SIZE = 7


def settings() -> Iterator[tuple[str, str, Objective]]:
    """Name, attention and objective of every row."""
    yield "vanilla", "bidirectional", Vanilla()
    yield "vanilla, not stratified", "bidirectional", Vanilla(stratified=False)
    for attention in ("bidirectional", "block_causal"):
        for weighting in ("per_masked", "elbo"):
            here = {"block_size": SIZE, "weighting": weighting}
            yield f"one, {weighting}", attention, Blockwise(**here)
            yield f"one, {weighting}, not stratified", attention, Blockwise(**here, stratified=False)
            yield f"one, {weighting}, by length", attention, Blockwise(**here, choose="length")
            layout = "views" if attention == "bidirectional" else "two_streams"
            yield f"all ({layout}), {weighting}", attention, Blockwise(**here, blocks="all", layout=layout)
            all_ = Blockwise(**here, blocks="all", layout=layout, stratified=False)
            yield f"all ({layout}), {weighting}, not stratified", attention, all_


def gradient(lm: LoadedModel, objective: Objective, batch: Batch, seed: int = 0) -> tuple[torch.Tensor, int]:
    """Return the flat gradient of one step, and the tokens that it read."""
    before = lm.flops.tokens
    noised = objective.noise(batch, model=lm, draws=Draws(seed=seed), progress=0.0)
    scored = lm.score(noised.query, noised.query_positions, noised.targets, want=objective.want)
    lm.model.zero_grad()
    (objective.loss(scored, noised) / noised.count).backward()
    flat = torch.cat([p.grad.flatten() for p in lm.model.parameters() if p.grad is not None])
    return flat.double(), lm.flops.tokens - before


def measure(lm: LoadedModel, objective: Objective, batches: Sequence[Batch]) -> dict[str, float]:
    """Estimate the relative variance, from sums so that no gradients are kept."""
    total, squares, tokens = None, 0.0, 0
    seeds = len(batches)
    for batch in batches:
        g, read = gradient(lm, objective, batch)
        total = g if total is None else total + g
        squares += float(g @ g)
        tokens += read
    mean = total / seeds
    variance = (squares - seeds * float(mean @ mean)) / (seeds - 1)
    signal = float(mean @ mean) - variance / seeds  # |mean|^2 is too large by the variance of the mean
    return {
        "relative_variance": variance / signal,
        "tokens": tokens / seeds,
        "per_token": variance / signal * tokens / seeds,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="asset:quickstart/model")
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    base = unmask.load(arguments.model, device="cpu")
    count = arguments.examples
    records = [p.record for p in choose_task("sorting").problems("train", count * arguments.steps, 0)]
    rows = encode(records, base.tokenizer, max_length=64, end_ids=base.eos_ids, chat=False)
    collate = Collator(block_size=SIZE, filler_id=base.filler_id, canvas=28, draws=Draws(seed=0))
    items = [{"prompt": e.prompt, "answer": e.answer, "order": i} for i, e in enumerate(rows)]
    data = [collate(items[begin : begin + count]) for begin in range(0, len(items), count)]
    figures = []
    print(f"{'setting':44}{'attention':16}{'rel. variance':>14}{'tokens':>9}{'x tokens':>11}")
    for name, attention, objective in settings():
        base.facts = replace(base.facts, attention=attention)
        f = measure(base, objective, data)
        figures.append({"setting": name, "attention": attention, **f})
        print(
            f"{name:44}{attention:16}{f['relative_variance']:14.3f}{f['tokens']:9.0f}{f['per_token']:11.0f}", flush=True
        )
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
