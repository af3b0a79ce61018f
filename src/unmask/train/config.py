"""Settings of a training run: the objective, and how long, how fast, how often."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from unmask.config.components import component, resolver
from unmask.core.attention import Grid
from unmask.core.protocols import Objective
from unmask.objectives import OBJECTIVES
from unmask.train.exported import check_export

Count = Annotated[int, Field(ge=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy takes, whom transformers seeds too


@component
class TrainRun:
    """Settings of a training run.

    Args:
        objective: the method: a value, a name, or ``{name: …, fields}``.
        steps: optimiser steps.
        batch_size: rows per device and forward.
        accumulate: forwards per optimiser step.
        lr: peak learning rate (AdamW).
        schedule: after warm-up: ``cosine`` or ``linear`` to ``final_lr`` of the peak, or ``constant``.
        warmup: share of the steps spent warming up.
        final_lr: share of the peak learning rate at the end.
        weight_decay: of AdamW.
        betas: of AdamW.
        max_grad_norm: gradients are clipped to this norm; 0 never.
        seed: of shuffling, noise and dropout.
        eval_every: steps between evaluations on held-out examples; None: at the start and the end.
        eval_passes: noise draws per held-out example; more give a steadier loss.
        save_every: steps between checkpoints; None: a tenth of the run or ten minutes, whichever is less. There is
            always one at the end, and one at the lowest held-out loss.
        keep: newest checkpoints to keep, beside the one at the lowest held-out loss.
        log_every: steps between lines in ``metrics.jsonl``.
        bf16: autocast; None: on CUDA devices that support it.
        gradient_checkpointing: recompute activations in the backward to save memory.
        report_to: experiment trackers of transformers (``wandb``, ``tensorboard`` …), if installed.
        export: what the model is to be exported to after the run, a family of released checkpoints, ``gguf`` or
            ``transformers``: where engines count blocks from the start of the text there, training does, too, and
            blocks have the family's size where nothing else says one. None: nothing follows.
    """

    objective: Annotated[Objective, BeforeValidator(resolver(OBJECTIVES))] = Field(
        default="vanilla", validate_default=True
    )
    steps: Count = 1000
    batch_size: Count = 8
    accumulate: Count = 1
    lr: Annotated[float, Field(gt=0)] = 1e-5
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.03
    final_lr: Annotated[float, Field(ge=0, le=1)] = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    seed: Seed = 0
    eval_every: Count | None = None
    eval_passes: Count = 1
    save_every: Count | None = None
    keep: Count = 2
    log_every: Count = 1
    bf16: bool | None = None
    gradient_checkpointing: bool = False
    report_to: tuple[str, ...] = ()
    export: Annotated[str | None, AfterValidator(check_export)] = None


def announced(
    objective: Objective, trained: int | None, grids: tuple[Grid | None, Grid | None] = (None, None)
) -> list[str]:
    """Return a line if training changes the block size of a model, and one if it changes where blocks are counted from.

    Args:
        objective: with its block size resolved; without one, the model's size stays as it is.
        trained: the block size that the model was trained with, or None.
        grids: where blocks were counted from when the model was trained, and where this run counts from.

    Returns:
        Two lines, one or none.
    """
    size, (before, now), lines = objective.block_size, grids, []
    if trained and size and size != trained:
        lines.append(f"the model was trained with blocks of {trained}; this run makes it {size}")
    if trained and before and now and before != now:
        lines.append(f"the model was trained with blocks counted from the {before}; this run counts from the {now}")
    return lines
