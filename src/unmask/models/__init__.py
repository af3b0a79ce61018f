"""Checkpoints of all kinds behind one seam: load them, make them, describe them, save them."""

from unmask.models.denoiser import LoadedModel
from unmask.models.facts import Facts
from unmask.models.load import load
from unmask.models.scratch import ScratchSpec, from_scratch

__all__ = ["Facts", "LoadedModel", "ScratchSpec", "from_scratch", "load"]
