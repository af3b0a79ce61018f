"""The decoding loop, written once. What varies is handed to it as the parts of a decoder.

advance blocks -> read -> propose -> score -> select -> write -> take back -> stop, until every row is done
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.canvas import Batch
from unmask.decoding.base import Candidates, State, Step
from unmask.decoding.decoder import Parts
from unmask.decoding.scores import SCORES
from unmask.seeds import Draws
from unmask.types import Denoiser, SoftTokens


def decode(
    model: Denoiser, batch: Batch, parts: Parts, *, draws: Draws, is_open: Bool[Tensor, "B L"] | None = None
) -> Iterator[Step]:
    """Fill the canvases of a batch, yielding a ``Step`` for every forward.

    Args:
        model: predicts tokens.
        batch: prompts laid out with a canvas each.
        parts: the decoder.
        draws: random numbers, keyed by the rows' ``order``.
        is_open: canvas columns to write; default all. The others keep the batch's tokens (infilling).

    Yields:
        One step for each forward. Nothing is yielded for a batch that has nothing open.
    """
    steps = parts.steps_per_block(int(batch.canvas_length.max()))
    state = advance(start(batch, model.mask_id, is_open), parts)
    index = 0
    while not bool(state.is_done.all()):
        candidates, soft = _propose(model, state, parts, draws, index)
        state = replace(state, soft=soft)
        chosen = parts.selection.select(candidates, steps=steps)
        state, at, tokens, scores = _write(state, candidates, chosen)
        drop = parts.revision.revise(state, candidates) & batch.is_canvas
        if bool(drop.any()):
            state = replace(state, ids=torch.where(drop, model.mask_id, state.ids), is_open=state.is_open | drop)
        ended = parts.stop.is_finished(state, model.eos_ids) & ~state.is_done
        state = advance(_finish(state, ended), parts)
        yield Step(
            index=index,
            at=at,
            tokens=tokens,
            scores=scores,
            taken_back=_offsets(batch, drop.nonzero()),
            live=candidates.rows,
            state=state,
        )
        index += 1


def start(batch: Batch, mask_id: int, is_open: Bool[Tensor, "B L"] | None = None) -> State:
    """Hide what is to be written; no block is active yet."""
    is_open = batch.is_canvas if is_open is None else is_open & batch.is_canvas
    none = torch.zeros_like(batch.order)
    return State(
        batch=batch,
        ids=torch.where(is_open, mask_id, batch.ids),
        is_open=is_open,
        block_start=none,
        block_end=none,
        block_open=none,
        block_steps=none,
        is_done=torch.zeros_like(none, dtype=torch.bool),
    )


def advance(state: State, parts: Parts) -> State:
    """Move every row whose block is full to its next block with something open; rows without one are done."""
    batch = state.batch
    is_open_now = _open_between(state, state.block_start, state.block_end)
    first = torch.where(state.is_open, batch.offset, batch.ids.shape[1]).amin(1)
    while True:
        is_full = ~is_open_now & ~state.is_done
        is_out = is_full & (state.block_end >= batch.canvas_length)
        state = replace(state, is_done=state.is_done | is_out)
        moving = is_full & ~is_out
        if not bool(moving.any()):
            return state
        begin = torch.where(moving, state.block_end, state.block_start)
        end = torch.where(moving, parts.blocks.end(begin, batch.canvas_length), state.block_end)
        in_block = (batch.offset >= begin[:, None]) & (batch.offset < end[:, None])
        opened = (state.is_open & in_block).sum(1)
        state = replace(
            state,
            block_start=begin,
            block_end=end,
            block_open=torch.where(moving, opened, state.block_open),
            block_steps=torch.where(moving, 0, state.block_steps),
        )
        is_open_now = torch.where(moving, (first >= begin) & (first < end), is_open_now)


def _open_between(state: State, begin: Int[Tensor, " B"], end: Int[Tensor, " B"]) -> Bool[Tensor, " B"]:
    offset = state.batch.offset
    return (state.is_open & (offset >= begin[:, None]) & (offset < end[:, None])).any(1)


def _propose(
    model: Denoiser, state: State, parts: Parts, draws: Draws, index: int
) -> tuple[Candidates, SoftTokens | None]:
    """Read the live rows and lay the proposals for their active blocks side by side."""
    rows = (~state.is_done).nonzero().squeeze(1)
    begin, end = state.block_start[rows], state.block_end[rows]
    width = int((end - begin).max())
    ramp = torch.arange(width, device=rows.device)
    prompt = state.batch.is_canvas[rows].long().argmax(1)
    columns = (prompt + begin)[:, None] + ramp
    in_block = ramp < (end - begin)[:, None]
    columns = columns.clamp(max=state.ids.shape[1] - 1)
    is_open = in_block & state.is_open[rows].gather(1, columns)

    place = is_open.nonzero()
    at = torch.stack([place[:, 0], columns[is_open]], dim=1)
    query, asked = parts.view.query(model, state, rows, at)
    logits = parts.view.read(parts.cache.logits(model, query, asked))
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    banned = logits.clone()
    banned[:, model.mask_id] = -torch.inf
    offset = at[:, 1] - prompt[place[:, 0]]
    keys = (state.batch.order[rows][place[:, 0]], torch.full_like(offset, index), offset)
    token = parts.proposal.propose(banned, draws, keys)
    score = SCORES[parts.selection.score](logits, token, draws, keys)
    candidates = Candidates(
        rows=rows,
        columns=columns,
        is_open=is_open,
        token=torch.zeros_like(columns).masked_scatter(is_open, token),
        score=torch.full(columns.shape, -torch.inf, dtype=score.dtype, device=score.device).masked_scatter(
            is_open, score
        ),
        block_open=state.block_open[rows],
        block_steps=state.block_steps[rows],
    )
    in_batch = torch.stack([rows[at[:, 0]], at[:, 1]], dim=1)
    return candidates, parts.view.remember(model, in_batch, logits)


def _write(
    state: State, candidates: Candidates, chosen: Bool[Tensor, "R W"]
) -> tuple[State, Int[Tensor, "M 2"], Int[Tensor, " M"], Tensor]:
    """Commit the chosen proposals.

    Raises:
        RuntimeError: a selection wrote a closed place, or nothing in a live row.
    """
    if bool((chosen & ~candidates.is_open).any()) or not bool(chosen.any(1).all()):
        raise RuntimeError("a selection must write at least one open place in every live row, and only open places")
    place = chosen.nonzero()
    row, column = candidates.rows[place[:, 0]], candidates.columns[chosen]
    ids, is_open = state.ids.clone(), state.is_open.clone()
    ids[row, column] = candidates.token[chosen]
    is_open[row, column] = False
    steps = state.block_steps.clone()
    steps[candidates.rows] += 1
    state = replace(state, ids=ids, is_open=is_open, block_steps=steps)
    at = _offsets(state.batch, torch.stack([row, column], dim=1))
    return state, at, candidates.token[chosen], candidates.score[chosen]


def _offsets(batch: Batch, at: Int[Tensor, "M 2"]) -> Int[Tensor, "M 2"]:
    """Turn (row, column) into (row, canvas offset)."""
    return torch.stack([at[:, 0], batch.offset[at[:, 0], at[:, 1]]], dim=1)


def _finish(state: State, ended: Bool[Tensor, " B"]) -> State:
    """Close rows that met their end; what was still open keeps the batch's filler."""
    left = state.is_open & ended[:, None]
    return replace(
        state,
        ids=torch.where(left, state.batch.ids, state.ids),
        is_open=state.is_open & ~left,
        is_done=state.is_done | ended,
    )
