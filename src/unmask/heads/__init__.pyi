# Written by make index.

from unmask.heads.base import HEADS as HEADS
from unmask.heads.base import HEADS_ATTRIBUTE as HEADS_ATTRIBUTE
from unmask.heads.base import Head as Head
from unmask.heads.confidence import ConfidenceStream as ConfidenceStream
from unmask.heads.soft_mask import SoftMask as SoftMask
