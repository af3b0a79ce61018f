"""Stop strings: a row ends where its text says so."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unmask.decoding.interfaces import Stop
from unmask.decoding.state import State
from unmask.errors import UserError
from unmask.generate.text import cut_at_end, holds, spelled
from unmask.models import LoadedModel


def check_strings(lm: LoadedModel, strings: Sequence[str] | str) -> tuple[str, ...]:
    """Return one stop string or several as a tuple; a ``UserError`` if one is empty or there is no tokenizer."""
    found = (strings,) if isinstance(strings, str) else tuple(strings)
    for string in found:
        if not isinstance(string, str) or not string:
            raise UserError(f"stop string: expected text of at least one character, found {string!r}")
    if found and lm.tokenizer is None:
        raise UserError("stop strings: the model has no tokenizer to spell its tokens; leave them out")
    return found


@dataclass(frozen=True, kw_only=True)
class StopAtText:
    """A row ends with the block that completes a stop string, or by the decoder's own stop.

    Only finished blocks are read: tokens between open columns are no text yet. A block that a revision may still change
    is not finished.

    Args:
        lm: a model with a tokenizer.
        strings: any of them ends a row.
        other: the decoder's own stop.
    """

    lm: LoadedModel
    strings: tuple[str, ...]
    other: Stop

    def is_finished(self, state: State, eos_ids: Sequence[int]) -> Tensor:
        """Return whether each row has ended, [B]: by its text up to the active block (with it, if that is full)."""
        offset = state.batch.offset
        is_open = state.is_open & (offset < state.block_end[:, None])
        known = torch.where(is_open.any(1) | state.is_held, state.block_start, state.block_end)
        finished = self.other.is_finished(state, eos_ids).clone()
        for row in ((known > 0) & ~state.is_done).nonzero().flatten().tolist():
            is_known = (offset[row] >= 0) & (offset[row] < known[row])
            ids = cut_at_end(state.ids[row][is_known].cpu(), eos_ids)
            finished[row] |= holds(spelled(self.lm, ids.tolist()), self.strings)
        return finished
