"""Checkpoint families that stock transformers classes compute after renaming, by ``model_type``."""

from unmask.models.families.base import FAMILIES, Family

__all__ = ["FAMILIES", "Family"]
