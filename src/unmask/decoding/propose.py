"""Read the live rows, and lay what the model proposes for their active blocks side by side."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.core.protocols import Denoiser, SoftTokens
from unmask.core.random import Draws
from unmask.decoding.decoder import ResolvedDecoder
from unmask.decoding.interfaces import Reader
from unmask.decoding.look_ahead import look_ahead
from unmask.decoding.scores import SCORES, low_confidence, widened
from unmask.decoding.state import Candidates, MemoryAccess, State, spread
from unmask.errors import NonFiniteError

LEAST = 2.0**-1022  # sums of logarithms stay numbers


def propose(
    model: Denoiser, state: State, decoder: ResolvedDecoder, draws: Draws, index: int, *, reader: Reader
) -> tuple[Candidates, SoftTokens | None]:
    """Return proposals for the active blocks, from one call of the model, and what the view keeps for its next query.

    Logits that are NaN or infinite raise a NonFiniteError.

    Args:
        model: predicts tokens.
        state: what is written so far.
        decoder: the decoder, resolved.
        draws: random numbers.
        index: of the step.
        reader: calls the model.

    Returns:
        The proposals, and blended embeddings or None.
    """
    rows = (~(state.is_done | state.is_waiting)).nonzero().squeeze(1)
    begin, width = state.block_start[rows], (state.block_end - state.block_start)[rows]
    ramp = torch.arange(int(width.max()), device=rows.device)
    prompt = state.prompt_length[rows]
    in_block = ramp < width[:, None]
    columns = ((prompt + begin)[:, None] + ramp).clamp(max=state.ids.shape[1] - 1)
    is_open = in_block & state.is_open[rows[:, None], columns]
    is_queried = in_block & state.is_ours[rows[:, None], columns] if decoder.revision.queries_written else is_open

    at = torch.stack([is_queried.nonzero()[:, 0], columns[is_queried]], dim=1)
    in_batch = torch.stack([rows[at[:, 0]], at[:, 1]], dim=1)
    query, queried = decoder.view.query(model, state, rows, at)
    logits = decoder.view.read(widened(reader.logits(query, queried, state=state, rows=rows)))
    offset = at[:, 1] - prompt[at[:, 0]]
    keys = (state.batch.order[in_batch[:, 0]], torch.full_like(offset, index), offset)
    memory = MemoryAccess(state.memory, rows=rows, start=begin, width=width, columns=len(ramp))
    fused = decoder.selection.fuse(logits, memory=memory, is_queried=is_queried, mask_id=model.mask_id)
    shaped, token = _tokens(model, state, decoder, draws, logits=fused, in_batch=in_batch, keys=keys)
    probability = low_confidence(logits, token, draws, keys)
    _refuse_non_finite(probability, in_batch[:, 0], index)

    def measured(name: str) -> Tensor:
        if name == "low_confidence" and shaped is logits:
            return probability
        return SCORES[name](shaped, token, draws, keys)

    correctness = decoder.revision.observe(model, queried[: len(at)])
    candidates = Candidates(
        rows=rows,
        columns=columns,
        width=width,
        canvas=state.batch.canvas_length[rows],
        is_open=is_open,
        is_queried=is_queried,
        token=torch.zeros_like(columns).masked_scatter(is_queried, token),
        written=state.ids[rows[:, None], columns],
        logits=logits,
        log_prob=spread(probability.clamp(min=LEAST).log(), is_queried),
        score=spread(decoder.proposal.rank(measured(decoder.selection.score), token, model.eos_ids), is_queried),
        measure=lambda name: spread(measured(name), is_queried),
        block_open=state.block_open[rows],
        block_steps=state.block_steps[rows],
        steps=state.steps,
        shared_out=state.shared_out,
        mean_confidence=lambda: _mean_confidence(state, rows),
        mask_id=model.mask_id,
        memory=memory,
        look_ahead=partial(
            look_ahead, model=model, state=state, decoder=decoder, reader=reader, rows=rows, columns=columns
        ),
        correctness=None if correctness is None else spread(correctness, is_queried),
    )
    if is_queried is not is_open:
        at_open = is_open[is_queried]
        in_batch, logits = in_batch[at_open], logits[at_open]
    return candidates, decoder.view.remember(model, in_batch, logits)


def _refuse_non_finite(probability: Float[Tensor, " K"], row: Int[Tensor, " K"], index: int) -> None:
    """Raise an error where a position has no distribution: one logit that is NaN or infinite leaves it none."""
    is_finite = probability.isfinite()
    if bool(is_finite.all()):
        return
    rows = sorted(set(row[~is_finite].tolist()))
    raise NonFiniteError(
        f"the model's logits are not finite in step {index + 1} of {len(rows)} answers (the first is number "
        f"{rows[0] + 1} of its batch); its weights are damaged or its dtype is too narrow: try float32"
    )


def _mean_confidence(state: State, rows: Int[Tensor, " R"]) -> Float[Tensor, " R"]:
    is_written = (state.is_ours & ~state.is_open)[rows]
    total = torch.where(is_written, state.log_prob[rows].exp(), 0).sum(1)
    return torch.where(is_written.any(1), total / is_written.sum(1).clamp(min=1), 1)


def _tokens(
    model: Denoiser,
    state: State,
    decoder: ResolvedDecoder,
    draws: Draws,
    *,
    logits: Float[Tensor, "K V"],
    in_batch: Int[Tensor, "K 2"],
    keys: Sequence[Int[Tensor, " K"]],
) -> tuple[Float[Tensor, "K V"], Int[Tensor, " K"]]:
    """Return the logits that scores are read from, and a token for each queried position."""
    # The mask token is banned in place and put back afterwards: a copy of [K, V] costs more than the choice.
    kept = logits[:, model.mask_id].clone()
    logits[:, model.mask_id] = -torch.inf
    shaped = decoder.proposal.shape(decoder.constraint.ban(state, in_batch, logits), model.eos_ids)
    token = decoder.proposal.propose(shaped, draws, keys)
    logits[:, model.mask_id] = kept
    if getattr(decoder.proposal, "scores_mask", False):
        shaped = decoder.proposal.shape(decoder.constraint.ban(state, in_batch, logits), model.eos_ids)
    return (shaped if decoder.proposal.scores_shaped else logits), token
