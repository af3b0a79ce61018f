"""Training methods, one a file: given clean text, what does the model read, and what is each prediction worth?"""

from unmask.config.registry import lazy
from unmask.objectives.base import OBJECTIVES, Composition, Hide, Scope, Weight, WeightedLikelihood, sized
from unmask.objectives.masking import HIDES, WEIGHTS, Masking

__getattr__, __dir__ = lazy(__name__)
__all__ = [
    "HIDES",
    "OBJECTIVES",
    "WEIGHTS",
    "Composition",
    "Hide",
    "Masking",
    "Scope",
    "Weight",
    "WeightedLikelihood",
    "sized",
]
