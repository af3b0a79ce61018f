"""Decoding: one loop, six replaceable parts."""

from unmask.decoding.adablock import AdaBlock
from unmask.decoding.base import (
    BLOCK_RULES,
    CACHES,
    PROPOSALS,
    REVISIONS,
    SELECTIONS,
    STOPS,
    VIEWS,
    Candidates,
    Change,
    State,
    Step,
)
from unmask.decoding.blocks import Fixed, Whole
from unmask.decoding.caching import BlockCache, Drift, DualCache, NoCache, PrefixCache, measure_drift
from unmask.decoding.decoder import Decoder, Parts
from unmask.decoding.endings import LateEos, NoEos
from unmask.decoding.guidance import Guidance
from unmask.decoding.loop import decode
from unmask.decoding.plain import Eos, Never, NoRevision
from unmask.decoding.proposals import Greedy, Gumbel
from unmask.decoding.revision import Edit, RemediRevision
from unmask.decoding.selection import AdaptiveThreshold, Dilated, Dream, EntropyBound, Factor, Prefix, Quota, Threshold
from unmask.decoding.swordsman import Swordsman
from unmask.decoding.truncated import Nucleus, TopK
from unmask.decoding.views import CanvasView, SoftMaskView

__all__ = [
    "BLOCK_RULES",
    "CACHES",
    "PROPOSALS",
    "REVISIONS",
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
    "Greedy",
    "Guidance",
    "Gumbel",
    "LateEos",
    "Never",
    "NoCache",
    "NoEos",
    "NoRevision",
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
