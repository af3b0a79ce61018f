"""Training methods, one a file. Each answers: given clean text, what does the model read, what is each answer worth?"""

from unmask.objectives.base import OBJECTIVES, WeightedLikelihood
from unmask.objectives.blockwise import Blockwise
from unmask.objectives.vanilla import Vanilla

__all__ = ["OBJECTIVES", "Blockwise", "Vanilla", "WeightedLikelihood"]
