"""A study made of recipes: its arms are the recipes as they stand, from one base and judged on the same questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from unmask.config.components import InvalidConfigError
from unmask.data import Record
from unmask.data.overlap import Overlap, overlap
from unmask.errors import UserError
from unmask.recipes.check import check
from unmask.recipes.inputs import file_records, task_records
from unmask.recipes.recipe import Recipe, build, judging, read_recipe
from unmask.recipes.sections import EvaluateSection
from unmask.study.spec import JudgeSection, build_study
from unmask.tasks import Problem

BLOCKS, WHOLE = "blocks", "full canvas"
FEW = 20
"""Questions below which a comparison is called wide."""
HINT = "write --questions FILE --answer RULE, or a section evaluate in each recipe"
UNUSED = ("patience", "min_delta", "save_best", "best_metric", "samples")
"""Settings of a run that end it early, save another step, or write samples: what is compared is each run's end."""
BESIDE = ("questions", "answer", "while_training")
"""Fields of ``evaluate`` in which sections may differ that judge alike: the first two are in ``task``."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What ``unmask compare`` compares.

    Args:
        values: of the study.
        recipes: by name of their arm.
        problems: that all models are asked.
        remarks: a line each on what a user should know before it runs.
    """

    values: dict[str, Any]
    recipes: Mapping[str, Recipe]
    problems: Sequence[Problem]
    remarks: Sequence[str]

    def overlap(self) -> dict[str, Overlap]:
        """Return, for each recipe, how much of the questions stands in its training data; equal data are read once."""
        texts = [str(one.messages[-1]["content"]) if one.messages else one.prompt for one in self.problems]
        found: dict[str, Overlap] = {}
        known: list[tuple[object, Overlap]] = []
        for name, recipe in self.recipes.items():
            made = next((each for data, each in known if data == recipe.data), None)
            if made is None:
                made = overlap(_training(recipe), texts)
                known.append((recipe.data, made))
            found[name] = made
        return found


def comparison(
    paths: Sequence[Path],
    *,
    judged: Mapping[str, Any],
    general: object = None,
    general_problems: int | None = None,
    seeds: int = 3,
    rates: Sequence[float] = (),
    equal: str = "run",
    every: int | None = None,
) -> Comparison:
    """Read recipes, check them, and make the study that compares them.

    Args:
        paths: files of recipes; the first is what others are compared with.
        judged: fields of ``evaluate`` from the command line, such as ``questions`` and ``answer``; they outrank the
            recipes' own.
        general: task of the general problems; None: none.
        general_problems: how many of them; None: all, or the task's usual number.
        seeds: how many runs of each recipe, with the seeds 0, 1, 2 …
        rates: learning rates to try for every recipe; none: each keeps its own.
        equal: the budget to compare under; ``run``: each recipe's whole run.
        every: steps between judgements on the way; None: at the end only.

    Returns:
        The study's values and what they were made of.

    Raises:
        InvalidConfigError: what is wrong with the recipes, with the file of each problem.
        UserError: the recipes start from different models, or are not judged alike.
    """  # noqa: DOC503
    named = _named(paths)
    values = {name: read_recipe(path) for name, path in named.items()}
    problems = [f"{named[name]}: {each}" for name, one in values.items() for each in check(one).problems]
    if problems:
        raise InvalidConfigError(problems)
    recipes = {name: build(one) for name, one in values.items()}
    base = _base({str(named[name]): recipe for name, recipe in recipes.items()})
    section = _section(named, values, judged)
    asked = section.task.problems(section.split, section.problems or section.task.default_problems, section.seed)
    remarks = _remarks(recipes, len(asked))
    if isinstance(general, Mapping) and "answer" in general:
        remarks.append(f"general problems: {general['path']}, judged by the rule {general['answer']}")
    task = _task(values, judged)
    decoders, by_arm = _decoders({name: one.get("decoder") or {} for name, one in values.items()}, remarks)
    canvas = section.max_new_tokens or max((recipe.data.canvas or 0 for recipe in recipes.values()), default=0)
    evaluate = {
        **task, "problems": len(asked) - (tuned := len(asked) // 3 if len(rates) > 1 else 0), "validation": tuned,
        "seed": section.seed, "batch_size": section.batch_size, "decoders": decoders, "by_arm": by_arm,
        "max_new_tokens": canvas or None, "general": general,
        "general_problems": general_problems, "every": every,
    }  # fmt: skip
    plugins = list(dict.fromkeys(name for one in values.values() for name in one.get("plugins") or ()))
    made = {
        "question": _question(list(recipes), task), "plugins": plugins, "base": {"path": base}, "recipe": {},
        "arms": {name: _arm(one) for name, one in values.items()}, "rates": list(rates), "seeds": list(range(seeds)),
        "equal": equal, "evaluate": {name: value for name, value in evaluate.items() if value not in (None, {})},
    }  # fmt: skip
    build_study(made)
    return Comparison(values=made, recipes=recipes, problems=asked[tuned:], remarks=remarks)


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Return recipes by the names of their files, with the folder where two files have one name."""
    found: dict[str, Path] = {}
    for path in paths:
        if any(path.resolve() == other.resolve() for other in found.values()):
            raise UserError(f"{path}: is given twice; a recipe compared with itself shows nothing, write another")
        stems = [other.stem for other in paths]
        name = path.stem if stems.count(path.stem) == 1 else f"{path.resolve().parent.name}-{path.stem}"
        if name in found:
            raise UserError(f"{path}: has the name of {found[name]}; rename one of the two files")
        if name == "base":
            raise UserError(f"{path}: the name base stands for the model that recipes start from; rename the file")
        found[name] = path
    return found


def _base(recipes: Mapping[str, Recipe]) -> str:
    """Return the model that all recipes start from."""
    for path, recipe in recipes.items():
        if recipe.model.path is None:
            raise UserError(
                f"{path}: model.from_scratch has no base to compare with; train it by unmask sft, and write the result "
                "as model.path"
            )
    (first, one), *others = recipes.items()
    for path, recipe in others:
        if recipe.model.path != one.model.path:
            raise UserError(
                f"{path}: starts from {recipe.model.path}, and {first} from {one.model.path}; a comparison needs one "
                "base, else the bases are compared: write one model.path in all"
            )
    return str(one.model.path)


def _section(
    named: Mapping[str, Path], values: Mapping[str, Mapping[str, Any]], judged: Mapping[str, Any]
) -> EvaluateSection:
    """Return how all models are judged: as the command line says, else as all recipes say alike."""
    is_given = "task" in judged or "questions" in judged
    found = {}
    for name, path in named.items():
        if not is_given and not values[name].get("evaluate"):
            raise UserError(f"{path}: expected a section evaluate that says how it is judged, found none; {HINT}")
        found[name] = judging(path, judged)[0] if values[name].get("evaluate") or is_given else None
    (first, one), *others = found.items()
    for name, section in others:
        if not is_given and not _is_alike(section, one):
            raise UserError(
                f"{named[name]}: its section evaluate is not that of {named[first]}; models are compared on the same "
                "questions: make them alike, or write --questions FILE --answer RULE"
            )
    assert one is not None
    if one.split != "test":
        raise UserError("evaluate.split: expected test, found train; what is trained on shows nothing")
    if one.samples != 1:
        raise UserError(f"evaluate.samples: expected 1, found {one.samples}; raise --seeds instead")
    return one


def _is_alike(one: EvaluateSection | None, other: EvaluateSection | None) -> bool:
    """Return whether two sections judge by the same task and settings."""
    names = [field.name for field in fields(EvaluateSection) if field.name not in BESIDE]
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _task(values: Mapping[str, Mapping[str, Any]], judged: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say which problems are judged and by which rule."""
    own = next(iter(values.values())).get("evaluate") or {}
    source = judged if "task" in judged or "questions" in judged else {**own, **judged}
    return {name: source[name] for name in ("task", "questions", "answer") if source.get(name) is not None}


def _decoders(
    own: Mapping[str, Mapping[str, Any]], remarks: list[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, dict[str, Any]]]]:
    """Return the decoders: each recipe's own, and its own without blocks; where recipes differ, also those by arm."""
    (first, shared), *_ = own.items()
    made = {name: _pair(fields) for name, fields in own.items()}
    names = [name for name in made[first] if all(name in one for one in made.values())]
    if not names:
        raise UserError("decoder.blocks: expected all recipes to decode with blocks or all without, found both")
    decoders = {name: made[first][name] for name in names}
    by_arm = {
        arm: differing
        for arm, one in made.items()
        if (differing := {name: one[name] for name in names if one[name] != decoders[name]})
    }
    if by_arm:
        remarks.append(f"each recipe's models are decoded by its own decoder, the base by that of {first}")
    del shared
    return decoders, by_arm


def _pair(fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    whole = {**fields, "blocks": "whole"}
    if fields.get("blocks") in (None, "canvas") or isinstance(fields["blocks"], Mapping):
        try:
            JudgeSection(task="sorting", decoders={WHOLE: whole})  # type: ignore[arg-type]  # a name is resolved
        except UserError:
            return {BLOCKS: dict(fields)}
        return {BLOCKS: dict(fields), WHOLE: whole}
    return {(WHOLE if fields["blocks"] == "whole" else BLOCKS): dict(fields)}


def _arm(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe without what the study says for all: the base and how models are judged."""
    kept = {name: value for name, value in values.items() if name not in ("evaluate", "plugins") and value is not None}
    kept["model"] = {name: value for name, value in kept["model"].items() if name != "path"}
    run = {name: value for name, value in (kept.get("run") or {}).items() if name not in ("seed", *UNUSED)}
    return {**kept, "run": run}


def _remarks(recipes: Mapping[str, Recipe], questions: int) -> list[str]:
    remarks = []
    if questions < FEW:
        remarks.append(f"only {questions} questions: intervals will be wide, and only large differences can be shown")
    for name, recipe in recipes.items():
        used = [field for field in UNUSED if getattr(recipe.run, field, None)]
        if used:
            remarks.append(f"{name}: run.{' and run.'.join(used)} left out, as models are compared at the end of runs")
    return remarks


def _question(arms: Sequence[str], task: Mapping[str, Any]) -> str:
    what = task.get("questions") or task.get("task")
    what = getattr(what, "name", what)
    what = what.get("name") if isinstance(what, Mapping) else what
    where = Path(str(what)).name
    if len(arms) == 1:
        return f"What does {arms[0]} change in its base, on {where}?"
    return f"Which recipe is better on {where}: {', '.join(arms[:-1])} or {arms[-1]}?"


def _training(recipe: Recipe) -> list[Record]:
    data = recipe.data
    if data.task is not None:
        return task_records(data, data.size)
    return [record for rows in file_records(data, data.size) for record in rows]
