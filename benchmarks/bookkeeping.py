"""The share of a step that is not the model: draws, layouts, weights, losses' bookkeeping; for every objective."""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from shape import model, rows

from unmask.config.components import choose, field_names
from unmask.core.random import Draws
from unmask.objectives import OBJECTIVES


class Clock:
    """A denoiser that counts the seconds spent inside the model."""

    def __init__(self, lm: Any) -> None:
        self.lm, self.seconds = lm, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lm, name)

    def _timed(self, call: Any, *args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return call(*args, **options)
        finally:
            self.seconds += time.perf_counter() - start

    def score(self, *args: Any, **options: Any) -> Any:
        """Score, timed."""
        return self._timed(self.lm.score, *args, **options)

    def logits(self, *args: Any, **options: Any) -> Any:
        """Predict, timed."""
        return self._timed(self.lm.logits, *args, **options)


def measure(name: str, rounds: int) -> float:
    """Return the median share of a step that the objective itself takes."""
    cls = OBJECTIVES[name]
    objective = choose(OBJECTIVES, {"name": name, **({"block_size": 32} if "block_size" in field_names(cls) else {})})
    clock = Clock(model())
    clock.facts.__dict__["shift"] = True
    for head, settings in objective.heads.items():
        clock.attach(head, settings)
    shares = []
    for number in range(rounds + 1):
        batch = rows(first=2 * number)
        clock.seconds, start = 0.0, time.perf_counter()
        noised = objective.noise(batch, model=clock, draws=Draws(seed=0), progress=0.5)
        scored = clock.score(noised.query, noised.query_positions, noised.targets, want=objective.want)
        loss = objective.loss(scored, noised) / noised.count
        ours = time.perf_counter() - start - clock.seconds
        loss.backward()
        clock.model.zero_grad(set_to_none=False)
        shares.append(ours / (time.perf_counter() - start))
    return statistics.median(shares[1:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    figures = {}
    for name in arguments.only or OBJECTIVES:
        figures[name] = measure(name, arguments.rounds)
        print(f"{name:18}{100 * figures[name]:7.2f} % of a step is not the model", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
