"""Experiment trackers, as transformers' Trainer calls them."""

from pathlib import Path
from typing import Any

from unmask.errors import UserError, did_you_mean


def check_tracker(name: str) -> None:
    """Check that an experiment tracker works here, by making its callback as a run does when it starts.

    Args:
        name: such as ``tensorboard``; ``none`` and ``all`` are transformers' own.

    Raises:
        UserError: transformers knows no such tracker, or its callback cannot be made.
    """
    if name in ("none", "all"):
        return
    from transformers.integrations import integration_utils as trackers

    known = trackers.INTEGRATION_TO_CALLBACK
    if name not in known:
        raise UserError(f"unknown tracker '{name}'; {did_you_mean(name, known)}")
    try:
        known[name]()
    except Exception as error:  # each tracker fails in its own way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        remedy = "pip install 'unmask[tensorboard]'" if name == "tensorboard" else "install it"
        raise UserError(f"the tracker '{name}' cannot be used here ({reason}); {remedy}, or leave it out") from error


def tensorboard(folder: Path, step: int) -> Any:
    """Return transformers' callback for TensorBoard with a folder of our choice, where a resumed run goes on.

    Args:
        folder: for the files of events; what it tells of this and later steps counts as undone.
        step: the next one.

    Returns:
        The callback.
    """
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(str(folder), purge_step=step))
