"""Curricula: in which order examples are shown, from easy to hard. Any objective trains under any of them."""

from unmask.data.curricula.base import CURRICULA, Curriculum
from unmask.data.curricula.difficulty import difficulties, into_buckets
from unmask.data.curricula.laws import Balanced, Classic, Cosine, Gaussian
from unmask.data.curricula.sampler import CurriculumSampler

__all__ = [
    "CURRICULA",
    "Balanced",
    "Classic",
    "Cosine",
    "Curriculum",
    "CurriculumSampler",
    "Gaussian",
    "difficulties",
    "into_buckets",
]
