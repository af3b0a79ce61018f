"""Decoding: one loop, replaceable parts."""

from unmask.decoding.base import (
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
from unmask.decoding.blocks import AdaBlock, Fixed, Swordsman, Whole
from unmask.decoding.caching import BlockCache, Drift, DualCache, NoCache, PrefixCache, measure_drift
from unmask.decoding.decoder import Decoder, Parts
from unmask.decoding.loop import decode
from unmask.decoding.plain import Eos, Free, Never, NoRevision, NoSearch
from unmask.decoding.proposals import Greedy, Gumbel, LateEos, NoEos, Nucleus, TopK
from unmask.decoding.revision import Edit, RemediRevision
from unmask.decoding.selection import AdaptiveThreshold, Dilated, Dream, EntropyBound, Factor, Prefix, Quota, Threshold
from unmask.decoding.state import Candidates, Change, State, Step
from unmask.decoding.views import CanvasView, Guidance, SoftMaskView

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
    "AdaBlock",
    "AdaptiveThreshold",
    "BlockCache",
    "Candidates",
    "CanvasView",
    "Change",
    "Decoder",
    "Dilated",
    "Dream",
    "Drift",
    "DualCache",
    "Edit",
    "EntropyBound",
    "Eos",
    "Factor",
    "Fixed",
    "Free",
    "Greedy",
    "Guidance",
    "Gumbel",
    "LateEos",
    "Never",
    "NoCache",
    "NoEos",
    "NoRevision",
    "NoSearch",
    "Nucleus",
    "Parts",
    "Prefix",
    "PrefixCache",
    "Quota",
    "RemediRevision",
    "SoftMaskView",
    "State",
    "Step",
    "Swordsman",
    "Threshold",
    "TopK",
    "Whole",
    "decode",
    "measure_drift",
]
