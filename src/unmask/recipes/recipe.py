"""Reads a recipe (model, data, objective, decoder, run) and checks it as a whole before any weight is loaded."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, SkipValidation

from unmask.config.components import InvalidConfigError, choose, component, fill, resolver
from unmask.config.defaults import Layout, Rows, resolve_block_size, resolve_grid
from unmask.config.plugins import load_plugins, resolve
from unmask.config.yaml import assign, read_yaml
from unmask.core.attention import Grid
from unmask.core.protocols import Objective
from unmask.data import CURRICULA, Curriculum
from unmask.decoding import Decoder
from unmask.errors import UserError, did_you_mean, shorten
from unmask.models import LoraSpec, ScratchSpec
from unmask.objectives import OBJECTIVES, sized
from unmask.runtime.foreign import check_file
from unmask.runtime.paths import resolve_path
from unmask.tasks import TASKS, Task
from unmask.train.config import TrainRun
from unmask.train.exported import export_block_size, export_grid

T = TypeVar("T")
MOST_RECIPE = 4 * 2**20  # bytes
SECTIONS = ("plugins", "model", "data", "objective", "decoder", "run", "evaluate")


@component
class ModelSection:
    """Which model. Either ``path`` or ``from_scratch``.

    Args:
        path: hub name, folder, adapter folder, ``.gguf`` file, or ``asset:NAME`` for a model that ships with unmask.
        from_scratch: shape of a random model.
        tokenizer: of a random model: built-in name or folder.
        lora: adapters instead of full fine-tuning.
        mask_token: text of the mask token, where the checkpoint names none.
        shift: whether logits are shifted; None: by the checkpoint.
        dtype: of the weights; None: the checkpoint's own (gguf: float32).
        device: None: a GPU if there is one.
    """

    path: Annotated[str, Field(min_length=1)] | None = None
    from_scratch: Annotated[ScratchSpec | None, SkipValidation, BeforeValidator(lambda v: _maybe(ScratchSpec, v))] = (
        None
    )
    tokenizer: str = "digits"
    lora: Annotated[LoraSpec | None, SkipValidation, BeforeValidator(lambda v: _maybe(LoraSpec, v))] = None
    mask_token: str | None = None
    shift: bool | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    device: str | None = None


@component
class DataSection(Rows):
    """Which examples. Either ``path`` or ``task``.

    Args:
        path: JSON Lines, CSV or Parquet file, or the name of a hub data set.
        task: problems with solutions: a name, or ``{name: …, fields}``.
        split: of a hub data set or a task.
        size: problems to make of a task; examples to take of a file (None: all).
        seed: of a task's problems.
        columns: our name -> the file's, where they are not recognised: ``{prompt: question, completion: answer}``.
        roles: of speakers whose names are not known, ``{Arzt: assistant}``.
        chat: put prompt/completion rows into the chat template; None: if the tokenizer has one.
        canvas: columns of the canvas; None: each is fitted to its answer.
        tail: what follows the end in a fitted canvas: none, one, block, rainbow, or sampled, as where it is None.
        tail_blocks: most blocks of a drawn tail; None: 2, or 0 where nothing is drawn.
        tail_tokens: texts of the tokens of a rainbow; None: seven reserved ones of the tokenizer.
        max_length: columns of prompt and canvas together.
        pack: whether several examples share a row.
        on_bad: ``error`` or ``skip`` rows that cannot be used.
        too_long: ``error``, ``skip`` or ``truncate`` rows beyond ``max_length``.
        held_out: examples kept aside for the held-out loss.
        curriculum: in which order examples are shown: a name, or ``{name: …, fields}``; None: shuffled.
    """

    path: Annotated[str, Field(min_length=1)] | None = None
    task: Annotated[Task | None, SkipValidation, BeforeValidator(resolver(TASKS))] = None
    split: str = "train"
    size: Annotated[int, Field(ge=1)] | None = None
    seed: int = 0
    columns: dict[str, str] | None = None
    roles: dict[str, str | list[str]] | None = None
    chat: bool | None = None
    on_bad: Literal["error", "skip"] = "error"
    too_long: Literal["error", "skip", "truncate"] | None = None
    held_out: Annotated[int, Field(ge=0)] = 0
    curriculum: Annotated[Curriculum | None, SkipValidation, BeforeValidator(resolver(CURRICULA))] = None

    def layout(self, block_size: int, grid: Grid | None = None) -> Layout:
        """Return the layout of the rows in blocks of a size, which are counted by ``grid``."""
        return Layout(block_size=block_size, grid=grid, **{f.name: getattr(self, f.name) for f in fields(Rows)})


@component
class EvaluateSection:
    """How the trained model is evaluated: ``unmask eval MODEL --recipe FILE`` reads it and the decoder section.

    Args:
        task: problems: a name, or ``{name: …, fields}``.
        split: ``train`` or ``test``.
        problems: how many; None: all.
        samples: answers to each problem; several need a temperature above 0.
        max_new_tokens: columns of the canvas; None: the model's, else 256.
        batch_size: answers side by side.
        seed: of the problems and of the decoder.
    """

    task: Annotated[Task, SkipValidation, BeforeValidator(resolver(TASKS))]
    split: Literal["train", "test"] = "test"
    problems: Annotated[int, Field(ge=1)] | None = None
    samples: Annotated[int, Field(ge=1)] = 1
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 16
    seed: int = 0


def _maybe(cls: type[T], value: object) -> T | None:
    return value if value is None or isinstance(value, cls) else fill(cls, value)


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
        if problem := _canvas_problem(self.data, objective):
            raise UserError(problem)
        return replace(self, run=replace(self.run, objective=objective))


def read_recipe(path: str | Path, assignments: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the sections of a recipe file, ``--set`` assignments applied, unchecked; no YAML is a ``UserError``."""
    path = resolve_path(str(path))
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
    problems += _model_problems(model, values) + _data_problems(data, objective) + _decoder_problems(decoder, objective)
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


def _model_problems(model: ModelSection | None, values: Mapping[str, Any]) -> list[str]:
    if model is None:
        return []
    problems = []
    if (model.path is None) == (model.from_scratch is None):
        found = "neither" if model.path is None else "both"
        problems.append(
            f"model: expected either path or from_scratch, found {found}; "
            "write for example model: {path: GSAI-ML/LLaDA-8B-Base}"
        )
    if model.path and "tokenizer" in values["model"]:
        problems.append("model.tokenizer: is for from_scratch, and a checkpoint brings its own; leave it out")
    if model.dtype and model.from_scratch is not None:
        problems.append("model.dtype: random weights are float32; leave it out, or write run.bf16: true for autocast")
    if model.lora and model.from_scratch:
        problems.append("model.lora: adapters on random weights cannot learn; leave out lora or give model.path")
    return problems


def _data_problems(data: DataSection | None, objective: Objective | None) -> list[str]:
    if data is None:
        return []
    problems = []
    if (data.path is None) == (data.task is None):
        found = "neither" if data.path is None else "both"
        problems.append(
            f"data: expected either path or task, found {found}; write for example data: {{path: my_chats.jsonl}}"
        )
    if data.task is not None and data.curriculum is not None and data.curriculum.column is not None:
        problems.append(f"data.curriculum.by: a task has no columns, found '{data.curriculum.by}'; write by: length")
    if data.task is not None and data.size and data.held_out >= data.size:
        problems.append(
            f"data.held_out: expected fewer than data.size={data.size}, found {data.held_out}; "
            "what is held out is not trained on"
        )
    if data.canvas and data.canvas >= data.max_length:
        problems.append(
            f"data.canvas: expected less than data.max_length={data.max_length}, found {data.canvas}; write less"
        )
    if problem := _canvas_problem(data, objective):
        problems.append(problem)
    return problems


def _canvas_problem(data: DataSection, objective: Objective | None) -> str | None:
    """Return why a canvas cannot be cut into the objective's blocks, or None."""
    size = getattr(objective, "block_size", None)
    if not data.canvas or not size or data.canvas % size == 0:
        return None
    return (
        f"data.canvas: expected a multiple of objective.block_size={size}, found {data.canvas}; "
        f"write {-(-data.canvas // size) * size}"
    )


def _decoder_problems(decoder: Decoder | None, objective: Objective | None) -> list[str]:
    if decoder is None:
        return []
    size = getattr(objective, "block_size", None)
    problems = []
    if size and decoder.block_size and decoder.block_size > size:
        problems.append(
            f"decoder.block_size: {decoder.block_size} is larger than the objective's {size}; a model decodes well "
            f"with blocks up to the size that it was trained with; write {size}"
        )
    try:
        decoder.resolve(trained_block_size=size)
    except UserError as error:
        problems.append(f"decoder: {error}")
    return problems


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
    if recipe and not values.get("evaluate") and "task" not in given:
        raise UserError(f"{recipe}: expected a section 'evaluate' with a task, found none; write --task beside it")
    if not recipe and "task" not in given:
        raise UserError("expected a task, found none; write --task gsm8k, or --recipe with a recipe that has one")
    section = fill(EvaluateSection, {**(values.get("evaluate") or {}), **given}, "evaluate" if recipe else "")
    return section, values.get("decoder") or {}
