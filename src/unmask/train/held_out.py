"""The loss on held-out examples, under noise that is the same at every evaluation and for every model."""

import math
from collections.abc import Sequence

import torch

from unmask.core.protocols import Objective
from unmask.core.random import Draws
from unmask.data import Collator, Encoded
from unmask.errors import NonFiniteError
from unmask.models import LoadedModel

NOISE_SEED = 0x5EED


@torch.no_grad()
def held_out_loss(
    lm: LoadedModel,
    objective: Objective,
    examples: Sequence[Encoded],
    collator: Collator,
    *,
    batch_size: int,
    passes: int = 1,
) -> float:
    """Return the mean of the objective's own loss over held-out examples, in nats.

    The noise is keyed by (pass, example) under a fixed seed, with noise levels stratified over the set, so that two
    checkpoints differ by the model only. Exact whatever the batch size: sums are divided once, by the summed counts.

    Args:
        lm: the model; its training mode is restored.
        objective: the method whose loss is computed; progress counts as finished.
        examples: held-out examples.
        collator: lays them out.
        batch_size: rows per forward.
        passes: noise draws per example.

    Returns:
        The sum of losses divided by the sum of counts.

    Raises:
        NonFiniteError: the loss of an example is NaN or infinite; names the examples.
    """
    draws = Draws(seed=NOISE_SEED)
    was_training = lm.model.training
    lm.model.eval()
    total, count = 0.0, 0.0
    items = [
        {"prompt": e.prompt, "answer": e.answer, "order": n * len(examples) + i, "source": e.source}
        for n in range(passes)
        for i, e in enumerate(examples)
    ]
    for begin in range(0, len(items), batch_size):
        batch = collator(items[begin : begin + batch_size]).to(lm.device)
        noised = objective.noise(batch, model=lm, draws=draws, progress=1.0)
        scored = lm.score(noised.query, noised.query_positions, noised.targets, want=objective.want)
        loss = float(objective.loss(scored, noised))
        if not math.isfinite(loss):
            bad = noised.example[~scored.nll.isfinite()].unique().tolist()
            sources = [str(items[begin + i]["source"]) for i in bad] or [str(item["source"]) for item in items]
            raise NonFiniteError(f"the held-out loss is {loss} on {', '.join(sources[:8])}", sources)
        total += loss
        count += float(noised.count)
    lm.model.train(was_training)
    return total / max(count, 1.0)
