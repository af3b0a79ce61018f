"""``train``: one library function behind ``unmask sft``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from unmask.data import Collator, Curriculum, CurriculumSampler, Encoded, OrderedExamples, encode, into_buckets, read
from unmask.errors import UserError
from unmask.models import LoadedModel
from unmask.seeds import Draws
from unmask.train import checkpoints
from unmask.train.folder import on_rank_zero, open_folder, settings_of
from unmask.train.held_out import held_out_loss
from unmask.train.layout import Layout
from unmask.train.metrics import MetricsFile
from unmask.train.run import TrainRun


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a run leaves behind.

    Args:
        folder: ``run.json``, ``metrics.jsonl``, ``checkpoints/`` and ``model/``.
        model: the trained model's folder, for ``unmask.load``.
        totals: what was spent.
    """

    folder: Path
    model: Path
    totals: dict[str, float]


def train(
    lm: LoadedModel,
    data: str | Path | Sequence[Encoded],
    run: TrainRun,
    *,
    out: str | Path,
    layout: Layout | None = None,
    curriculum: Curriculum | None = None,
    held_out: Sequence[Encoded] = (),
    resume: bool = False,
    evaluate: Callable[[], dict[str, float]] | None = None,
    show: bool = True,
    recipe: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Fine-tune a loaded model in place and save it.

    Args:
        lm: the model.
        data: a file or the name of a hub data set, or prompts and answers as tokens (``unmask.data.encode``).
        run: objective and settings.
        out: folder of the run; it must be new, or hold this very run if ``resume``.
        layout: grid, canvas and rows.
        curriculum: in which order examples are shown; None: shuffled.
        held_out: examples for the held-out loss.
        resume: go on from the newest whole checkpoint.
        evaluate: further named values, computed when the held-out loss is.
        show: draw a progress bar on stderr.
        recipe: what the run was read from, to be kept with it.

    Raises:
        UserError: the folder holds another run; nothing to resume.
        NonFiniteLossError: the loss became NaN or infinite.
    """
    out, layout = Path(out), layout or Layout()
    size = run.objective.block_size or layout.block_size or lm.facts.block_size or 32
    layout = replace(layout, block_size=size)
    _prepare(lm, run)
    column = curriculum.column if curriculum else None
    examples = _read(data, lm, layout, column) if isinstance(data, (str, Path)) else data
    arguments = _arguments(run, out / "checkpoints", lm)  # starts the process group, if there is one
    stream = _stream(examples, run, curriculum, ranks=arguments.world_size)
    settings = settings_of(run, lm, len(examples), layout, curriculum)
    start_from = on_rank_zero(lambda: open_folder(out, settings, recipe, resume=resume))
    draws = Draws(seed=run.seed)
    collator = layout.collator(lm, draws)

    def measured() -> dict[str, float]:
        values = dict(evaluate()) if evaluate else {}
        if held_out:
            values["held_out_loss"] = held_out_loss(
                lm, run.objective, held_out, collator, batch_size=run.batch_size, passes=run.eval_passes
            )
        return values

    trainer = _trainer(lm, run, stream, collator=collator, draws=draws, arguments=arguments)
    reporter = _report(trainer, run, out, measured, start_from, show=show and arguments.should_save)
    try:
        trainer.train(resume_from_checkpoint=str(start_from) if start_from else None)
    finally:
        reporter.stop()

    lm.model.eval()
    _save_final(trainer, lm, out, trained_block_size=run.objective.block_size)
    trainer.accelerator.wait_for_everyone()
    return TrainResult(folder=out, model=out / "model", totals=trainer.totals.values())


def _prepare(lm: LoadedModel, run: TrainRun) -> None:
    """Give the model the attention and the heads that the objective trains, if it can have them."""
    objective = run.objective
    attention = objective.attention or lm.facts.attention
    if reason := objective.refuses(replace(lm.traits, attention=attention)):
        raise UserError(reason)
    # An objective with blocks counts them from the answer, and so does what it has trained.
    lm.facts = replace(lm.facts, attention=attention, grid="answer" if objective.block_size else lm.facts.grid)
    for name, settings in objective.heads.items():
        lm.attach(name, settings)
    lm.heads.requires_grad_(True)
    if run.gradient_checkpointing:
        lm.checkpoint_gradients()


def _read(path: str | Path, lm: LoadedModel, layout: Layout, difficulty: str | None) -> Sequence[Encoded]:
    return encode(
        read(str(path), difficulty=difficulty), lm.tokenizer, max_length=layout.max_length, canvas=layout.canvas,
        block_size=layout.block_size, end_ids=lm.eos_ids, mask_id=lm.mask_id,
    )  # fmt: skip


def _stream(
    examples: Sequence[Encoded], run: TrainRun, curriculum: Curriculum | None, *, ranks: int
) -> OrderedExamples:
    """Put the examples of the whole run into their order."""
    length = run.steps * run.batch_size * run.accumulate * ranks
    sampler = None
    if curriculum is not None and len(examples):
        sampler = CurriculumSampler(curriculum, into_buckets(examples, curriculum), length=length, seed=run.seed)
    return OrderedExamples(examples, seed=run.seed, length=length, sampler=sampler)


def _trainer(
    lm: LoadedModel, run: TrainRun, stream: OrderedExamples, *, collator: Collator, draws: Draws, arguments: Any
) -> Any:
    from unmask.train.trainer import DiffusionTrainer, PrinterCallback

    trainer = DiffusionTrainer(
        lm,
        run.objective,
        draws=draws,
        keep=run.keep,
        arguments=arguments,
        train_dataset=stream,
        data_collator=lambda items: {"batch": collator(items), "places": [item["place"] for item in items]},
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _report(
    trainer: Any, run: TrainRun, out: Path, measured: Callable[[], dict[str, float]], start_from: Path | None, *,
    show: bool,
) -> Any:  # fmt: skip
    """Attach what records and shows the run."""
    from unmask.train.progress import Reporter

    if start_from:
        trainer.totals.restore(start_from)
    first = checkpoints.step_of(start_from) if start_from else 0
    metrics = MetricsFile(out / "metrics.jsonl", first) if trainer.args.should_save else None
    reporter = Reporter(run, trainer.totals, metrics, measured, show=show)
    reporter.trainer = trainer
    trainer.add_callback(reporter)
    return reporter


def _save_final(trainer: Any, lm: LoadedModel, out: Path, *, trained_block_size: int | None) -> None:
    """Write ``model/`` aside and rename it, with the block size to decode with. Sharded weights need all ranks."""
    if trained_block_size:
        lm.facts = replace(lm.facts, block_size=trained_block_size)
    trainer.save_model(str(out / ".model"), _internal_call=True)
    if trainer.args.should_save:
        checkpoints.publish(out / ".model", out / "model")


def _arguments(run: TrainRun, folder: Path, lm: LoadedModel) -> Any:
    from unmask.train.trainer import TrainingArguments

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
        save_strategy="steps",
        save_steps=run.save_every or run.steps,
        eval_strategy="no",
        logging_strategy="steps" if run.report_to else "no",
        logging_steps=run.log_every,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=list(run.report_to),
        dataloader_pin_memory=on_cuda,
    )
