"""Logits at asked rows only, against cross-entropy over all positions: a whole step, and head and loss alone."""

import argparse

import torch
from harness import Step, main
from shape import model, rows, step
from torch.nn import functional

from unmask.core.random import Draws
from unmask.models import LoadedModel
from unmask.objectives import Vanilla

T = 0.25  # with a quarter of a quarter of the row asked: 6 % of all positions


class Quarter(Draws):
    """Every row is masked at the same rate, so that all calls cost the same."""

    def stratified(self, name: str, *keys: torch.Tensor) -> torch.Tensor:
        """Return the rate."""
        return torch.full((len(keys[0]),), T, dtype=torch.float64)


def _model(arguments: argparse.Namespace) -> LoadedModel:
    lm = model()
    if arguments.checkpoint:
        lm.checkpoint_gradients()
    return lm


def asked(arguments: argparse.Namespace) -> Step:
    """As unmask trains."""
    lm, draws = _model(arguments), Quarter(seed=0)
    return lambda: step(lm, Vanilla(), rows(), draws)


def full(arguments: argparse.Namespace) -> Step:
    """The plain form: logits of all positions, unreduced cross-entropy, weights of zero where nothing is asked."""
    lm, draws = _model(arguments), Quarter(seed=0)

    def run() -> float:
        noised = Vanilla().noise(rows(), model=lm, draws=draws, progress=0)
        logits = lm.model(input_ids=noised.query.ids, use_cache=False).logits
        targets = torch.zeros_like(noised.query.ids)
        weight = torch.zeros(targets.shape)
        targets[noised.query_positions[:, 0], noised.query_positions[:, 1]] = noised.targets
        weight[noised.query_positions[:, 0], noised.query_positions[:, 1]] = noised.weight
        nll = functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        ((weight * nll).sum() / noised.count).backward()
        lm.model.zero_grad(set_to_none=False)
        return float(len(noised.query_positions))

    return run


def _head(chosen: bool) -> Step:
    """Head and loss on given states, with the gradient of the states but not of the head's weight."""
    lm, draws = model(layers=1), Quarter(seed=0)
    weight = lm.model.get_output_embeddings().weight.detach()
    states = torch.zeros(2, 512, 576).normal_(generator=torch.Generator().manual_seed(0)).requires_grad_()
    noised = Vanilla().noise(rows(), model=lm, draws=draws, progress=0)

    def run() -> float:
        if chosen:
            picked = states[noised.query_positions[:, 0], noised.query_positions[:, 1]]
            nll = functional.cross_entropy(picked @ weight.T, noised.targets, reduction="none")
            (noised.weight * nll).sum().backward()
        else:
            targets, factor = torch.zeros(2, 512, dtype=torch.int64), torch.zeros(2, 512)
            targets[noised.query_positions[:, 0], noised.query_positions[:, 1]] = noised.targets
            factor[noised.query_positions[:, 0], noised.query_positions[:, 1]] = noised.weight
            nll = functional.cross_entropy((states @ weight.T).transpose(1, 2), targets, reduction="none")
            (factor * nll).sum().backward()
        states.grad = None
        return float(len(noised.query_positions))

    return run


WHOLE = {"full": full, "asked": asked}
HEAD = {"full": lambda arguments: _head(False), "asked": lambda arguments: _head(True)}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--head", action="store_true", help="head and loss alone, without the weight's gradient")
    parser.add_argument("--checkpoint", action="store_true", help="recompute activations in the backward pass")


if __name__ == "__main__":
    import sys

    alone = "--head" in sys.argv
    main(
        __file__, HEAD if alone else WHOLE, baseline="full", options=_options,
        title="head and loss at asked rows" if alone else "a step with logits at asked rows",
    )  # fmt: skip
