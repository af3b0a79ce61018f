"""Studies: a grid of runs from one base, paired over seeds and problems, compared under equal budgets."""

from unmask.study.api import Plan, overview, plan, report, run_study
from unmask.study.publish import publish
from unmask.study.spec import Study, built_in_studies, read_study

__all__ = ["Plan", "Study", "built_in_studies", "overview", "plan", "publish", "read_study", "report", "run_study"]
