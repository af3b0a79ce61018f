"""Revisions: which written tokens of the active block are taken back or replaced."""

from unmask.decoding.revision.edit import Edit
from unmask.decoding.revision.remdm import Remask
from unmask.decoding.revision.remedi import RemediRevision
from unmask.decoding.revision.rounds import Rounds
from unmask.decoding.revision.saber import LeastGain
from unmask.decoding.revision.wino import Verify

__all__ = ["Edit", "LeastGain", "Remask", "RemediRevision", "Rounds", "Verify"]
