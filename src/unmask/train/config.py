"""Settings of a training run: the objective, and how long, how fast, how often."""

import math
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from unmask.config.components import InvalidConfigError, component, resolver
from unmask.core.attention import Grid
from unmask.core.protocols import Objective
from unmask.objectives import OBJECTIVES
from unmask.train.exported import check_export

Count = Annotated[int, Field(ge=1)]
Metric = Literal["held_out_loss", "held_out_bound", "accuracy"]
Beta = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy takes, whom transformers seeds too
STEPS = 1000


@component
class TrainRun:
    """Settings of a training run.

    Args:
        objective: the method: a value, a name, or ``{name: …, fields}``.
        steps: optimiser steps.
        epochs: passes over the training examples, in place of ``steps``; 0.5 shows half of them.
        batch_size: examples per device and forward.
        accumulate: forwards per optimiser step.
        lr: peak learning rate (AdamW).
        schedule: after warm-up: ``cosine`` or ``linear`` to ``final_lr`` of the peak, or ``constant``.
        warmup: share of the steps spent warming up.
        final_lr: share of the peak learning rate at the end.
        weight_decay: of AdamW.
        betas: of AdamW.
        max_grad_norm: gradients are clipped to this norm; 0 never.
        seed: of shuffling, noise and dropout.
        ema: decay of an exponential moving average of the trained weights, such as 0.999; evaluations and the saved
            model use the average. None: the weights themselves.
        master_weights: whether the optimiser updates float32 copies of weights in half precision, which are rounded
            after each step.
        eval_every: steps between evaluations on held-out examples; None: at the start and the end.
        eval_passes: noise draws per held-out example; more give a steadier loss.
        eval_bound: held-out examples whose likelihood bound is measured at each evaluation of a recipe; None: 8.
        samples: held-out prompts that are answered at each evaluation of a recipe, into ``samples.jsonl``.
        best_metric: by which the best step is known: ``held_out_loss``, ``held_out_bound`` or ``accuracy``. None:
            ``held_out_loss``, where there is one.
        save_best: whether the saved model is that of the best step, not of the last.
        patience: evaluations in a row without a better ``best_metric`` after which the run ends; None: it never does.
        min_delta: how much better counts for ``patience``.
        save_every: steps between checkpoints; None: a tenth of the run or ten minutes, whichever is less. There is
            always one at the end, and one at the best step.
        keep: newest checkpoints to keep, beside the best one.
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
    steps: Count = STEPS
    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
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
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    master_weights: bool = False
    eval_every: Count | None = None
    eval_passes: Count = 1
    eval_bound: Annotated[int, Field(ge=0)] | None = None
    samples: Annotated[int, Field(ge=0)] = 0
    best_metric: Metric | None = None
    save_best: bool = False
    patience: Count | None = None
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    save_every: Count | None = None
    keep: Count = 2
    log_every: Count = 1
    bf16: bool | None = None
    gradient_checkpointing: bool = False
    report_to: tuple[str, ...] = ()
    export: Annotated[str | None, AfterValidator(check_export)] = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps != STEPS:
            found = f"found both ({self.epochs:g} and {self.steps})"
            raise InvalidConfigError([f"epochs: expected either epochs or steps, {found}; leave one out"])
        if self.patience is not None and self.eval_every is None:
            raise InvalidConfigError(
                [
                    "patience: counts evaluations, and without eval_every there are only those at the start and the "
                    "end; write for example eval_every: 100"
                ]
            )

    def in_steps(self, examples: int, *, ranks: int = 1) -> "TrainRun":
        """Return the run with its epochs as steps: as many as show each example that often, rounded up.

        Args:
            examples: that are trained on. With packing, too, ``batch_size`` counts examples.
            ranks: processes that train.

        Returns:
            A copy with ``steps`` and no ``epochs``; this run itself where it has none.
        """
        if self.epochs is None:
            return self
        a_step = self.batch_size * self.accumulate * ranks
        return replace(self, steps=max(1, math.ceil(self.epochs * examples / a_step)), epochs=None)


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
