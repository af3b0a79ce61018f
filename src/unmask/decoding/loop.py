"""The decoding loop, written once. What varies is handed to it as the components of a decoder.

advance blocks -> read -> propose -> refine -> cut blocks -> select -> revise -> write -> stop, until every row is done
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.core.batch import Batch
from unmask.core.protocols import Denoiser
from unmask.core.random import Draws
from unmask.decoding.amend import admit_change, shorten
from unmask.decoding.decoder import ResolvedDecoder
from unmask.decoding.interfaces import Reader
from unmask.decoding.propose import propose
from unmask.decoding.state import Candidates, Change, State, Step


def decode(
    model: Denoiser, batch: Batch, decoder: ResolvedDecoder, *, draws: Draws, is_open: Bool[Tensor, "B L"] | None = None
) -> Iterator[Step]:
    """Fill the canvases of a batch, yielding a ``Step`` for every forward.

    Args:
        model: predicts tokens.
        batch: prompts laid out with a canvas each; with a search, a row for each particle.
        decoder: the decoder, resolved.
        draws: random numbers, keyed by the rows' ``order``.
        is_open: canvas columns to write; default all. The others keep the batch's tokens (infilling).

    Yields:
        One step for each forward. Nothing is yielded for a batch that has nothing open.
    """
    decoder.constraint.check(int(batch.canvas_length.min()))
    steps = decoder.steps_per_block(int(batch.wanted_length.max()))
    first = replace(start(batch, model.mask_id, is_open), steps=steps, shared_out=decoder.shared_out)
    state, _ = advance(first, decoder, draws, index=0, eos_ids=model.eos_ids)
    reader = decoder.cache.open(model)
    index = 0
    while not bool(state.is_done.all()):
        state, step = _step(model, state, decoder, draws, index, reader=reader)
        yield step
        index += 1


@torch.no_grad()
def _step(
    model: Denoiser, state: State, decoder: ResolvedDecoder, draws: Draws, index: int, *, reader: Reader
) -> tuple[State, Step]:
    """Return the state that the next step goes on from, and the record of this one."""
    batch, forwards = state.batch, reader.forwards
    candidates, soft = propose(model, state, decoder, draws, index, reader=reader)
    candidates = decoder.selection.refine(candidates)
    state = replace(state, soft=soft)
    if (wanted := decoder.blocks.cut(candidates)) is not None:
        state, candidates = shorten(state, candidates, wanted)
    chosen = decoder.selection.select(candidates)
    _check(candidates, chosen, may_wait=decoder.selection.may_wait)
    state, chosen = _admit(state, candidates, chosen, decoder)
    change = decoder.revision.revise(state, candidates, chosen)
    if change.write is not chosen:
        hidden = _write(state, candidates, replace(change, write=torch.zeros_like(chosen)), model.mask_id)
        change = admit_change(hidden, candidates, change, chosen, decoder=decoder)
    written = _write(state, candidates, change, model.mask_id)
    state = replace(written, is_held=decoder.revision.holds(written, _changed(state, candidates, change)))
    ended = (decoder.stop.is_finished(state, model.eos_ids) | _is_covered(state)) & ~state.is_held | state.is_stuck
    state = _finish(state, ended & ~state.is_done)
    state, picked = advance(state, decoder, draws, index=index + 1, eos_ids=model.eos_ids)
    return state, Step(
        index=index,
        at=_positions(batch, candidates, change.write),
        tokens=candidates.token[change.write],
        scores=candidates.score[change.write],
        probabilities=candidates.log_prob[change.write].exp(),
        taken_back=_positions(batch, candidates, change.hide | (change.write & ~candidates.is_open)),
        live=candidates.rows,
        forwards=reader.forwards - forwards,
        picked=picked,
        state=replace(state, soft=None, memory={}),
    )


def start(batch: Batch, mask_id: int, is_open: Bool[Tensor, "B L"] | None = None) -> State:
    """Return the first state: what is to be written is hidden, and no block is active yet."""
    is_open = batch.is_canvas if is_open is None else is_open & batch.is_canvas
    none = torch.zeros_like(batch.order)
    never = torch.zeros_like(none, dtype=torch.bool)
    return State(
        batch=batch,
        ids=torch.where(is_open, mask_id, batch.ids),
        is_open=is_open,
        is_ours=is_open,
        block_start=none,
        block_end=none,
        block_open=none,
        block_left=none,
        block_steps=none,
        full_steps=none,
        is_held=never,
        is_waiting=never,
        is_done=never,
        is_stuck=never,
        log_prob=torch.zeros_like(batch.ids, dtype=torch.float64),
        log_resampled=torch.zeros_like(none, dtype=torch.float64),
    )


def advance(
    state: State, decoder: ResolvedDecoder, draws: Draws, *, index: int, eos_ids: Sequence[int]
) -> tuple[State, Int[Tensor, " B"] | None]:
    """Return the state in which every row whose block is full has its next one with something open, or is done.

    Args:
        state: after a step.
        decoder: its block rule and its search are used.
        draws: random numbers.
        index: steps before this one.
        eos_ids: tokens that end an answer.

    Returns:
        The state, and which row each row continues where particles were resampled on the way.
    """
    batch, picked = state.batch, None
    state = _slide(state, decoder)
    is_open_now = state.has_open
    first = torch.where(state.is_open, batch.offset, batch.ids.shape[1]).amin(1)
    while True:
        is_full = ~is_open_now & ~state.is_held & ~state.is_done
        if not bool(is_full.any()):
            return replace(state, is_waiting=is_full), picked
        is_met = decoder.search.is_met(is_full, state.is_done)
        resampled = decoder.search.pick(state, is_met, draws, index=index, eos_ids=eos_ids)
        if resampled is not None:
            row, log_resampled = resampled
            state = replace(state.take(row), log_resampled=log_resampled)
            picked = row if picked is None else picked[row]
            first, is_full = first[row], is_full[row]
        is_out = is_met & is_full & (state.block_end >= batch.canvas_length)
        state = replace(state, is_done=state.is_done | is_out)
        moving = is_met & is_full & ~is_out
        if not bool(moving.any()):
            return replace(state, is_waiting=is_full & ~is_met), picked
        state = _move(state, moving, decoder)
        is_open_now = torch.where(moving, (first >= state.block_start) & (first < state.block_end), is_open_now)


def _move(state: State, moving: Bool[Tensor, " B"], decoder: ResolvedDecoder) -> State:
    """Return the state in which the rows ``moving`` have begun their next block."""
    begin = torch.where(moving, state.block_end, state.block_start)
    end = torch.where(moving, decoder.blocks.end(begin, state), state.block_end)
    return _begin(replace(state, block_start=begin, block_end=end), moving)


def _slide(state: State, decoder: ResolvedDecoder) -> State:
    """Return the state in which the block rule has moved the active blocks that are not full."""
    window = decoder.blocks.slide(state)
    if window is None:
        return state
    begin, end, is_new = window
    return _begin(replace(state, block_start=begin, block_end=end), is_new)


def _begin(state: State, is_new: Bool[Tensor, " B"]) -> State:
    """Return the state with the counts reset in rows whose block is new."""
    opened = (state.is_open & state.is_in_block).sum(1)
    return replace(
        state,
        block_open=torch.where(is_new, opened, state.block_open),
        block_left=torch.where(is_new, state.is_open.sum(1), state.block_left),
        block_steps=torch.where(is_new, 0, state.block_steps),
        full_steps=torch.where(is_new, 0, state.full_steps),
    )


def _check(candidates: Candidates, chosen: Bool[Tensor, "R W"], *, may_wait: bool) -> None:
    """Raise a RuntimeError if a selection chose a written position, or nothing in a row that has open ones."""
    is_idle = candidates.is_open.any(1) & ~chosen.any(1)
    if bool((chosen & ~candidates.is_open).any()) or (not may_wait and bool(is_idle.any())):
        raise RuntimeError("a selection must write at least one open position in every live row, and only open ones")


def _admit(
    state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"], decoder: ResolvedDecoder
) -> tuple[State, Bool[Tensor, "R W"]]:
    """Return what the constraint admits; a row of which it admits nothing is stuck."""
    admitted = decoder.constraint.admit(state, candidates, chosen)
    if admitted is chosen:
        return state, chosen
    is_stuck = state.is_stuck.clone()
    is_stuck[candidates.rows] |= chosen.any(1) & ~admitted.any(1)
    return replace(state, is_stuck=is_stuck), admitted


def _write(state: State, candidates: Candidates, change: Change, mask_id: int) -> State:
    """Return the state after tokens were written and taken back."""
    rows = candidates.rows
    ids, is_open, log_prob = state.ids.clone(), state.is_open.clone(), state.log_prob.clone()
    row, column = rows[change.write.nonzero()[:, 0]], candidates.columns[change.write]
    ids[row, column], is_open[row, column] = candidates.token[change.write], False
    log_prob[row, column] = candidates.log_prob[change.write].to(log_prob.dtype)
    row, column = rows[change.hide.nonzero()[:, 0]], candidates.columns[change.hide]
    ids[row, column], is_open[row, column], log_prob[row, column] = mask_id, True, 0
    block_steps, full_steps = state.block_steps.clone(), state.full_steps.clone()
    block_steps[rows] += 1
    full_steps[rows] += (~candidates.is_open.any(1)).long()
    return replace(
        state,
        ids=ids,
        is_open=is_open,
        log_prob=log_prob,
        block_steps=block_steps,
        full_steps=full_steps,
        memory=candidates.memory.written(len(ids)),
    )


def _changed(state: State, candidates: Candidates, change: Change) -> Bool[Tensor, " B"]:
    """Return the rows in which a step did something."""
    changed = torch.zeros_like(state.is_done)
    changed[candidates.rows] = (change.write | change.hide).any(1)
    return changed


def _is_covered(state: State) -> Bool[Tensor, " B"]:
    """Return the rows in which nothing is open but what is cut off afterwards."""
    batch = state.batch
    return (batch.wanted_length < batch.canvas_length) & ~(state.is_open & batch.is_wanted).any(1)


def _positions(batch: Batch, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Int[Tensor, "M 2"]:
    """Return chosen positions as (row, canvas offset)."""
    row, column = candidates.rows[chosen.nonzero()[:, 0]], candidates.columns[chosen]
    return torch.stack([row, batch.offset[row, column]], dim=1)


def _finish(state: State, ended: Bool[Tensor, " B"]) -> State:
    """Return the state in which rows that have ended are done; what was still open has the batch's filler."""
    if not bool(ended.any()):
        return state
    left = state.is_open & ended[:, None]
    return replace(
        state,
        ids=torch.where(left, state.batch.ids, state.ids),
        is_open=state.is_open & ~left,
        is_done=state.is_done | ended,
    )
