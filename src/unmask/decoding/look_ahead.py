"""Reading what the text would be: a forward on texts that are only tried."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unmask.core.protocols import Denoiser
from unmask.decoding.decoder import ResolvedDecoder
from unmask.decoding.interfaces import Reader
from unmask.decoding.scores import widened
from unmask.decoding.state import State


def look_ahead(
    is_written: Bool[Tensor, "N R W"],
    tokens: Int[Tensor, "N R W"],
    is_queried: Bool[Tensor, "N R W"],
    *,
    model: Denoiser,
    state: State,
    decoder: ResolvedDecoder,
    reader: Reader,
    rows: Int[Tensor, " R"],
    columns: Int[Tensor, "R W"],
) -> Float[Tensor, "K V"]:
    """Return what the model says of some positions if tokens stood at others; a forward without a cache.

    Args:
        is_written: positions that tokens are put at, in N ways.
        tokens: the tokens, [N, R, W].
        is_queried: positions that are predicted.
        model: predicts tokens.
        state: what is written so far.
        decoder: the decoder, resolved.
        reader: counts the forward.
        rows: live rows.
        columns: of the state, behind each position of the active blocks.

    Returns:
        Logits of the queried positions, in row-major order.
    """
    column = columns.repeat(len(is_written), 1)

    def columns_of(chosen: Bool[Tensor, "N R W"]) -> tuple[Int[Tensor, " K"], Int[Tensor, " K"]]:
        row, index = chosen.flatten(0, 1).nonzero().unbind(1)
        return row, column[row, index]

    seen = state.shown(rows.repeat(len(is_written)))
    seen.ids[columns_of(is_written)], seen.is_open[columns_of(is_written)] = tokens[is_written], False
    at = torch.stack(columns_of(is_queried), dim=1)
    query, queried = decoder.view.query(model, seen, torch.arange(len(seen.ids), device=rows.device), at)
    reader.forwards += 1
    logits: Tensor = decoder.view.read(widened(model.logits(query, queried)))
    return logits
