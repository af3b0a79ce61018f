"""Heads: small modules that a method attaches to a model, trained, saved and loaded with it."""

from unmask.heads.base import HEADS, Head
from unmask.heads.confidence import ConfidenceStream
from unmask.heads.soft_mask import SoftMask

__all__ = ["HEADS", "ConfidenceStream", "Head", "SoftMask"]
