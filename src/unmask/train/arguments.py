"""A run's settings as transformers' arguments."""

from pathlib import Path

import torch

from unmask.models import LoadedModel
from unmask.train.config import TrainRun
from unmask.train.trainer import TrainingArguments

TENSORBOARD = "tensorboard"


def arguments_of(run: TrainRun, folder: Path, lm: LoadedModel) -> TrainingArguments:
    """Return the settings of a run as transformers' own; making them starts the process group, if there is one.

    Args:
        run: settings; its epochs may still be open, and then ``max_steps`` is to be set afterwards.
        folder: of the checkpoints.
        lm: the model, whose device trains.

    Returns:
        The arguments of the trainer.
    """
    schedules = {"cosine": "cosine_with_min_lr", "linear": "polynomial", "constant": "constant_with_warmup"}
    options = {
        "cosine": {"min_lr_rate": run.final_lr},
        "linear": {"lr_end": run.lr * run.final_lr, "power": 1.0},
        "constant": {},
    }
    on_cuda = lm.device.type == "cuda"
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=run.steps,
        per_device_train_batch_size=run.batch_size,
        gradient_accumulation_steps=run.accumulate,
        learning_rate=run.lr,
        lr_scheduler_type=schedules[run.schedule],
        lr_scheduler_kwargs=options[run.schedule],
        warmup_steps=round(run.warmup * run.steps),
        weight_decay=run.weight_decay,
        adam_beta1=run.betas[0],
        adam_beta2=run.betas[1],
        max_grad_norm=run.max_grad_norm,
        seed=run.seed,
        bf16=run.bf16 if run.bf16 is not None else on_cuda and torch.cuda.is_bf16_supported(),
        use_cpu=lm.device.type == "cpu",
        save_strategy="no",  # the Saver requests checkpoints
        eval_strategy="no",
        logging_strategy="no",  # the Reporter hands trackers each line of metrics
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[name for name in run.report_to if name != TENSORBOARD],  # whose callback gets a folder of its own
        dataloader_pin_memory=on_cuda,
    )
