"""Evaluation: accuracy, pass@k and likelihood bounds, each with its error, and what they cost."""

from unmask.evaluate.answers import Answer, Evaluation, pass_at_k
from unmask.evaluate.api import check_samples, evaluate
from unmask.evaluate.intervals import difference_interval, share_interval, wilson
from unmask.evaluate.journal import Journal, check_folder, open_journal, read_answers, read_run
from unmask.evaluate.likelihood import Bound, Likelihoods, likelihood_bound, likelihoods
from unmask.evaluate.record import differences, settings_of
from unmask.evaluate.repeat import Repetition, compare
from unmask.evaluate.statistics import (
    bootstrap_interval,
    holm,
    paired_bootstrap,
    paired_permutation,
    seed_permutation,
)
from unmask.evaluate.verify import check_record

__all__ = [
    "Answer",
    "Bound",
    "Evaluation",
    "Journal",
    "Likelihoods",
    "Repetition",
    "bootstrap_interval",
    "check_folder",
    "check_record",
    "check_samples",
    "compare",
    "difference_interval",
    "differences",
    "evaluate",
    "holm",
    "likelihood_bound",
    "likelihoods",
    "open_journal",
    "paired_bootstrap",
    "paired_permutation",
    "pass_at_k",
    "read_answers",
    "read_run",
    "seed_permutation",
    "settings_of",
    "share_interval",
    "wilson",
]
