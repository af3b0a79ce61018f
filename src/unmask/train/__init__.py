"""Training: ``train``, the settings of a run, and the held-out loss."""

import importlib
from typing import TYPE_CHECKING, Any

from unmask.config.defaults import Layout
from unmask.train.config import TrainRun
from unmask.train.held_out import held_out_loss

if TYPE_CHECKING:
    from unmask.train.api import TrainResult, train

__all__ = ["Layout", "TrainResult", "TrainRun", "held_out_loss", "train"]


def __getattr__(name: str) -> Any:
    """Return ``train`` or ``TrainResult``, imported on first use: transformers' Trainer takes seconds to import."""
    if name not in ("TrainResult", "train"):
        raise AttributeError(f"module 'unmask.train' has no attribute '{name}'")
    return getattr(importlib.import_module("unmask.train.api"), name)
