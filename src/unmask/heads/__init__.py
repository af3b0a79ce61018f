"""Heads: small modules that a method attaches to a model, trained, saved and loaded with it."""

from unmask.heads.base import HEADS, HEADS_ATTRIBUTE, Head
from unmask.heads.confidence import ConfidenceStream
from unmask.heads.soft_mask import SoftMask

__all__ = ["HEADS", "HEADS_ATTRIBUTE", "ConfidenceStream", "Head", "SoftMask"]
