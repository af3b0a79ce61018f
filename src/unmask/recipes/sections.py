"""Sections of a recipe: which model, which data, and how the trained model is evaluated."""

from dataclasses import fields
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, SkipValidation

from unmask.config.components import component, fill, resolver
from unmask.config.defaults import Layout, Rows
from unmask.core.attention import Grid
from unmask.data import CURRICULA, Curriculum
from unmask.models import LoraSpec, ScratchSpec
from unmask.tasks import TASKS, Task

T = TypeVar("T")


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
        while_training: the first so many problems are also answered and judged at each evaluation of a run
            (``run.eval_every``); None: none.
    """

    task: Annotated[Task, SkipValidation, BeforeValidator(resolver(TASKS))]
    split: Literal["train", "test"] = "test"
    problems: Annotated[int, Field(ge=1)] | None = None
    samples: Annotated[int, Field(ge=1)] = 1
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 16
    seed: int = 0
    while_training: Annotated[int, Field(ge=1)] | None = None


def _maybe(cls: type[T], value: object) -> T | None:
    return value if value is None or isinstance(value, cls) else fill(cls, value)
