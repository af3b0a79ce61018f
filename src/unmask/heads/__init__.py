"""Heads: small modules that a method attaches to a model, trained, saved and loaded with it."""

from unmask.heads.base import HEADS, HEADS_ATTRIBUTE, Head
from unmask.registry import lazy

__getattr__, __dir__ = lazy(__name__)
__all__ = ["HEADS", "HEADS_ATTRIBUTE", "Head"]
