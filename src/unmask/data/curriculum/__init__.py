"""Curricula: in which order examples are shown, from easy to hard. Any objective trains under any of them."""

from unmask.config.registry import lazy
from unmask.data.curriculum.base import CURRICULA, Curriculum
from unmask.data.curriculum.difficulty import difficulties, into_buckets
from unmask.data.curriculum.sampler import CurriculumSampler

__getattr__, __dir__ = lazy(__name__)
__all__ = ["CURRICULA", "Curriculum", "CurriculumSampler", "difficulties", "into_buckets"]
