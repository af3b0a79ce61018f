"""``train``: one library function behind ``unmask sft``."""

import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from unmask.data import Collator, Encoded, OrderedExamples
from unmask.errors import UserError
from unmask.models import LoadedModel
from unmask.seeds import Draws
from unmask.train import checkpoints
from unmask.train.held_out import held_out_loss
from unmask.train.metrics import MetricsFile
from unmask.train.run import TrainRun

RUN_FILE = "run.json"


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
    examples: Sequence[Encoded],
    run: TrainRun,
    *,
    out: str | Path,
    held_out: Sequence[Encoded] = (),
    canvas: int | None = None,
    tail_blocks: int = 2,
    block_size: int | None = None,
    max_length: int | None = None,
    resume: bool = False,
    evaluate: Callable[[], dict[str, float]] | None = None,
    show: bool = True,
) -> TrainResult:
    """Fine-tune a loaded model in place and save it.

    Args:
        lm: the model.
        examples: prompts and answers as tokens.
        run: objective and settings.
        out: folder of the run; it must be new, or hold this very run if ``resume``.
        held_out: examples for the held-out loss.
        canvas: columns of every canvas (decoding's ``max_new_tokens``); None fits each answer, with a drawn tail.
        tail_blocks: longest drawn tail.
        block_size: the grid of the canvas where the objective has none.
        max_length: longest row.
        resume: go on from the newest whole checkpoint.
        evaluate: further named values, computed when the held-out loss is.
        show: draw a progress bar on stderr.

    Raises:
        UserError: the folder holds another run; nothing to resume.
        NonFiniteLossError: the loss became NaN or infinite.
    """
    from transformers import PrinterCallback

    from unmask.train.progress import Reporter
    from unmask.train.trainer import DiffusionTrainer

    out = Path(out)
    size = run.objective.block_size or block_size or lm.facts.block_size or 32
    start_from = _open_folder(out, _settings(run, lm, len(examples), size, canvas), resume=resume)
    draws = Draws(seed=run.seed)
    collator = Collator(
        block_size=size, filler_id=lm.filler_id, canvas=canvas, tail_blocks=tail_blocks, draws=draws,
        max_length=max_length,
    )  # fmt: skip
    arguments = _arguments(run, out / "checkpoints", lm)
    trainer = DiffusionTrainer(
        lm,
        run.objective,
        draws=draws,
        keep=run.keep,
        arguments=arguments,
        train_dataset=OrderedExamples(
            examples, seed=run.seed, length=run.steps * run.batch_size * run.accumulate * arguments.world_size
        ),
        data_collator=lambda items: {"batch": collator(items), "places": [item["place"] for item in items]},
    )

    def measured() -> dict[str, float]:
        values = dict(evaluate()) if evaluate else {}
        if held_out:
            values["held_out_loss"] = held_out_loss(
                lm, run.objective, held_out, collator, batch_size=run.batch_size, passes=run.eval_passes
            )
        return values

    if start_from:
        trainer.totals.restore(start_from)
    first = checkpoints.step_of(start_from) if start_from else 0
    metrics = MetricsFile(out / "metrics.jsonl", first) if arguments.should_save else None
    reporter = Reporter(run, trainer.totals, metrics, measured, show=show and arguments.should_save)
    reporter.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(reporter)
    trainer.train(resume_from_checkpoint=str(start_from) if start_from else None)

    lm.model.eval()
    if arguments.should_save:
        _save_final(lm, out, trained_block_size=run.objective.block_size)
    trainer.accelerator.wait_for_everyone()
    return TrainResult(folder=out, model=out / "model", totals=trainer.totals.values())


def _save_final(lm: LoadedModel, out: Path, *, trained_block_size: int | None) -> None:
    """Write ``model/`` aside and rename it, with the block size that decoding should use."""
    from dataclasses import replace

    if trained_block_size:
        lm.facts = replace(lm.facts, block_size=trained_block_size)
    staged = out / ".model"
    lm.save(staged)
    checkpoints.publish(staged, out / "model")


def _arguments(run: TrainRun, folder: Path, lm: LoadedModel) -> Any:
    from transformers import TrainingArguments

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
        **(
            {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
            if run.gradient_checkpointing
            else {}
        ),
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


def _settings(run: TrainRun, lm: LoadedModel, examples: int, block_size: int, canvas: int | None) -> dict[str, Any]:
    """Describe a run so that a resume can tell whether it is the same one."""
    values = {f.name: getattr(run, f.name) for f in fields(run)}
    objective = values.pop("objective")
    values["objective"] = {"name": objective.name, **{f.name: getattr(objective, f.name) for f in fields(objective)}}
    values |= {"model": lm.source, "examples": examples, "block_size": block_size, "canvas": canvas}
    return json.loads(json.dumps(values, default=str))


def _open_folder(out: Path, settings: dict[str, Any], *, resume: bool) -> Path | None:
    """Claim the folder of a run, or find the checkpoint to go on from."""
    written = out / RUN_FILE
    if not resume:
        if written.exists():
            raise UserError(f"{out}: holds another run; write --resume to go on with it, or choose another --out")
        if out.exists() and any(out.iterdir()):
            raise UserError(f"{out}: is not empty and holds no run; choose another --out")
        (out / "checkpoints").mkdir(parents=True)
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        written.write_text(json.dumps({"settings": settings, "versions": versions, "command": sys.argv}, indent=1))
        return None
    if not written.exists():
        raise UserError(f"{out}: no run to resume here; leave out --resume to start one")
    before = json.loads(written.read_text())["settings"]
    changed = sorted(k for k in settings.keys() | before.keys() if settings.get(k) != before.get(k))
    if changed:
        was = ", ".join(f"{k} was {before.get(k)!r} and is {settings.get(k)!r}" for k in changed)
        raise UserError(f"{out}: not the run that it holds: {was}; resume with the recipe that it was started with")
    return checkpoints.newest(out / "checkpoints")
