"""A study expanded into cells, and the runs in them, each checked before the first one starts."""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from unmask.config.components import InvalidConfigError, fill
from unmask.errors import UserError, did_you_mean
from unmask.recipes.recipe import build
from unmask.study.merging import merge
from unmask.study.spec import JudgeSection, Study

CHANGEABLE = ("base", "recipe", "evaluate", "arms")
ALL = "all"
"""The name of the only cell of a study that varies nothing."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One value of each axis.

    Args:
        name: the values, joined; also a folder.
        values: axis -> value.
        base: ``{path: …}`` or ``{recipe: …}``.
        recipe: shared by the cell's arms.
        arms: name -> what it changes.
        evaluate: how models are judged, as the recipe has it.
    """

    name: str
    values: Mapping[str, str]
    base: Mapping[str, Any]
    recipe: Mapping[str, Any]
    arms: Mapping[str, Mapping[str, Any]]
    evaluate: Mapping[str, Any]

    @property
    def judge(self) -> JudgeSection:
        """How models are judged."""
        return fill(JudgeSection, self.evaluate, "evaluate")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run, or the judging of a base.

    Args:
        cell: its cell.
        arm: name of its arm; None judges the base as it is.
        rate: learning rate.
        seed: seed of the run.
        is_tuning: whether it is a trial of a rate, judged on validation problems.
    """

    cell: Cell
    arm: str | None
    rate: float | None = None
    seed: int = 0
    is_tuning: bool = False

    @property
    def path(self) -> str:
        """Path of the run's folder below the study's ``runs``."""
        if self.arm is None:
            return f"{self.cell.name}/base"
        tail = f"tuning/lr-{self.rate:g}" if self.is_tuning else f"seed-{self.seed}"
        return f"{self.cell.name}/{folder_name(self.arm)}/{tail}"

    def recipe(self, base: str) -> dict[str, Any]:
        """Return the resolved recipe of ``unmask sft``, starting from the model at ``base``."""
        if self.arm is None:
            raise ValueError("the base is judged, not trained")
        values = merge(self.cell.recipe, self.cell.arms[self.arm])
        run: dict[str, Any] = {"seed": self.seed, "eval_every": None if self.is_tuning else self.cell.judge.every}
        run |= {} if self.rate is None else {"lr": self.rate}
        return merge(values, {"model": {"path": base}, "run": run})


def expand(study: Study) -> list[Cell]:
    """Expand a study into cells.

    Args:
        study: its settings.

    Returns:
        The cells, one for each combination of values of the axes.

    Raises:
        InvalidConfigError: a cell's judging or one of its arms' recipes does not check out.
    """
    sections = {name: getattr(study, name) for name in CHANGEABLE}
    cells = []
    for chosen in itertools.product(*(values.items() for values in study.vary.values())):
        values = dict(sections)
        for axis, (value, changes) in zip(study.vary, chosen, strict=True):
            _check_changes(axis, value, changes)
            values = merge(values, changes)
        named = dict(zip(study.vary, (value for value, _ in chosen), strict=True))
        cells.append(Cell(name="-".join(folder_name(value) for value in named.values()) or ALL, values=named, **values))
    _check_names(list(study.arms), [cell.name for cell in cells])
    problems = [problem for cell in cells for problem in _problems(cell, study)]
    if problems:
        raise InvalidConfigError(list(dict.fromkeys(problems)))
    return cells


def _check_names(*groups: list[str]) -> None:
    for names in groups:
        folders = [folder_name(name) for name in names]
        twice = [name for name, folder in zip(names, folders, strict=True) if folders.count(folder) > 1]
        if twice:
            raise UserError(f"{' and '.join(twice)}: expected names of different folders; rename one")


def _check_changes(axis: str, value: str, changes: Mapping[str, Any]) -> None:
    for key in changes:
        if key not in CHANGEABLE:
            raise UserError(f"vary.{axis}.{value}.{key}: unknown section; {did_you_mean(key, CHANGEABLE)}")


def folder_name(name: str) -> str:
    """Return a name with all signs replaced that may not stand in a folder's name or a link.

    >>> folder_name("lift 1:3, reversed")
    'lift_1_3__reversed'
    """
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in str(name))


def _problems(cell: Cell, study: Study) -> list[str]:
    """Return a line for each mistake in what will run in a cell, without loading anything."""
    problems: list[str] = []

    def check(where: str, work: Callable[..., object]) -> None:
        try:
            work()
        except InvalidConfigError as error:
            problems.extend(f"{where}{problem}" for problem in error.problems)

    check("", lambda: cell.judge)
    if problems:
        return problems
    if "recipe" in cell.base:
        check("base.recipe.", lambda: build(cell.base["recipe"]))
    for arm in cell.arms:
        check(f"arms.{arm}: ", lambda arm=arm: build(Run(cell=cell, arm=arm, seed=0).recipe("base")))
    if not problems:
        problems += _unreachable(cell, study)
    return problems


def _unreachable(cell: Cell, study: Study) -> list[str]:
    """Return a line for each arm that cannot reach a stated number of steps or examples, before it has run."""
    problems = []
    for arm in cell.arms:
        run = build(Run(cell=cell, arm=arm).recipe("base")).run
        reach = {"steps": run.steps, "examples": run.steps * run.batch_size * run.accumulate}
        for name in ("steps", "examples"):
            amount = study.equal.get(name)
            if amount is not None and amount > reach[name]:
                problems.append(
                    f"equal.{name}: {amount:g} cannot be met: arm '{arm}' ends at {reach[name]} {name}; "
                    f"write at most that, or raise run.steps"
                )
    return problems


def tuning_runs(study: Study, cells: list[Cell]) -> list[Run]:
    """Return the trials of learning rates; none where there is one rate."""
    if len(study.rates) <= 1:
        return []
    return [
        Run(cell=cell, arm=arm, rate=rate, seed=study.tuning_seed, is_tuning=True)
        for cell in cells
        for arm in cell.arms
        for rate in study.rates
    ]


def judged_bases(cells: list[Cell]) -> list[Run]:
    """Return the runs that judge the base of each cell."""
    return [Run(cell=cell, arm=None) for cell in cells]


def reported_runs(study: Study, cells: list[Cell]) -> list[Run]:
    """Return the runs that are compared, without rates; first seeds first, so that a wrong arm shows early."""
    return [Run(cell=cell, arm=arm, seed=seed) for seed in study.seeds for cell in cells for arm in cell.arms]


def own_rate(run: Run) -> float:
    """Return the learning rate that the recipe of a run's arm states."""
    return build(run.recipe("base")).run.lr


def at_rate(run: Run, rate: float) -> Run:
    """Return a run with this learning rate."""
    return replace(run, rate=rate)


def fingerprint(values: object) -> str:
    """Return a hash (16 hex digits) of plain values.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def study_fingerprint(study: Study, cells: list[Cell]) -> str:
    """Return a hash of what decides the runs; more seeds or rates, or other budgets to compare under, do not change it.

    A rate that changes which one is best is noticed by the runs, each of which records its own.
    """
    parts = [[c.name, c.base, c.recipe, c.arms, c.evaluate] for c in cells]
    return fingerprint([parts, study.tuning_seed, study.keep])
