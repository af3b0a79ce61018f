"""Studies of a model on data: what each token can teach at each noise level, and what a training context costs."""

from unmask.analyze.api import Findings, Subject, analysis_rows, analyze, check_out
from unmask.analyze.frequency import FrequencyBins, bin_tokens
from unmask.analyze.learnability import Learnability, learnability
from unmask.analyze.mismatch import Mismatch, mismatch
from unmask.analyze.study import RATIOS, Study

__all__ = [
    "RATIOS",
    "Findings",
    "FrequencyBins",
    "Learnability",
    "Mismatch",
    "Study",
    "Subject",
    "analysis_rows",
    "analyze",
    "bin_tokens",
    "check_out",
    "learnability",
    "mismatch",
]
