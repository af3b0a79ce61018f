"""Caches: what of the text is read again, and what is remembered."""

from unmask.decoding.caching.block import BlockCache
from unmask.decoding.caching.dkv import DelayedCache
from unmask.decoding.caching.drift import Drift, measure_drift
from unmask.decoding.caching.refreshed import DualCache, PrefixCache
from unmask.decoding.defaults import NoCache

__all__ = ["BlockCache", "DelayedCache", "Drift", "DualCache", "NoCache", "PrefixCache", "measure_drift"]
