"""Whether a run fits the memory at all, before it is laid out."""

import psutil
import torch

from unmask.errors import UserError
from unmask.models import LoadedModel

STREAMS = 4  # states of every column that a layer holds at once: residual, normed, queries, output
_FLOAT32 = 4


def check_room(lm: LoadedModel, *, rows: int, particles: int, columns: int, asked: int) -> None:
    """Refuse a run whose least need is more than there is.

    Args:
        lm: the model.
        rows: that are decoded side by side.
        particles: of these, for each answer.
        columns: of the longest text.
        asked: columns of a block.

    Raises:
        UserError: with the rows, what they need and what is free.
    """
    config = lm.stock.config.get_text_config()
    item = next(lm.model.parameters()).element_size()
    need = rows * (columns * config.hidden_size * item * STREAMS + asked * lm.vocab_size * _FLOAT32)
    free = free_memory(lm.device)
    if free is None or need <= free:
        return
    what = f"{rows // particles} answers of {particles} particles" if particles > 1 else f"{rows} answers"
    raise UserError(
        f"memory: {what} at once need at least {need / 2**30:.1f} GiB beside the model, found {free / 2**30:.1f} GiB "
        f"free; decode at most {free * rows // need} rows at once"
    )


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None where it cannot be asked."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available) if device.type == "cpu" else None
