"""Checkpoints that stock transformers classes compute but do not load: one table, keyed by ``model_type``."""

from unmask.models.families.base import Family
from unmask.models.families.llada import LLADA
from unmask.models.families.qwen import DREAM, MDLM_QWEN2, MDLM_QWEN3, SDAR

FAMILIES: dict[str, Family] = {f.model_type: f for f in (LLADA, DREAM, SDAR, MDLM_QWEN2, MDLM_QWEN3)}

__all__ = ["FAMILIES", "Family"]
