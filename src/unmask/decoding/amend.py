"""What only some components do to a step: block rules that shorten a block, constraints on what a revision writes."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.decoding.decoder import ResolvedDecoder
from unmask.decoding.state import Candidates, Change, State


def shorten(state: State, candidates: Candidates, wanted: Int[Tensor, " R"]) -> tuple[State, Candidates]:
    """Return state and candidates after new blocks were shortened, as a block rule wants them given the predictions.

    Args:
        state: with the blocks as they began.
        candidates: proposals for the active blocks.
        wanted: columns that each block shall have; a block keeps its first open column.

    Returns:
        Both, with narrower blocks.
    """
    ramp = torch.arange(candidates.is_open.shape[1], device=wanted.device)
    first = torch.where(candidates.is_open, ramp, len(ramp)).amin(1)
    is_fresh = candidates.block_steps == 0
    width = torch.where(is_fresh, torch.maximum(wanted, first + 1), candidates.width)
    width = torch.minimum(width, candidates.width)
    inside = ramp < width[:, None]
    is_open = candidates.is_open & inside
    opened = torch.where(is_fresh, is_open.sum(1), candidates.block_open)
    block_end, block_open = state.block_end.clone(), state.block_open.clone()
    block_end[candidates.rows] = state.block_start[candidates.rows] + width
    block_open[candidates.rows] = opened
    state = replace(state, block_end=block_end, block_open=block_open)
    return state, replace(
        candidates,
        width=width,
        is_open=is_open,
        is_queried=candidates.is_queried & inside,
        log_prob=torch.where(inside, candidates.log_prob, -torch.inf),
        score=torch.where(inside, candidates.score, -torch.inf),
        logits=candidates.logits[inside[candidates.is_queried]],
        block_open=opened,
    )


def admit_change(
    hidden: State, candidates: Candidates, change: Change, chosen: Bool[Tensor, "R W"], *, decoder: ResolvedDecoder
) -> Change:
    """Return what the constraint admits of a revision's own writing.

    A row of which something is refused, and that would be no fuller for the rest, writes what was chosen.

    Args:
        hidden: the state before the step, without what the revision takes back.
        candidates: proposals for the active blocks.
        change: what the revision made of ``chosen``.
        chosen: what the selection chose and the constraint admitted.
        decoder: its constraint is used.

    Returns:
        The change to make.
    """
    written = decoder.constraint.admit(hidden, candidates, change.write)
    if written is change.write:
        return change
    gained = (written & candidates.is_open).sum(1) - change.hide.sum(1)
    is_cut = (change.write & ~written).any(1)
    is_idle = (is_cut & chosen.any(1) & (gained < 1))[:, None]
    return Change(write=torch.where(is_idle, chosen, written), hide=change.hide & ~is_idle)
