"""``train``: the library function behind ``unmask sft``."""

import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from unmask.config.defaults import Layout, resolve_block_size, resolve_grid
from unmask.core.batch import fill_canvas
from unmask.core.random import Draws
from unmask.data import Collator, Curriculum, CurriculumSampler, Encoded, OrderedExamples, encode, into_buckets, read
from unmask.data.tails import tail_cycle
from unmask.errors import Interrupted, NonFiniteError, UserError
from unmask.models import LoadedModel
from unmask.models.lora import training_remark
from unmask.objectives import sized
from unmask.runtime.durable import space_for
from unmask.runtime.runlock import owned
from unmask.train import checkpoints
from unmask.train.callbacks import Reporter, Saver
from unmask.train.card import write_run_card
from unmask.train.checkpoints import StopSignals
from unmask.train.config import TrainRun, announced
from unmask.train.exported import export_block_size, export_grid
from unmask.train.held_out import held_out_loss
from unmask.train.metrics import MetricsFile
from unmask.train.record import refuse_changes, refuse_extension, settings_of_inputs, settings_of_run
from unmask.train.routing import RouterLoad
from unmask.train.run_folder import (
    CHECKPOINTS,
    METRICS_FILE,
    MODEL,
    check_folder,
    claim,
    give_back,
    on_rank_zero,
    other_versions,
    write_record,
)
from unmask.train.trainer import DiffusionTrainer, PrinterCallback, TrainingArguments

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Result of a run.

    Args:
        folder: with ``run.json``, ``metrics.jsonl``, ``checkpoints/`` and ``model/``.
        model: the trained model's folder, for ``unmask.load``.
        totals: examples, tokens, FLOPs and seconds, by name.
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
    restart: bool = False,
    evaluate: Callable[[], dict[str, float]] | None = None,
    show: bool = True,
    recipe: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] | None = None,
) -> TrainResult:
    """Fine-tune a loaded model in place and save it.

    SIGINT and SIGTERM end the run after its step, with a checkpoint; a second one ends it at once.

    Args:
        lm: the model.
        data: a file or the name of a hub data set, or prompts and answers as tokens (``unmask.data.encode``).
        run: objective and settings.
        out: folder of the run; it must be new, or hold this very run if ``resume`` or ``restart``.
        layout: blocks, canvas and rows.
        curriculum: in which order examples are shown; None: shuffled.
        held_out: examples for the held-out loss.
        resume: continue from the newest whole checkpoint. With a constant learning rate ``run.steps`` may have grown.
        restart: begin again in the folder of a run that has no whole checkpoint.
        evaluate: further named values, computed when the held-out loss is.
        show: draw a progress bar on stderr.
        recipe: that the run was read from, to be saved with it.
        tell: called with a line on what a user should know, such as a damaged checkpoint; None: logged as warnings.

    Returns:
        The folders of the run and the model, and what was spent.

    Raises:
        UserError: the folder is in use, or holds another run; nothing to resume; a full disk.
        NonFiniteError: a loss, a gradient or a weight became NaN or infinite; the last good checkpoint is kept.
        Interrupted: a signal ended the run; its message tells how to continue.
    """  # noqa: DOC503
    remark, out, layout, tell = tell or LOG.info, Path(out), layout or Layout(), tell or LOG.warning
    with owned(out, "unmask sft"):
        trained, counted = lm.facts.block_size, lm.facts.grid
        grid = resolve_grid(layout=layout.grid, export=export_grid(run.export), model=counted)
        of_model = trained or export_block_size(run.export)
        size = resolve_block_size(objective=run.objective.block_size, layout=layout.block_size, model=of_model)
        run, layout = replace(run, objective=sized(run.objective, size)), replace(layout, block_size=size, grid=grid)
        column = curriculum.column if curriculum else None
        examples = _read(data, lm, layout, column) if isinstance(data, (str, Path)) else data
        settings = settings_of_run(run, layout, curriculum) | settings_of_inputs(lm, examples, held_out, layout)
        taken = {lm.mask_id, lm.filler_id, *lm.eos_ids}
        cycle = tail_cycle(layout, lm.tokenizer, taken=taken, size=lm.facts.vocab_size)
        _prepare(lm, run, layout)
        arguments = _arguments(run, out / CHECKPOINTS, lm)  # starts the process group, if there is one
        stream = _stream(examples, run, curriculum, ranks=arguments.world_size)
        settings |= {"processes": arguments.world_size, "bf16": bool(arguments.bf16)}
        on_rank_zero(lambda: [tell(line) for line in announced(run.objective, trained, (counted, grid))])
        on_rank_zero(lambda: remark(line) if (line := training_remark(lm)) else None)
        before = _record_of(out, run, curriculum, settings, resume=resume, restart=restart)
        start_from = on_rank_zero(lambda: _open(out, before, settings, recipe, tell, resume=resume))
        arguments.warmup_steps = round(run.warmup * (before or {}).get("first_steps", run.steps))
        draws = Draws(seed=run.seed)
        collator = Collator(layout=layout, filler_id=lm.filler_id, draws=draws, cycle=cycle)
        try:
            trainer = _trainer(lm, run, stream, collator=collator, draws=draws, arguments=arguments)
            measured = _Measured(trainer, run, held_out, collator, evaluate)
            _fit(trainer, run, out, measured, start_from, show=show and arguments.should_save)
            lm.model.eval()
            lm.facts = replace(
                lm.facts, block_size=run.objective.block_size or lm.facts.block_size,
                canvas=layout.canvas or max(
                    fill_canvas(len(each.answer), size, prompt=len(each.prompt), grid=grid) for each in examples
                ),
            )  # fmt: skip
            _save_final(trainer, out)
        except BaseException:
            begun = any(line["step"] for line in MetricsFile.read(out / METRICS_FILE))
            if arguments.should_save and not begun and not any((out / CHECKPOINTS).glob(f"{checkpoints.PREFIX}*")):
                give_back(out)
            raise
        trainer.accelerator.wait_for_everyone()
    return TrainResult(folder=out, model=out / MODEL, totals=trainer.totals.values())


def _record_of(
    out: Path, run: TrainRun, curriculum: Curriculum | None, settings: Mapping[str, Any], *, resume: bool, restart: bool
) -> dict[str, Any] | None:
    """Return the record of the run to resume or restart, after a check that it is this run; None for a new run."""
    record = on_rank_zero(lambda: check_folder(out, resume=resume, restart=restart))
    if record is not None:
        refuse_changes(str(out), record["settings"], settings)
        refuse_extension(str(out), record["settings"], run, curriculum)
    return record


def _open(
    out: Path, record: dict[str, Any] | None, settings: dict[str, Any], recipe: Any, tell: Callable[[str], None], *,
    resume: bool,
) -> Path | None:  # fmt: skip
    """Return the checkpoint to continue from; None for a new run, whose folder is claimed."""
    if record is None or not resume:
        claim(out, settings, recipe)
        return None
    for phrase in other_versions(record):
        tell(f"{out}: begun with other versions, which may change the result: {phrase}")
    last = checkpoints.newest(out / CHECKPOINTS, tell)
    if last is None:
        remedy = "write --restart to begin again at step 0"
        if (out / MODEL).exists():
            remedy = f"begin a new run from its trained model in another --out, with model.path={out / MODEL}"
        raise UserError(f"{out}: holds no whole checkpoint to go on from; {remedy}")
    steps, before = settings["steps"], record["settings"]["steps"]
    if checkpoints.step_of(last) > steps:
        raise UserError(f"{out}: is at step {checkpoints.step_of(last)} already, beyond run.steps={steps}; write more")
    if steps != before:
        tell(f"{out}: {before} steps become {steps}, from {last.name} on")
        write_record(out, record | {"first_steps": record.get("first_steps", before), "settings": settings})
    return last


def _prepare(lm: LoadedModel, run: TrainRun, layout: Layout) -> None:
    """Set the attention, grid and heads that are trained; a ``UserError`` if the model cannot have them."""
    objective = run.objective
    attention = objective.attention or lm.facts.attention
    if reason := objective.refuses(replace(lm.traits, attention=attention)):
        raise UserError(reason)
    grid = layout.grid or lm.facts.grid
    is_kept = grid == lm.facts.grid and (grid == "text" or not objective.block_size)
    lm.facts = replace(
        lm.facts, attention=attention, grid=grid, last_block=lm.facts.last_block if is_kept else None
    )  # fmt: skip
    if grid == "text":  # the attention of the prompt has blocks, too
        lm.facts = replace(lm.facts, block_size=objective.block_size or lm.facts.block_size or layout.block_size)
    for name, settings in objective.heads.items():
        lm.attach(name, settings)
    lm.heads.requires_grad_(True)
    if run.gradient_checkpointing:
        lm.checkpoint_gradients()


def _read(path: str | Path, lm: LoadedModel, layout: Layout, difficulty: str | None) -> Sequence[Encoded]:
    return encode(
        read(str(path), difficulty=difficulty), lm.tokenizer, max_length=layout.max_length, canvas=layout.canvas,
        block_size=layout.block_size, grid=layout.grid or "answer", end_ids=lm.eos_ids, mask_id=lm.mask_id,
    )  # fmt: skip


def _stream(
    examples: Sequence[Encoded], run: TrainRun, curriculum: Curriculum | None, *, ranks: int
) -> OrderedExamples:
    """Return the examples of the whole run in their order."""
    length = run.steps * run.batch_size * run.accumulate * ranks
    sampler = None
    if curriculum is not None and len(examples):
        sampler = CurriculumSampler(curriculum, into_buckets(examples, curriculum), length=length, seed=run.seed)
    return OrderedExamples(examples, seed=run.seed, length=length, sampler=sampler)


def _trainer(
    lm: LoadedModel,
    run: TrainRun,
    stream: OrderedExamples,
    *,
    collator: Collator,
    draws: Draws,
    arguments: TrainingArguments,
) -> DiffusionTrainer:
    trainer = DiffusionTrainer(
        lm,
        run.objective,
        draws=draws,
        keep=run.keep,
        arguments=arguments,
        train_dataset=stream,
        data_collator=lambda items: {"batch": collator(items), "sources": [item["source"] for item in items]},
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class _Measured:
    """Evaluates the model during the run: the held-out loss, and the caller's ``evaluate``."""

    def __init__(
        self,
        trainer: DiffusionTrainer,
        run: TrainRun,
        held_out: Sequence[Encoded],
        collator: Collator,
        evaluate: Callable[[], dict[str, float]] | None,
    ) -> None:
        self.trainer, self.run, self.held_out, self.collator = trainer, run, held_out, collator
        self.evaluate = evaluate

    def __call__(self) -> dict[str, float]:
        """Return the values of the current model by name; a ``NonFiniteError`` if the held-out loss is not finite."""
        values, run = dict(self.evaluate()) if self.evaluate else {}, self.run
        if self.held_out:
            try:
                values["held_out_loss"] = held_out_loss(
                    self.trainer.lm, run.objective, self.held_out, self.collator, batch_size=run.batch_size,
                    passes=run.eval_passes,
                )  # fmt: skip
            except NonFiniteError as error:
                raise self.trainer.non_finite("the held-out loss is not finite", error.places, is_done=True) from error
        return values


def _fit(
    trainer: DiffusionTrainer, run: TrainRun, out: Path, measured: Callable[[], dict[str, float]],
    start_from: Path | None, *, show: bool,
) -> None:  # fmt: skip
    """Run the remaining steps, with records and the progress bar; ``Interrupted`` if a signal ended them."""
    if start_from:
        trainer.totals.restore(start_from)
    first = checkpoints.step_of(start_from) if start_from else 0
    metrics = MetricsFile(out / METRICS_FILE, first) if trainer.args.should_save else None
    load = RouterLoad(trainer.lm)
    reporter = Reporter(run, trainer.totals, metrics, measured, show=show, load=load)
    reporter.trainer = trainer
    trainer.add_callback(reporter)
    trainer.add_callback(Saver(run, trainer, reporter, start_from))
    with StopSignals() as trainer.signals, load:
        try:
            trainer.train(resume_from_checkpoint=str(start_from) if start_from else None)
        finally:
            reporter.stop()
    step = trainer.state.global_step
    if trainer.must_stop and step < run.steps:
        number = trainer.signals.number or signal.SIGTERM  # of another rank
        raise Interrupted(
            f"{signal.Signals(number).name}: stopped after step {step} of {run.steps}, saved in "
            f"{out / CHECKPOINTS / f'{checkpoints.PREFIX}{step}'}; go on with the same command and --resume",
            number,
        )


def _save_final(trainer: DiffusionTrainer, out: Path) -> None:
    """Write ``model/`` under another name and rename it. Sharded weights need all ranks."""
    trainer.refuse_non_finite_weights()
    with space_for(str(out / MODEL), lambda: "make room and go on by --resume: the last checkpoint is whole"):
        trainer.save_model(str(out / f".{MODEL}"), _internal_call=True)
        if trainer.args.should_save:
            write_run_card(out / f".{MODEL}", out)
            checkpoints.publish(out / f".{MODEL}", out / MODEL)


def _arguments(run: TrainRun, folder: Path, lm: LoadedModel) -> TrainingArguments:
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
        logging_strategy="steps" if run.report_to else "no",
        logging_steps=run.log_every,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=list(run.report_to),
        dataloader_pin_memory=on_cuda,
    )
