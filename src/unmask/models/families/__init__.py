"""Checkpoint families that stock transformers classes compute after renaming, by name."""

from unmask.models.families.base import FAMILIES, Family
from unmask.models.families.rules import Rule, WeightRules

__all__ = ["FAMILIES", "Family", "Rule", "WeightRules"]
