"""Toys whose losses or distributions the test writes down, and that remember what they were asked."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch.autograd.graph import saved_tensors_hooks

from toys import Toy
from unmask.core.protocols import Scored


@dataclass(kw_only=True)
class Known(Toy):
    """The loss of a token is that of its position in the text; ids and asked columns of each forward are kept."""

    nll: Sequence[float]
    texts: list = field(default_factory=list)
    asked_at: list = field(default_factory=list)
    had_grad: list = field(default_factory=list)

    def score(self, query, query_positions, targets, want=()):
        self.forwards += 1
        self.rows.append(query.ids.shape[0])
        self.texts.append(query.ids.clone())
        self.asked_at.append(query_positions.clone())
        self.had_grad.append(torch.is_grad_enabled())
        position = query.columns.position[query_positions[:, 0], query_positions[:, 1]]
        return Scored(nll=torch.tensor(self.nll, dtype=torch.float64)[position])


@dataclass(kw_only=True)
class Spread(Toy):
    """Uniform over the first so many tokens at each position of the text: an entropy of ln(choices)."""

    choices: Sequence[int]
    vocab_size: int = 17
    mask_id: int = 16
    texts: list = field(default_factory=list)

    def predict(self, query, query_positions):
        self.texts.append(query.ids.clone())
        choices = torch.tensor(self.choices)[query.columns.position[query_positions[:, 0], query_positions[:, 1]]]
        allowed = torch.arange(self.vocab_size) < choices[:, None]
        return torch.where(allowed, 0.0, -1e9).double()


def hidden(noised, batch):
    """(example, place in its canvas) of every hidden canvas column of single-stream queries."""
    is_hidden = batch.is_canvas & (noised.query.ids == Known.mask_id)
    return list(zip(batch.owner[is_hidden].tolist(), batch.offset[is_hidden].tolist(), strict=True))


def queried(noised, batch):
    """(example, place in its canvas) of every asked column of single-stream queries."""
    row, column = noised.query_positions.unbind(1)
    row = row % batch.ids.shape[0]
    return list(zip(batch.owner[row, column].tolist(), batch.offset[row, column].tolist(), strict=True))


@contextmanager
def no_graph():
    """Fail if anything is kept for a backward pass."""
    kept = []
    with saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        yield
    assert not kept
