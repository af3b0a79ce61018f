"""Sections of a recipe: which model, which data, and how the trained model is evaluated."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, Field, SkipValidation

from unmask.config.components import chooses, component, fill, resolver
from unmask.config.defaults import Layout, Rows
from unmask.core.attention import Grid
from unmask.data import CURRICULA, Curriculum
from unmask.models import LoraSpec, ScratchSpec
from unmask.tasks import TASKS, Task
from unmask.tasks.questions import task_of
from unmask.tasks.rules.base import ANSWER_RULES

T = TypeVar("T")
Text = Annotated[str, Field(min_length=1)]


def _rows_or_share(value: float) -> float:
    """Return a number of rows, or a share of them, after a check."""
    if value < 0 or (value > 1 and value != int(value)) or (value == 1 and isinstance(value, float)):
        raise ValueError(
            f"expected a number of rows (0 or more), or a share of them between 0 and 1, found {value}; write for "
            "example 100 or 0.05"
        )
    return int(value) if value == int(value) else value


def _files(value: object) -> object:
    """Return the files of ``sources`` or ``validation``: a name, a mapping, or a list of these, as a tuple."""
    if value is None or isinstance(value, DataFile):
        return value if value is None else (value,)
    given = value if isinstance(value, (list, tuple)) else [value]
    if not given:
        raise ValueError("expected at least one file, found an empty list; write for example [chats.jsonl]")
    return tuple(_file(each) for each in given)


def _file(value: object) -> "DataFile":
    if isinstance(value, DataFile):
        return value
    if isinstance(value, str):
        value = {"path": value}
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a file, or a mapping such as {{path: chats.jsonl, weight: 2}}, found {value!r}")
    return fill(DataFile, value)


@component
class ModelSection:
    """Which model. Either ``path`` or ``from_scratch``.

    Args:
        path: hub name, folder, adapter folder, ``.gguf`` file, or ``asset:NAME`` for a model that ships with unmask.
        from_scratch: shape of a random model.
        tokenizer: of a random model: built-in name or folder.
        lora: adapters instead of full fine-tuning.
        mask_token: text of the mask token, where the checkpoint names none.
        chat_template: in place of the tokenizer's own: a file (relative to the recipe), the text of a Jinja template,
            or ``chatml``. It is saved with the model.
        shift: whether logits are shifted; None: by the checkpoint.
        dtype: of the weights; None: the checkpoint's own (gguf: float32).
        device: None: a GPU if there is one.
    """

    path: Text | None = None
    from_scratch: Annotated[ScratchSpec | None, SkipValidation, BeforeValidator(lambda v: _maybe(ScratchSpec, v))] = (
        None
    )
    tokenizer: str = "digits"
    lora: Annotated[LoraSpec | None, SkipValidation, BeforeValidator(lambda v: _maybe(LoraSpec, v))] = None
    mask_token: str | None = None
    chat_template: Text | None = None
    shift: bool | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    device: str | None = None


@component
class DataFile:
    """One file, or one hub data set, of several.

    Args:
        path: JSON Lines, CSV or Parquet file, or the name of a hub data set.
        weight: share of the examples that are drawn from it, relative to the other files' weights; None: there are no
            weights, and all examples of all files are shown once an epoch.
        split: of a hub data set; None: that of the section.
        size: rows to take; None: all.
        columns: as in the section, in its place.
        roles: as in the section, in its place.
    """

    path: Text
    weight: Annotated[float, Field(gt=0)] | None = None
    split: str | None = None
    size: Annotated[int, Field(ge=1)] | None = None
    columns: dict[str, str] | None = None
    roles: dict[str, str | list[str]] | None = None


# The type is what a recipe may write, for its JSON schema.
_READS_FILES = BeforeValidator(_files, json_schema_input_type=DataFile | Text | list[DataFile | Text] | None)


@component
class DataSection(Rows):
    """Which examples. Either ``path``, ``sources`` or ``task``.

    Args:
        path: JSON Lines, CSV or Parquet file, or the name of a hub data set; or a list of these, read one after the
            other.
        sources: several files, each with settings of its own: ``[{path: chats.jsonl, weight: 2}, {path: math.jsonl}]``.
        task: problems with solutions: a name, or ``{name: …, fields}``.
        split: of a hub data set or a task.
        size: problems to make of a task; rows to take of a file (None: all).
        seed: of a task's problems, and of the draw of held-out rows.
        columns: our name -> the file's, where they are not recognised: ``{prompt: question, completion: answer}``.
        roles: of speakers whose names are not known, ``{Arzt: assistant}``.
        chat: put prompt/completion rows into the chat template; None: if the tokenizer has one.
        canvas: columns of the canvas; None: each is fitted to its answer.
        tail: what follows the end in a fitted canvas: none, one, block, rainbow, or sampled, as where it is None.
        tail_blocks: most blocks of a drawn tail; None: 2, or 0 where nothing is drawn.
        tail_tokens: texts of the tokens of a rainbow; None: seven reserved ones of the tokenizer.
        max_length: columns of prompt and canvas together.
        pack: whether several examples share a row; None: where all rows of the data are texts.
        on_bad: ``error`` or ``skip`` rows that cannot be used.
        too_long: ``error``, ``skip`` or ``truncate`` rows beyond ``max_length``.
        held_out: rows kept aside for the held-out loss: how many, or a share of them (0.05). They are drawn by their
            prompts; of a task, the first problems are taken.
        validation: a file (or a list of files) for the held-out loss, instead of ``held_out``; read with the same
            columns, roles and template.
        curriculum: in which order examples are shown: a name, or ``{name: …, fields}``; None: shuffled.
    """

    path: Text | Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    sources: Annotated[tuple[DataFile, ...] | None, SkipValidation, _READS_FILES] = None
    task: Annotated[Task | None, SkipValidation, BeforeValidator(resolver(TASKS))] = None
    split: str = "train"
    size: Annotated[int, Field(ge=1)] | None = None
    seed: int = 0
    columns: dict[str, str] | None = None
    roles: dict[str, str | list[str]] | None = None
    chat: bool | None = None
    on_bad: Literal["error", "skip"] = "error"
    too_long: Literal["error", "skip", "truncate"] | None = None
    held_out: Annotated[int | float, AfterValidator(_rows_or_share)] = 0
    validation: Annotated[tuple[DataFile, ...] | None, SkipValidation, _READS_FILES] = None
    curriculum: Annotated[Curriculum | None, SkipValidation, BeforeValidator(resolver(CURRICULA))] = None

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The files to train on, each with its split, columns and roles; none where a task makes the problems."""
        paths = (self.path,) if isinstance(self.path, str) else self.path or ()
        return self._completed(self.sources or tuple(DataFile(path=path, size=self.size) for path in paths))

    @property
    def validation_files(self) -> tuple[DataFile, ...]:
        """The files of the held-out loss, each with its split, columns and roles."""
        return self._completed(self.validation or ())

    @property
    def uses_chat(self) -> bool | None:
        """Whether rows are put into the chat template, as ``chat`` or else the task says; None: if there is one."""
        return self.task.chat if self.task is not None and self.chat is None else self.chat

    def _completed(self, files: tuple[DataFile, ...]) -> tuple[DataFile, ...]:
        return tuple(
            replace(file, **{n: getattr(self, n) for n in ("split", "columns", "roles") if getattr(file, n) is None})
            for file in files
        )

    def layout(self, block_size: int, grid: Grid | None = None) -> Layout:
        """Return the layout of the rows in blocks of a size, which are counted by ``grid``."""
        return Layout(block_size=block_size, grid=grid, **{f.name: getattr(self, f.name) for f in fields(Rows)})


@chooses(ANSWER_RULES, pattern="^python:")
def _rule_as_written(value: object) -> object:
    """Return the rule as it is; the task that is made of it reads it."""
    return value


@component
class EvaluateSection:
    """How the trained model is evaluated: ``unmask eval MODEL --recipe FILE`` reads it and the decoder section.

    Either ``task``, or ``questions`` and ``answer``, from which the task ``questions`` is made.

    Args:
        task: problems: a name, or ``{name: …, fields}``.
        questions: file of questions and expected answers of your own.
        answer: rule by which they are judged, such as ``number``: a name, or ``{name: …, fields}``.
        split: ``train`` or ``test``.
        problems: how many; None: all.
        samples: answers to each problem; several need a temperature above 0.
        max_new_tokens: columns of the canvas; None: the model's, else 256.
        batch_size: answers side by side.
        seed: of the problems and of the decoder.
        while_training: the first so many problems are also answered and judged at each evaluation of a run
            (``run.eval_every``); None: none.
    """

    task: Annotated[Task, SkipValidation, BeforeValidator(resolver(TASKS))] = cast(Task, None)  # see below
    questions: str | None = None
    answer: Annotated[Any, BeforeValidator(_rule_as_written)] = None
    split: Literal["train", "test"] = "test"
    problems: Annotated[int, Field(ge=1)] | None = None
    samples: Annotated[int, Field(ge=1)] = 1
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 16
    seed: int = 0
    while_training: Annotated[int, Field(ge=1)] | None = None

    def __post_init__(self) -> None:
        # Whoever reads ``task`` finds one: it is never None here.
        object.__setattr__(self, "task", task_of(self.task, self.questions, self.answer))


def _maybe(cls: type[T], value: object) -> T | None:
    return value if value is None or isinstance(value, cls) else fill(cls, value)
