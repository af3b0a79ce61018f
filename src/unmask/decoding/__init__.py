"""Decoding: one loop, replaceable components. Each registered class can be imported from here by its name."""

from unmask.config.registry import lazy
from unmask.decoding.caching.drift import Drift, measure_drift
from unmask.decoding.decoder import Decoder, ResolvedDecoder
from unmask.decoding.interfaces import (
    BLOCK_RULES,
    CACHES,
    CONSTRAINTS,
    PROPOSALS,
    REVISIONS,
    SEARCHES,
    SELECTIONS,
    STOPS,
    VIEWS,
)
from unmask.decoding.loop import decode
from unmask.decoding.state import Candidates, Change, State, Step

__getattr__, __dir__ = lazy(__name__, "unmask.constraints")
__all__ = [
    "BLOCK_RULES",
    "CACHES",
    "CONSTRAINTS",
    "PROPOSALS",
    "REVISIONS",
    "SEARCHES",
    "SELECTIONS",
    "STOPS",
    "VIEWS",
    "Candidates",
    "Change",
    "Decoder",
    "Drift",
    "ResolvedDecoder",
    "State",
    "Step",
    "decode",
    "measure_drift",
]
