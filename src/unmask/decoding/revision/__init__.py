"""Revisions: which written tokens of the active block are taken back or replaced."""

from unmask.decoding.revision.edit import Edit
from unmask.decoding.revision.remedi import RemediRevision

__all__ = ["Edit", "RemediRevision"]
