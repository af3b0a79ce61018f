"""Checkpoints that stock transformers classes compute but do not load: one table, keyed by ``model_type``."""

from unmask.models.families.base import FAMILIES, Family

__all__ = ["FAMILIES", "Family"]
