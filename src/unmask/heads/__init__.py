"""Heads: small modules that a method attaches to a model, trained, saved and loaded with it."""

from unmask.config.registry import lazy
from unmask.heads.base import HEADS, HEADS_ATTRIBUTE, Head

__getattr__, __dir__ = lazy(__name__)
__all__ = ["HEADS", "HEADS_ATTRIBUTE", "Head"]
