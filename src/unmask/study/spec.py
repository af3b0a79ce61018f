"""A study's recipe: what is compared, from which base, under which budgets, judged how."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, SkipValidation

from unmask.config.components import InvalidConfigError, component, fill, resolver
from unmask.config.yaml import assign
from unmask.decoding import Decoder
from unmask.errors import UserError, did_you_mean
from unmask.recipes.recipe import import_plugins, read_recipe
from unmask.runtime.paths import ASSETS
from unmask.study.bounds import BoundSection
from unmask.study.merging import merge
from unmask.tasks import TASKS, Task
from unmask.tasks.questions import task_of

BUILT_IN = ASSETS / "studies"
SIZES = ("smoke", "cpu", "gpu")
BUDGETS = ("steps", "examples", "supervised_tokens", "forward_tokens", "flops", "seconds", "run")
"""What arms may be compared at equal amounts of; ``run`` is the share of the whole run, however long each is."""
NAMES = {
    "steps": "steps", "examples": "examples", "supervised_tokens": "supervised tokens", "forward_tokens": "tokens read",
    "flops": "FLOPs", "seconds": "seconds of training",
}  # fmt: skip
HEADS = {**{name: f"at equal {phrase}" for name, phrase in NAMES.items()}, "run": "after the whole run"}
"""Budget -> the words for a comparison under it."""
Count = Annotated[int, Field(ge=1)]
_TASK = resolver(TASKS)


@component
class JudgeSection:
    """How models are judged.

    Args:
        task: problems: a name, or ``{name: …, fields}``.
        questions: file of questions and expected answers of your own, in place of ``task``.
        answer: rule by which they are judged: a name, or ``{name: …, fields}``.
        problems: of the test split, the same for every run; None: all behind the validation problems.
        validation: first problems of the test split, by which the learning rate is chosen; none of them is among
            ``problems``. 0, where there is one rate only, so that nothing is chosen.
        general: problems of another kind, kept apart, which show what tuning has made worse; None: none.
        general_problems: how many of them; None: all, or the task's usual number.
        max_new_tokens: columns of the canvas, the same for every run; None: the base's, else 256.
        batch_size: problems decoded side by side.
        every: optimiser steps between judgements on the way; None: at the end only.
        decoder: fields that all decoders share.
        decoders: name -> fields.
        by_arm: arm -> name of a decoder -> its fields for that arm alone, in place of those in ``decoders``.
        tune_on: decoders by whose mean accuracy rates are chosen; the first decoder unless given.
        bound: likelihood bounds of held-out solutions, after a whole run; None: not measured.
        seed: of the problems and of the samplers.
    """

    task: Annotated[Task, SkipValidation, BeforeValidator(resolver(TASKS))] = cast(Task, None)  # see below
    questions: str | None = None
    answer: SkipValidation[Any] = None
    problems: Count | None = 400
    validation: Annotated[int, Field(ge=0)] = 200
    general: Annotated[Task | None, SkipValidation, BeforeValidator(lambda v: v if v is None else _TASK(v))] = None
    general_problems: Count | None = None
    max_new_tokens: Count | None = None
    batch_size: Count = 100
    every: Count | None = None
    decoder: dict[str, Any] = Field(default_factory=dict)
    decoders: dict[str, dict[str, Any]] = Field(
        default_factory=lambda: {"blocks": {}, "full canvas": {"blocks": "whole"}}
    )
    by_arm: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    tune_on: tuple[str, ...] = ()
    bound: Annotated[
        BoundSection | None,
        SkipValidation,
        BeforeValidator(lambda v: fill(BoundSection, v) if isinstance(v, Mapping) else v),
    ] = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.decoders:
            raise UserError("decoders: expected at least one, found none; leave it out for blocks and full canvas")
        for name in self.tune_on:
            if name not in self.decoders:
                raise UserError(f"tune_on: unknown decoder '{name}'; {did_you_mean(name, self.decoders)}")
        # Whoever reads ``task`` finds one: it is never None here.
        object.__setattr__(self, "task", task_of(self.task, self.questions, self.answer))
        self.made()
        for arm in self.by_arm:
            self.of(arm).made()

    def of(self, arm: str | None) -> "JudgeSection":
        """Return how the models of an arm are judged: with its own fields for the decoders that it has some for."""
        own = self.by_arm.get(str(arm), {})
        unknown = next((name for name in own if name not in self.decoders), None)
        if unknown is not None:
            raise UserError(f"by_arm.{arm}: unknown decoder '{unknown}'; {did_you_mean(unknown, self.decoders)}")
        return replace(self, decoders={**self.decoders, **own}, by_arm={}, questions=None, answer=None)

    @property
    def tuned_on(self) -> tuple[str, ...]:
        """Names of the decoders by which rates are chosen."""
        return self.tune_on or tuple(self.decoders)[:1]

    def made(self, trained: int | None = None) -> dict[str, Decoder]:
        """Make the decoders, each checked against the canvas where its length and its blocks are known.

        Args:
            trained: the block size that the models are trained with, if it is known.

        Returns:
            The decoders by name.

        Raises:
            UserError: a decoder does not fit the canvas.
        """
        made = {name: fill(Decoder, {**self.decoder, **own}, f"decoders.{name}") for name, own in self.decoders.items()}
        for name, decoder in made.items():
            try:
                if self.max_new_tokens and (trained or decoder.own_block_size):
                    decoder.resolve(trained_block_size=trained).steps_per_block(self.max_new_tokens)
            except UserError as error:
                raise UserError(f"decoders.{name}: {error}") from None
        return made


@component
class Headroom:
    """What the base and the tuned models must leave room for, as shares of right answers.

    Args:
        base: lowest and highest accuracy of the base.
        tuned: no tuned model's mean accuracy may reach it.
    """

    base: tuple[float, float] = (0.2, 0.6)
    tuned: Annotated[float, Field(gt=0, le=1)] = 0.98


@component
class Study:
    """A grid of arms x cells x seeds, and how it is compared.

    Args:
        question: what the study answers.
        plugins: modules and files that register components, imported before anything is looked up.
        base: the model that every run starts from: ``{path: …}``, or ``{recipe: …}`` of a run that makes it.
        recipe: of ``unmask sft``, shared by all arms; its ``model`` holds what is not the base's path (``lora`` …).
        arms: name -> what the arm changes in ``recipe``.
        reference: the arm that others are compared with; the first unless given.
        vary: axis -> value -> what it changes in ``base``, ``recipe``, ``evaluate`` and ``arms``. A cell is one value
            of each axis; comparisons stay inside a cell.
        seeds: of the runs; the same for all arms.
        rates: learning rates that every arm tries in every cell; one: nothing is tried; none: each arm keeps the
            one that its recipe states.
        tuning_seed: of the trials; not among ``seeds``.
        evaluate: how models are judged.
        equal: budgets to compare under: names, each at the largest that all arms reach, or name -> amount.
        room: what is checked before anything is believed.
        keep: models that stay on disk: of the first seed, of all, or none.
        learnability: heat maps of the base and of each arm's model of the first seed: examples to measure; 0: none.
        seconds_per_run: measured on the machine that the size is for; for the estimate before anything has run.
    """

    question: str
    plugins: tuple[str, ...] = ()
    base: dict[str, Any]
    recipe: dict[str, Any]
    arms: dict[str, dict[str, Any]]
    evaluate: dict[str, Any]
    reference: str | None = None
    vary: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    rates: tuple[Annotated[float, Field(gt=0)], ...] = (1e-3,)
    tuning_seed: int = 1000
    equal: Annotated[dict[str, float | None], BeforeValidator(lambda v: _budgets(v))] = Field(
        default=("steps",), validate_default=True
    )
    room: Annotated[
        Headroom, SkipValidation, BeforeValidator(lambda v: v if isinstance(v, Headroom) else fill(Headroom, v))
    ] = Headroom()
    keep: Literal["none", "first", "all"] = "first"
    learnability: Annotated[int, Field(ge=0)] = 0
    seconds_per_run: float | None = None

    def __post_init__(self) -> None:
        if not self.arms:
            raise UserError("arms: expected at least one, found none; write for example arms: {vanilla: {}}")
        if self.reference is not None and self.reference not in self.arms:
            raise UserError(f"reference: unknown arm '{self.reference}'; {did_you_mean(self.reference, self.arms)}")
        for field in ("seeds", "rates"):
            values = getattr(self, field)
            if (not values and field == "seeds") or len(set(values)) < len(values):
                raise UserError(f"{field}: expected different values, found {list(values)}")
        if len(self.rates) > 1 and self.evaluate.get("validation") == 0:
            raise UserError(
                "evaluate.validation: expected problems by which one of the rates is chosen, found 0; write how "
                "many, or one rate"
            )
        if self.tuning_seed in self.seeds:
            raise UserError(
                f"tuning_seed: {self.tuning_seed} is one of the seeds that are reported; write another, such as 1000"
            )
        if not ("path" in self.base) ^ ("recipe" in self.base):
            raise UserError(
                "base: expected either path or recipe; write for example base: {path: asset:quickstart/model}"
            )
        for axis, values in self.vary.items():
            if not values:
                raise UserError(f"vary.{axis}: expected at least one value, found none")

    @property
    def compared_with(self) -> str:
        """Name of the reference arm."""
        return self.reference or next(iter(self.arms))


def _budgets(given: Any) -> dict[str, float | None]:
    """Return budgets by name from names, or names with amounts; None is the largest amount that all arms reach."""
    if isinstance(given, str):
        given = (given,)
    made = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given)
    for name, amount in made.items():
        if name not in BUDGETS:
            raise InvalidConfigError([f"{name}: unknown budget; {did_you_mean(str(name), BUDGETS)}"])
        if amount is not None and not (isinstance(amount, (int, float)) and amount > 0):
            raise InvalidConfigError([f"{name}: expected a positive number, found {amount!r}"])
    if not made:
        raise InvalidConfigError([": expected at least one budget, found none; write equal: steps"])
    return made


def read_study(given: str, size: str | None = None, assignments: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a study's recipe, lay the changes of a size and then ``--set`` assignments over it.

    Args:
        given: the name of a built-in study, or a file.
        size: one of the recipe's ``sizes``; None: the recipe as it stands.
        assignments: ``path=value``.

    Returns:
        The recipe's values, without ``sizes``.

    Raises:
        UserError: there is no such study or size.
    """
    values: dict[str, Any] = _with_recipes(read_recipe(find_study(given)))
    sizes = values.pop("sizes", None) or {}
    if not isinstance(sizes, Mapping):
        raise UserError(f"{given}: sizes: expected names with changes, found {sizes!r}; write sizes: {{smoke: {{…}}}}")
    if size is not None and size not in sizes:
        raise UserError(f"{given}: has no size '{size}'; {did_you_mean(size, sizes)}")
    if size is not None:
        values = merge(values, sizes[size])
    for assignment in assignments:
        assign(values, assignment)
    return values


def _with_recipes(values: Any) -> Any:
    """Return a study's values with the recipes that are given as files read, wherever a study has one."""
    if not isinstance(values, Mapping):
        return values
    return {
        key: read_recipe(value) if key == "recipe" and isinstance(value, str) else _with_recipes(value)
        for key, value in values.items()
    }


def find_study(given: str) -> Path:
    """Return the file of a study that is given by its name or path; a ``UserError`` is raised if there is none."""
    built_in = BUILT_IN / f"{given}.yaml"
    if Path(given).is_file() or given.startswith("asset:"):
        return Path(given)
    if built_in.is_file():
        return built_in
    raise UserError(f"{given}: neither a file nor a built-in study; {did_you_mean(given, built_in_studies())}")


def built_in_studies() -> list[str]:
    """Return the names of the studies that ship with unmask."""
    return sorted(file.stem for file in BUILT_IN.glob("*.yaml"))


def build_study(values: Mapping[str, Any]) -> Study:
    """Return a study with its sections checked; its runs are checked when it is expanded."""
    import_plugins(values)
    return fill(Study, {name: value for name, value in values.items() if value is not None})
