"""Revisions: which written tokens of the active block are taken back or replaced, and the selections beside them."""

from unmask.decoding.revision.edit import Edit
from unmask.decoding.revision.remdm import RemdmRevision, RemdmSelection
from unmask.decoding.revision.remedi import RemediRevision
from unmask.decoding.revision.rounds import RemdmRounds
from unmask.decoding.revision.saber import SaberRevision, SaberSelection
from unmask.decoding.revision.wino import WinoRevision, WinoSelection

__all__ = [
    "Edit",
    "RemdmRevision",
    "RemdmRounds",
    "RemdmSelection",
    "RemediRevision",
    "SaberRevision",
    "SaberSelection",
    "WinoRevision",
    "WinoSelection",
]
