"""How much memory is free, and how much the states of a model's columns take."""

import psutil
import torch

STREAMS = 4
"""States of every column that a layer holds at once: residual, normed, queries, output."""


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None where it cannot be asked."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available) if device.type == "cpu" else None
