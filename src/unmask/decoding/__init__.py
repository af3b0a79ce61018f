"""Decoding: one loop, six replaceable parts."""

from unmask.decoding.base import (
    BLOCK_RULES,
    CACHES,
    PROPOSALS,
    REVISIONS,
    SELECTIONS,
    STOPS,
    VIEWS,
    Candidates,
    State,
    Step,
)
from unmask.decoding.blocks import Fixed, Whole
from unmask.decoding.decoder import Decoder, Parts
from unmask.decoding.loop import decode
from unmask.decoding.plain import Eos, Never, NoCache, NoRevision
from unmask.decoding.proposals import Greedy, Gumbel
from unmask.decoding.selection import Quota, Threshold
from unmask.decoding.views import CanvasView, SoftMaskView

__all__ = [
    "BLOCK_RULES",
    "CACHES",
    "PROPOSALS",
    "REVISIONS",
    "SELECTIONS",
    "STOPS",
    "VIEWS",
    "Candidates",
    "CanvasView",
    "Decoder",
    "Eos",
    "Fixed",
    "Greedy",
    "Gumbel",
    "Never",
    "NoCache",
    "NoRevision",
    "Parts",
    "Quota",
    "SoftMaskView",
    "State",
    "Step",
    "Threshold",
    "Whole",
    "decode",
]
