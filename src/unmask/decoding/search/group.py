"""Particles of a prompt: neighbouring rows that are judged together."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.decoding.state import State

By = Literal["sum", "mean"]


def likeliest(state: State, eos_ids: Sequence[int], particles: int, by: By) -> Int[Tensor, " P"]:
    """Return the row of each prompt whose answer was likeliest as it was written; ties go to the first.

    Compared are the log probabilities that the tokens had when they were written, up to and with the first end token
    (in infilling: of each gap); their ``sum``, or their ``mean``, which does not favour short answers.

    Args:
        state: at the end of decoding.
        eos_ids: tokens that end an answer.
        particles: rows of each prompt.
        by: ``sum`` or ``mean``.

    Returns:
        A row of the state for each prompt.
    """
    totals = answer_log_prob(state, eos_ids, by).view(-1, particles)
    first = torch.arange(len(totals), device=totals.device) * particles
    return first + (totals == totals.amax(1, keepdim=True)).long().argmax(1)


def answer_log_prob(state: State, eos_ids: Sequence[int], by: By) -> Float[Tensor, " B"]:
    """Return the sum or the mean of the log probabilities of each row's answer.

    Between given tokens (infilling) every gap has an end of its own.

    Args:
        state: what is written so far.
        eos_ids: tokens that end an answer.
        by: ``sum`` or ``mean``.

    Returns:
        Nats, a number for each row.
    """
    ours = state.is_ours
    is_end = ours & torch.isin(state.ids, torch.tensor(list(eos_ids), dtype=torch.int64, device=state.ids.device))
    ends = is_end.cumsum(1) - is_end.long()  # before each column
    begins = ours & ~torch.nn.functional.pad(ours, (1, 0))[:, :-1]
    in_gap = ends - torch.where(begins, ends, 0).cummax(1).values
    counts = ours & ~state.is_open & (in_gap == 0)
    total = torch.where(counts, state.log_prob, 0).sum(1)
    return total if by == "sum" else total / counts.sum(1).clamp(min=1)
