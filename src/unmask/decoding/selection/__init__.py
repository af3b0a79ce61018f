"""Selections: which open places of the active block are written now."""

from unmask.decoding.selection.adaptive import AdaptiveThreshold
from unmask.decoding.selection.dilated import Dilated
from unmask.decoding.selection.dream import Dream
from unmask.decoding.selection.entropy_bound import EntropyBound
from unmask.decoding.selection.factor import Factor
from unmask.decoding.selection.prefix import Prefix
from unmask.decoding.selection.quota import Quota
from unmask.decoding.selection.threshold import Threshold

__all__ = ["AdaptiveThreshold", "Dilated", "Dream", "EntropyBound", "Factor", "Prefix", "Quota", "Threshold"]
