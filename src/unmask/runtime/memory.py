"""The memory that is free, and the number of states of a column that a layer holds."""

import psutil
import torch

STREAMS = 4
"""States of every column that a layer holds at once: residual, normed, queries, output."""


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes of a CUDA device or of the machine; None for other devices, which do not report them."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available) if device.type == "cpu" else None
