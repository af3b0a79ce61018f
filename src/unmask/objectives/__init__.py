"""Training methods, one a file. Each answers: given clean text, what does the model read, what is each answer worth?"""

from unmask.objectives.base import OBJECTIVES, WeightedLikelihood
from unmask.objectives.masking import Masking
from unmask.registry import lazy

__getattr__, __dir__ = lazy(__name__)
__all__ = ["OBJECTIVES", "Masking", "WeightedLikelihood"]
