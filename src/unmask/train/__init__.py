"""Training: one run, one trainer, checkpoints that survive."""

from unmask.train.api import TrainResult, train
from unmask.train.held_out import held_out_loss
from unmask.train.layout import Layout
from unmask.train.run import TrainRun

__all__ = ["Layout", "TrainResult", "TrainRun", "held_out_loss", "train"]
