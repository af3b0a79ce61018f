"""Selections: which open places of the active block are written now."""

from unmask.decoding.defaults import Quota
from unmask.decoding.selection.adaptive import AdaptiveThreshold
from unmask.decoding.selection.credit import Credit
from unmask.decoding.selection.dilated import Dilated
from unmask.decoding.selection.dream import Dream
from unmask.decoding.selection.entropy_bound import EntropyBound
from unmask.decoding.selection.factor import Factor
from unmask.decoding.selection.hierarchical import Hierarchical
from unmask.decoding.selection.info_gain import InfoGain
from unmask.decoding.selection.klass import Klass
from unmask.decoding.selection.pc_sampler import PcSampler
from unmask.decoding.selection.prefix import Prefix
from unmask.decoding.selection.spaced import Spaced
from unmask.decoding.selection.threshold import Threshold
from unmask.decoding.selection.wedlm import WeDlm

__all__ = [
    "AdaptiveThreshold",
    "Credit",
    "Dilated",
    "Dream",
    "EntropyBound",
    "Factor",
    "Hierarchical",
    "InfoGain",
    "Klass",
    "PcSampler",
    "Prefix",
    "Quota",
    "Spaced",
    "Threshold",
    "WeDlm",
]
