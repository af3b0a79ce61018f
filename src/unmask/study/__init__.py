"""Studies: a grid of runs from one base, paired over seeds and problems, compared under equal budgets."""

from unmask.study.api import Plan, overview, plan, report, results, run_study
from unmask.study.publish import publish
from unmask.study.published import Published, read_published
from unmask.study.repeat import check_common, compare_outcomes, is_same
from unmask.study.spec import Study, built_in_studies, read_study

__all__ = [
    "Plan", "Published", "Study", "built_in_studies", "check_common", "compare_outcomes", "is_same", "overview", "plan",
    "publish", "read_published", "read_study", "report", "results", "run_study",
]  # fmt: skip
