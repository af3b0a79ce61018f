"""The decoding loop, written once. What varies is handed to it as the parts of a decoder.

advance blocks -> read -> propose -> score -> cut blocks -> select -> revise -> write -> stop, until every row is done
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.canvas import Batch
from unmask.decoding.base import Candidates, Change, Reader, State, Step
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
    reader = parts.cache.open(model)
    index = 0
    while not bool(state.is_done.all()):
        candidates, soft = _propose(model, state, parts, draws, index, reader=reader)
        state, candidates = _cut(replace(state, soft=soft), candidates, parts)
        chosen = parts.selection.select(candidates, steps=steps)
        _check(candidates, chosen)
        change = parts.revision.revise(state, candidates, chosen)
        written = _write(state, candidates, change, model.mask_id)
        state = replace(written, is_held=parts.revision.holds(written, _changed(state, candidates, change)))
        ended = parts.stop.is_finished(state, model.eos_ids) & ~state.is_done & ~state.is_held
        state = advance(_finish(state, ended), parts)
        yield Step(
            index=index,
            at=_places(batch, candidates, change.write),
            tokens=candidates.token[change.write],
            scores=candidates.score[change.write],
            taken_back=_places(batch, candidates, change.hide | (change.write & ~candidates.is_open)),
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
        is_ours=is_open,
        block_start=none,
        block_end=none,
        block_open=none,
        block_steps=none,
        full_steps=none,
        is_held=torch.zeros_like(none, dtype=torch.bool),
        is_done=torch.zeros_like(none, dtype=torch.bool),
    )


def advance(state: State, parts: Parts) -> State:
    """Move every row whose block is full to its next block with something open; rows without one are done."""
    batch = state.batch
    is_open_now = _open_between(state, state.block_start, state.block_end)
    first = torch.where(state.is_open, batch.offset, batch.ids.shape[1]).amin(1)
    while True:
        is_full = ~is_open_now & ~state.is_held & ~state.is_done
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
            full_steps=torch.where(moving, 0, state.full_steps),
        )
        is_open_now = torch.where(moving, (first >= begin) & (first < end), is_open_now)


def _open_between(state: State, begin: Int[Tensor, " B"], end: Int[Tensor, " B"]) -> Bool[Tensor, " B"]:
    offset = state.batch.offset
    return (state.is_open & (offset >= begin[:, None]) & (offset < end[:, None])).any(1)


def _propose(
    model: Denoiser, state: State, parts: Parts, draws: Draws, index: int, *, reader: Reader
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

    is_asked = in_block & state.is_ours[rows].gather(1, columns) if parts.revision.asks_written else is_open
    place = is_asked.nonzero()
    at = torch.stack([place[:, 0], columns[is_asked]], dim=1)
    query, asked = parts.view.query(model, state, rows, at)
    logits = parts.view.read(reader.logits(query, asked, state=state, rows=rows))
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    banned = logits.clone()
    banned[:, model.mask_id] = -torch.inf
    offset = at[:, 1] - prompt[place[:, 0]]
    keys = (state.batch.order[rows][place[:, 0]], torch.full_like(offset, index), offset)
    shaped = parts.proposal.shape(banned, model.eos_ids)
    token = parts.proposal.propose(shaped, draws, keys)
    scored = shaped if parts.proposal.scores_shaped else logits

    def spread(values: Tensor) -> Tensor:
        empty = torch.full(columns.shape, -torch.inf, dtype=values.dtype, device=values.device)
        return empty.masked_scatter(is_asked, values)

    def measure(name: str) -> Tensor:
        return spread(SCORES[name](scored, token, draws, keys))

    score = SCORES[parts.selection.score](scored, token, draws, keys)
    trust = parts.revision.observe(model, asked[: len(at)])
    candidates = Candidates(
        rows=rows,
        columns=columns,
        width=end - begin,
        canvas=state.batch.canvas_length[rows],
        is_open=is_open,
        is_asked=is_asked,
        token=torch.zeros_like(columns).masked_scatter(is_asked, token),
        score=spread(parts.proposal.rank(score, token, model.eos_ids)),
        measure=measure,
        block_open=state.block_open[rows],
        block_steps=state.block_steps[rows],
        trust=None if trust is None else spread(trust),
    )
    in_batch = torch.stack([rows[at[:, 0]], at[:, 1]], dim=1)
    if is_asked is not is_open:
        at_open = is_open[is_asked]
        in_batch, logits = in_batch[at_open], logits[at_open]
    return candidates, parts.view.remember(model, in_batch, logits)


def _cut(state: State, candidates: Candidates, parts: Parts) -> tuple[State, Candidates]:
    """Let the block rule shorten the blocks that have just begun, now that it knows the predictions for them."""
    wanted = parts.blocks.cut(candidates)
    if wanted is None:
        return state, candidates
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
        candidates, width=width, is_open=is_open, is_asked=candidates.is_asked & inside, block_open=opened
    )


def _check(candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> None:
    """Hold a selection to its contract.

    Raises:
        RuntimeError: it chose a closed place, or nothing in a row that has open ones.
    """
    is_idle = candidates.is_open.any(1) & ~chosen.any(1)
    if bool((chosen & ~candidates.is_open).any()) or bool(is_idle.any()):
        raise RuntimeError("a selection must write at least one open place in every live row, and only open places")


def _write(state: State, candidates: Candidates, change: Change, mask_id: int) -> State:
    """Write and take back."""
    rows = candidates.rows
    ids, is_open = state.ids.clone(), state.is_open.clone()
    for places, tokens in ((change.write, candidates.token), (change.hide, mask_id)):
        row, column = rows[places.nonzero()[:, 0]], candidates.columns[places]
        ids[row, column] = tokens[places] if isinstance(tokens, Tensor) else tokens
        is_open[row, column] = places is change.hide
    block_steps, full_steps = state.block_steps.clone(), state.full_steps.clone()
    block_steps[rows] += 1
    full_steps[rows] += (~candidates.is_open.any(1)).long()
    return replace(state, ids=ids, is_open=is_open, block_steps=block_steps, full_steps=full_steps)


def _changed(state: State, candidates: Candidates, change: Change) -> Bool[Tensor, " B"]:
    """Find the rows in which a step did something."""
    changed = torch.zeros_like(state.is_done)
    changed[candidates.rows] = (change.write | change.hide).any(1)
    return changed


def _places(batch: Batch, candidates: Candidates, chosen: Bool[Tensor, "R W"]) -> Int[Tensor, "M 2"]:
    """Name places by (row, canvas offset)."""
    row, column = candidates.rows[chosen.nonzero()[:, 0]], candidates.columns[chosen]
    return torch.stack([row, batch.offset[row, column]], dim=1)


def _finish(state: State, ended: Bool[Tensor, " B"]) -> State:
    """Close rows that met their end; what was still open keeps the batch's filler."""
    left = state.is_open & ended[:, None]
    return replace(
        state,
        ids=torch.where(left, state.batch.ids, state.ids),
        is_open=state.is_open & ~left,
        is_done=state.is_done | ended,
    )
