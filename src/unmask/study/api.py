"""``run_study``: makes bases, tries rates, runs and reports, in that order; what is done already is not done again."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unmask.errors import UserError, did_you_mean
from unmask.runtime.environment import cores
from unmask.study.curves import amount_for_all
from unmask.study.folder import STUDY, check, claimed
from unmask.study.grid import (
    Cell,
    Run,
    at_rate,
    expand,
    fingerprint,
    judged_bases,
    own_rate,
    reported_runs,
    study_fingerprint,
    tuning_runs,
)
from unmask.study.pool import Crew, Follow, Job
from unmask.study.published import Rates
from unmask.study.rates import best_rate, trials_of
from unmask.study.report import Lead, write_report
from unmask.study.results import Results, read_results
from unmask.study.spec import Study, build_study
from unmask.tasks import connect


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study that has been checked and expanded.

    Args:
        study: its settings.
        cells: cells of the grid.
        values: the recipe that it was built from.
        out: its folder.
        bases: folder of the bases that are made, which studies may share.
        only: arms to run; empty: all.
        only_cells: cells to run; empty: all.
        rates: of each cell and arm, where a study is repeated; None: chosen by trials.
        lead: makes the sections that its report begins with, below the title; None: none.
    """

    study: Study
    cells: Sequence[Cell]
    values: Mapping[str, Any]
    out: Path
    bases: Path
    only: tuple[str, ...] = ()
    only_cells: tuple[str, ...] = ()
    rates: Rates | None = None
    lead: Lead | None = None

    @property
    def trials(self) -> list[Run]:
        """Trials of learning rates; none where the rates are known."""
        return self.wanted(tuning_runs(self.study, list(self.cells))) if self.rates is None else []

    @property
    def reported(self) -> list[Run]:
        """Runs that are compared, without rates."""
        return self.wanted(reported_runs(self.study, list(self.cells)))

    @property
    def fingerprint(self) -> str:
        """Hash by which this study is distinguished from others."""
        return study_fingerprint(self.study, list(self.cells))

    def base_key(self, cell: Cell) -> str:
        """Return the name of a cell's base: its path, or the hash of the recipe that makes it."""
        return str(cell.base["path"]) if "path" in cell.base else fingerprint(cell.base["recipe"])

    def base_path(self, cell: Cell) -> str:
        """Return the path where a cell's base is, or will be."""
        if "path" in cell.base:
            return str(cell.base["path"])
        return str((self.bases / self.base_key(cell) / "train" / "model").absolute())

    def wanted(self, runs: Sequence[Run]) -> list[Run]:
        """Return the runs whose arm and cell are to be run; a base is run with its cell."""
        return [
            run for run in runs if (run.arm is None or not self.only or run.arm in self.only) and self.wants(run.cell)
        ]

    def wants(self, cell: Cell) -> bool:
        """Return whether a cell is to be run."""
        return not self.only_cells or cell.name in self.only_cells

    def base_jobs(self) -> list[Job]:
        """Return the jobs that make bases, each once."""
        jobs = {}
        for cell in self.cells:
            if "recipe" in cell.base and self.wants(cell):
                key = self.base_key(cell)
                values = {"kind": "train", "recipe": cell.base["recipe"], "evaluate": None, "keep": True}
                about = {"base": key}
                jobs[key] = Job(folder=self.bases / key, fingerprint=key, values={**values, "about": about})
        return list(jobs.values())

    def job(self, run: Run) -> Job:
        """Return the job of a run."""
        evaluate, which = _of_arm(run.cell.evaluate, run.arm), "validation" if run.is_tuning else "test"
        about: dict[str, Any] = {
            "cell": run.cell.name, "arm": run.arm, "rate": run.rate, "seed": run.seed, "path": f"runs/{run.path}",
            "base": self.base_key(run.cell),
        }  # fmt: skip
        values: dict[str, Any] = {"evaluate": evaluate, "which": which, "about": about}
        if run.arm is None:
            values |= {"kind": "judge", "model": self.base_path(run.cell)}
            key = fingerprint([self.base_key(run.cell), evaluate, which])
        else:
            is_first = run.seed == self.study.seeds[0] and not run.is_tuning
            keep = self.study.keep == "all" or (self.study.keep == "first" and is_first)
            about["recipe"] = run.recipe(self.base_key(run.cell))
            recipe = run.recipe(self.base_path(run.cell))
            values |= {"kind": "train", "recipe": recipe, "keep": keep and not run.is_tuning}
            key = fingerprint([about["recipe"], evaluate, which])
        return Job(folder=self.out / "runs" / run.path, fingerprint=key, values=values)


def plan(
    values: Mapping[str, Any],
    out: Path,
    *,
    bases: Path | None = None,
    only: Sequence[str] = (),
    only_cells: Sequence[str] = (),
    rates: Rates | None = None,
    lead: Lead | None = None,
) -> Plan:
    """Check a study and expand it; nothing is written.

    Args:
        values: of its recipe, as ``read_study`` returns it.
        out: its folder.
        bases: folder of the bases that it makes; None: ``out/bases``.
        only: arms to run; none: all.
        only_cells: cells to run; none: all, or those that ``rates`` knows.
        rates: of each cell and arm, which are not tried then.
        lead: makes the sections that its report begins with; None: those of every study.

    Returns:
        The study's cells and what of them is to be run.

    Raises:
        UserError: an arm and cell to repeat has no known rate.
    """
    study = build_study(values)
    cells = expand(study)
    _check_known("--only: unknown arm", only, list(study.arms))
    _check_known("--cell: unknown cell", only_cells, [cell.name for cell in cells])
    if rates is not None:
        only_cells = only_cells or [cell.name for cell in cells if cell.name in {name for name, _ in rates}]
        for cell, arm in itertools.product(only_cells, only or study.arms):
            if (cell, arm) not in rates:
                raise UserError(
                    f"{arm}, {cell}: has no run whose rate could be taken; leave it out by --only or --cell"
                )
    made = Plan(
        study=study, cells=cells, values=dict(values), out=out, bases=bases or out / "bases", only=tuple(only),
        only_cells=tuple(only_cells), rates=rates, lead=lead,
    )  # fmt: skip
    check(out, made.fingerprint)
    return made


def _check_known(what: str, found: Sequence[str], known: list[str]) -> None:
    for name in found:
        if name not in known:
            raise UserError(f"{what} '{name}'; {did_you_mean(name, known)}")


def run_study(plan: Plan, *, jobs: int | None = None, follow: Follow | None = None) -> dict[str, Any]:
    """Run what is missing, then write the report. A script that calls it does so under ``if __name__ == "__main__":``.

    A ``UserError`` is raised where the folder is another study's or in use, a run failed, or an arm does not reach a
    stated budget.

    Args:
        plan: the study.
        jobs: processes side by side; None: one for each core.
        follow: called with the phase, how many of its jobs are done, and of how many.

    Returns:
        The content of ``summary.json``.
    """
    workers = jobs or cores()
    study, cells = plan.study, list(plan.cells)

    for cell in cells:  # before hours of training
        connect(cell.judge.task)
    with claimed(plan.out, plan.fingerprint, dict(plan.values)), Crew(workers) as crew:
        crew.run(plan.base_jobs(), "bases", follow)
        crew.run([plan.job(each) for each in plan.wanted(judged_bases(cells))], "judging bases", follow)
        crew.run([plan.job(each) for each in plan.trials], "learning rates", follow)
        runs = with_rates(plan)
        first = [each for each in runs if each.seed == study.seeds[0]]
        crew.run([plan.job(each) for each in first], "first seeds", follow)
        _check_budgets(plan)
        crew.run([plan.job(each) for each in runs], "runs", follow)
        return report(plan, inside=True)


def _of_arm(evaluate: Mapping[str, Any], arm: str | None) -> dict[str, Any]:
    """Return how the models of an arm are judged, with the decoders that are its own."""
    values = dict(evaluate)
    own = (values.pop("by_arm", None) or {}).get(arm)
    return values | ({"decoders": {**values["decoders"], **own}} if own else {})


def with_rates(plan: Plan) -> list[Run]:
    """Return the runs that are compared, each at the best rate of its arm and cell."""
    study, runs = plan.study, plan.reported
    if plan.rates is not None:
        return [at_rate(run, plan.rates[run.cell.name, str(run.arm)]) for run in runs]
    if not study.rates:
        return [at_rate(run, own_rate(run)) for run in runs]
    if len(study.rates) == 1:
        return [at_rate(run, study.rates[0]) for run in runs]
    found = read_results(plan.out, [run.path for run in plan.trials])
    trials = trials_of(found)
    return [at_rate(run, best_rate(trials[run.cell.name, str(run.arm)])) for run in runs]


def results(plan: Plan) -> Results:
    """Return all results of a study that exist; a ``UserError`` is raised where there are none."""
    cells = list(plan.cells)
    return Results.read(
        plan.out,
        bases=[run.path for run in judged_bases(cells)],
        trials=[run.path for run in plan.trials],
        runs=[run.path for run in reported_runs(plan.study, cells)],
    )


def report(plan: Plan, *, inside: bool = False) -> dict[str, Any]:
    """Write the report of the results that exist.

    Args:
        plan: the study.
        inside: whether this process has claimed the folder already.

    Returns:
        The content of ``summary.json``.

    Raises:
        UserError: there is no study in the folder.
    """
    if not (plan.out / STUDY).exists():
        raise UserError(f"{plan.out}: no study here to report on; leave out --report-only to run it")
    if inside:
        return write_report(plan.study, plan.cells, results(plan), plan.out, lead=plan.lead)
    with claimed(plan.out, plan.fingerprint, dict(plan.values)):
        return write_report(plan.study, plan.cells, results(plan), plan.out, lead=plan.lead)


def _check_budgets(plan: Plan) -> None:
    """Refuse stated budgets that an arm does not reach, as soon as each arm has run once."""
    found = results(plan)
    for cell in plan.cells:
        mine = [curve for curve in found.curves if curve.cell == cell.name]
        for budget, stated in plan.study.equal.items():
            if mine:
                amount_for_all(mine, budget, stated)


def overview(plan: Plan) -> dict[str, Any]:
    """Return what a study will run and about how long that takes.

    Seconds are those of the runs that are done, else what the recipe states; None where neither is known.
    """
    study, cells = plan.study, list(plan.cells)
    trials, runs = plan.trials, plan.reported
    missing = [run for run in [*trials, *runs] if not (plan.out / "runs" / run.path / "result.json").exists()]
    done = read_results(plan.out, [run.path for run in runs])
    measured = [result["points"][-1]["seconds"] + result["judging_seconds"] for result in done]
    seconds = sum(measured) / len(measured) if measured else study.seconds_per_run
    return {
        "question": study.question,
        "cells": [cell.name for cell in cells if plan.wants(cell)],
        "arms": [arm for arm in study.arms if not plan.only or arm in plan.only],
        "seeds": list(study.seeds),
        "rates": list(study.rates),
        "equal": study.equal,
        "decoders": list(cells[0].judge.decoders),
        "bases_to_make": len([job for job in plan.base_jobs() if not (job.folder / "result.json").exists()]),
        "trials": len(trials),
        "runs": len(runs),
        "missing": len(missing),
        "seconds_per_run": seconds,
        "core_seconds": None if seconds is None else seconds * len(missing),
    }
