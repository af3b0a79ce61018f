"""Selections: which open places of the active block are written now."""

from unmask.decoding.selection.quota import Quota
from unmask.decoding.selection.threshold import Threshold

__all__ = ["Quota", "Threshold"]
