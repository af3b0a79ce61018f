"""Curricula: in which order examples are shown, from easy to hard. Any objective trains under any of them."""

from unmask.data.curricula.base import CURRICULA, Curriculum
from unmask.data.curricula.difficulty import difficulties, into_buckets
from unmask.data.curricula.sampler import CurriculumSampler
from unmask.registry import lazy

__getattr__, __dir__ = lazy(__name__)
__all__ = ["CURRICULA", "Curriculum", "CurriculumSampler", "difficulties", "into_buckets"]
