"""A published study: its recipe, the rates that it chose and its results, verified as far as they can be."""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmask.config.plugins import load_recorded
from unmask.config.yaml import assign
from unmask.errors import UserError
from unmask.study.files import read_json
from unmask.study.folder import STUDY
from unmask.study.grid import (
    Cell,
    Run,
    at_rate,
    expand,
    fingerprint,
    judged_bases,
    reported_runs,
    study_fingerprint,
    tuning_runs,
)
from unmask.study.report import figures_of
from unmask.study.results import Result, Results
from unmask.study.spec import Study, build_study
from unmask.study.verify import (
    RESULT,
    SUMMARY,
    check_answers,
    check_figures,
    check_hashes,
    read_result,
)

Rates = Mapping[tuple[str, str], float]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A study that was published, or ran here.

    Args:
        folder: the folder that holds it.
        values: its recipe.
        runs: path -> result of the runs that were compared.
        unknown: what could not be verified, as it was written by an older version.
    """

    folder: Path
    values: Mapping[str, Any]
    runs: Mapping[str, Result]
    unknown: Sequence[str] = ()

    @property
    def rates(self) -> Rates:
        """Learning rate by cell and arm."""
        return {(run["cell"], run["arm"]): run["rate"] for run in self.runs.values()}


def read_published(folder: Path, assignments: tuple[str, ...] = ()) -> Published:
    """Read a study from the folder that it ran in or was published to, and verify it.

    Args:
        folder: with ``study.json`` and ``runs``.
        assignments: ``path=value``, laid over its recipe; fewer seeds, for example.

    Returns:
        Its recipe and results.

    Raises:
        UserError: there is no study, or none of its runs; or its recipe, results and report do not go together.
    """
    if not (folder / STUDY).is_file():
        raise UserError(f"{folder}: expected a study's folder with {STUDY}, found none; write one that ran")
    kept = read_json(folder / STUDY, "write another folder")
    values = kept.get("recipe")
    if not isinstance(values, dict):
        raise UserError(f"{folder / STUDY}: expected a study's recipe, found none; write another folder")
    for names in _plugins(values):
        load_recorded(names, str(folder / STUDY))
    study = build_study(values)
    cells = expand(study)
    for cell in cells:
        load_recorded(list(getattr(cell.judge.task, "files", ())), str(folder / STUDY))  # what a rule would run
    if kept.get("fingerprint") != study_fingerprint(study, cells):
        raise UserError(
            f"{folder / STUDY}: its recipe was changed after the study: expected fingerprint "
            f"{study_fingerprint(study, cells)}, found {str(kept.get('fingerprint'))[:80]}; put the file back"
        )
    files = sorted((folder / "runs").rglob(f"seed-*/{RESULT}"))
    if not files:
        raise UserError(f"{folder}: expected a study with finished runs, found none; there is nothing to repeat")
    runs = {}
    for file in files:
        result = runs[f"runs/{file.parent.relative_to(folder / 'runs')}"] = read_result(file)
        check_answers(file, result)
    unknown = _check(folder, study, cells)
    changed = copy.deepcopy(values)
    for assignment in assignments:
        assign(changed, assignment)
    return Published(folder=folder, values=changed, runs=runs, unknown=unknown)


def _plugins(values: object) -> Iterator[object]:
    """Yield what a study's recipe and the recipes in it name as plugins."""
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if key == "plugins":
            yield value
        yield from _plugins(value)


def _check(folder: Path, study: Study, cells: list[Cell]) -> list[str]:
    """Compare recipes and report with the results; return what could not be compared, as it is missing."""
    planned = reported_runs(study, cells)
    bases, trials = judged_bases(cells), tuning_runs(study, cells)
    found = Results.read(folder, **{
        name: [run.path for run in runs] for name, runs in (("bases", bases), ("trials", trials), ("runs", planned))
    })  # fmt: skip
    by_path = {result["path"]: result for result in found.runs}
    for run in planned:
        result = by_path.get(f"runs/{run.path}")
        if result is not None:
            _check_recipe(folder / "runs" / run.path / RESULT, run, result)
    if not (folder / SUMMARY).is_file():
        return ["figures of the report, as there is none"]
    summary = read_json(folder / SUMMARY, "write the report anew by --report-only")
    unknown = check_hashes(folder, summary)
    if summary.get("missing_runs") != found.missing:
        return [*unknown, "figures of the report, as runs were added since"]
    figures = figures_of(study, cells, found, intervals="interval_method" in summary)
    return unknown + check_figures(folder / SUMMARY, summary, figures)


def _check_recipe(file: Path, run: Run, result: Result) -> None:
    base = run.cell.base
    key = str(base["path"]) if "path" in base else fingerprint(base["recipe"])
    recipe = json.loads(json.dumps(at_rate(run, result["rate"]).recipe(key), default=str))
    expected = (run.cell.name, run.arm, run.seed, recipe)
    if (result["cell"], result["arm"], result["seed"], result["recipe"]) != expected:
        raise UserError(f"{file}: expected a run of the recipe in {STUDY}, found one of another; put the file back")
