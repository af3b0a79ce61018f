"""Models: load checkpoints of all kinds behind one interface, make, adapt, describe and save them."""

from unmask.models.facts import Facts
from unmask.models.inspect import describe
from unmask.models.load import load
from unmask.models.loaded import LoadedModel
from unmask.models.lora import LoraSpec, add_lora, merge
from unmask.models.scratch import ScratchSpec, from_scratch

__all__ = ["Facts", "LoadedModel", "LoraSpec", "ScratchSpec", "add_lora", "describe", "from_scratch", "load", "merge"]
