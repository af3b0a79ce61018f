"""Reads a recipe (model, data, objective, decoder, run) and checks it as a whole before any weight is loaded."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SkipValidation

from unmask.config.components import InvalidConfigError, choose, component, fill
from unmask.config.defaults import resolve_block_size, resolve_grid
from unmask.config.plugins import load_plugins, resolve
from unmask.config.yaml import assign, read_yaml
from unmask.core.attention import Grid
from unmask.decoding import Decoder
from unmask.errors import UserError, did_you_mean, shorten
from unmask.objectives import OBJECTIVES, sized
from unmask.recipes.chat_templates import absolute
from unmask.recipes.problems import canvas_problem, data_problems, decoder_problems, model_problems, run_problems
from unmask.recipes.sections import DataSection, EvaluateSection, ModelSection
from unmask.runtime.foreign import check_file
from unmask.runtime.paths import resolve_path
from unmask.train.config import TrainRun
from unmask.train.exported import export_block_size, export_grid

T = TypeVar("T")
MOST_RECIPE = 4 * 2**20  # bytes
SECTIONS = ("plugins", "model", "data", "objective", "decoder", "run", "evaluate")


@component
class Recipe:
    """A whole run. ``run`` holds the objective, ``values`` what the recipe was built from; ``evaluate`` may be None."""

    model: SkipValidation[ModelSection]
    data: SkipValidation[DataSection]
    decoder: SkipValidation[Decoder]
    run: SkipValidation[TrainRun]
    evaluate: SkipValidation[EvaluateSection | None] = None
    values: SkipValidation[Mapping[str, Any] | None] = None

    def block_size(self, trained: int | None) -> int:
        """Return the block size of the run: of the objective, else the decoder, the model, ``run.export``, else 32.

        Args:
            trained: the block size that the model was trained with, if any.

        Returns:
            Columns of a block.
        """
        objective = getattr(self.run, "objective", None)  # of a recipe with mistakes, sections may be missing
        return resolve_block_size(
            objective=getattr(objective, "block_size", None),
            decoder=getattr(self.decoder, "own_block_size", None),
            model=trained or export_block_size(self._export),
        )

    def grid(self, trained: Grid | None) -> Grid:
        """Return where blocks are counted from: as the decoder says, else as ``run.export`` is served, else the model.

        Args:
            trained: the grid that the model was trained with; None where that is not known.

        Returns:
            ``answer``, its first token, or ``text``, the first token of the prompt.
        """
        return resolve_grid(
            decoder=getattr(self.decoder, "own_grid", None), export=export_grid(self._export), model=trained
        )

    @property
    def _export(self) -> str | None:
        """What ``run.export`` names, or None."""
        return getattr(self.run, "export", None)

    def fitted(self, trained: int | None) -> "Recipe":
        """Return the recipe with the block size that its objective leaves to the decoder or the model.

        Args:
            trained: the block size that the model was trained with, if any.

        Returns:
            A copy.

        Raises:
            UserError: the objective or the canvas cannot be cut into blocks of this size.
        """
        try:
            objective = sized(self.run.objective, self.block_size(trained))
        except UserError as error:
            raise UserError(f"objective: {error}") from None
        if problem := canvas_problem(self.data, objective):
            raise UserError(problem)
        return replace(self, run=replace(self.run, objective=objective))


def read_recipe(path: str | Path, assignments: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the sections of a recipe file, ``--set`` assignments applied, unchecked; no YAML is a ``UserError``."""
    path = resolve_path(str(path))
    if path.is_dir():
        raise UserError(f"{shorten(path, 160)}: expected a recipe, found a folder; write the YAML file in it")
    if not path.is_file():
        raise UserError(f"{shorten(path, 160)}: no such recipe; expected a YAML file")
    check_file(path, MOST_RECIPE)
    try:
        values = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected a YAML text file, found binary data") from None
    for assignment in assignments:
        assign(values, assignment)
    if values.get("plugins") is not None:
        values["plugins"] = resolve(values["plugins"], path.parent)
    model = values.get("model")
    if isinstance(model, dict) and isinstance(model.get("chat_template"), str):
        values["model"] = {**model, "chat_template": absolute(model["chat_template"], path.parent)}
    return values


def build(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe of some sections, after checks of each and of all together; files are not checked.

    Args:
        values: sections by name.

    Returns:
        The recipe.

    Raises:
        InvalidConfigError: names all problems at once.
    """
    recipe, problems = build_sections(values)
    if problems:
        raise InvalidConfigError(problems)
    return recipe


def build_sections(values: Mapping[str, Any]) -> tuple[Recipe, list[str]]:
    """Return the recipe with None for sections that cannot be built, and a list of all problems."""
    problems = [f"{key}: unknown section; {did_you_mean(str(key), SECTIONS)}" for key in values if key not in SECTIONS]

    def section(make: Callable[[], Any]) -> Any:
        try:
            return make()
        except InvalidConfigError as error:
            problems.extend(error.problems)
            return None

    import_plugins(values, problems)
    model = section(lambda: fill(ModelSection, values.get("model") or {}, "model"))
    data = section(lambda: fill(DataSection, values.get("data") or {}, "data"))
    decoder = section(lambda: fill(Decoder, values.get("decoder") or {}, "decoder"))
    objective = section(lambda: choose(OBJECTIVES, values.get("objective") or "vanilla", "objective"))
    settings = values.get("run") or {}
    if isinstance(settings, Mapping):
        if "objective" in settings:
            problems.append("run.objective: stands beside run, not in it; write 'objective: …' at the top level")
        settings = {**settings, "objective": objective or "vanilla"}
    run = section(lambda: fill(TrainRun, settings, "run"))
    judged = values.get("evaluate")
    evaluate = section(lambda: None if judged is None else fill(EvaluateSection, judged, "evaluate"))
    problems += model_problems(model, values) + data_problems(data, objective) + decoder_problems(decoder, objective)
    problems += run_problems(run, data, evaluate, values)
    made = Recipe(model=model, data=data, decoder=decoder, run=run, evaluate=evaluate, values=dict(values))
    return made, problems


def import_plugins(values: Mapping[str, Any], problems: list[str] | None = None) -> None:
    """Import the ``plugins`` of a recipe, before its components are looked up.

    Args:
        values: of a recipe; files are absolute already, or relative to the working directory.
        problems: gets a line for an error, which is then not raised.

    Raises:
        UserError: one cannot be imported, or registers a name that is taken.
    """  # noqa: DOC503
    try:
        load_plugins(resolve(values.get("plugins") or [], Path()))
    except UserError as error:
        if problems is None:
            raise
        problems.append(str(error))


def judging(recipe: Path | None, given: Mapping[str, Any]) -> tuple[EvaluateSection, Mapping[str, Any]]:
    """Return the settings by which a model is evaluated.

    Args:
        recipe: a file whose ``evaluate`` and ``decoder`` sections are the defaults.
        given: fields that outrank it.

    Returns:
        The evaluation, and the fields of the recipe's decoder.

    Raises:
        UserError: no task is named, or a field is wrong.
    """
    values = read_recipe(recipe) if recipe else {}
    import_plugins(values)
    is_named = "task" in given or "questions" in given
    if recipe and not values.get("evaluate") and not is_named:
        raise UserError(f"{recipe}: expected a section 'evaluate' with a task, found none; write --task beside it")
    if not recipe and not is_named:
        raise UserError(
            "expected a task, found none; write --task gsm8k, --questions FILE --answer number, or --recipe with a "
            "recipe that has one"
        )
    outranked = ("task", "questions", "answer") if is_named else ()
    kept = {name: value for name, value in (values.get("evaluate") or {}).items() if name not in outranked}
    section = fill(EvaluateSection, {**kept, **given}, "evaluate" if recipe else "")
    return section, values.get("decoder") or {}
