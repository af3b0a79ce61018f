"""``train``: the library function behind ``unmask sft``."""

import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from unmask.config.defaults import Layout, resolve_block_size, resolve_grid
from unmask.core.random import Draws
from unmask.data import (
    Blend,
    BlendSampler,
    Collator,
    Curriculum,
    CurriculumSampler,
    Encoded,
    EncodedData,
    OrderedExamples,
    Sampler,
    encode,
    into_buckets,
    read,
)
from unmask.data.tails import tail_cycle
from unmask.errors import Interrupted, UserError
from unmask.models import LoadedModel
from unmask.models.facts import Facts
from unmask.models.lora import training_remark
from unmask.objectives import sized
from unmask.runtime.runlock import owned
from unmask.runtime.trackers import check_tracker, tensorboard
from unmask.train import checkpoints
from unmask.train.arguments import TENSORBOARD, arguments_of
from unmask.train.average import Average
from unmask.train.best import METRIC, Best
from unmask.train.callbacks import Averager, Reporter, Saver
from unmask.train.checkpoints import StopSignals
from unmask.train.config import TrainRun, announced
from unmask.train.exported import export_block_size, export_grid
from unmask.train.final import save_final, trained_canvas
from unmask.train.measured import Measured, Rows
from unmask.train.metrics import MetricsFile
from unmask.train.precision import MasterWeights, warning_of
from unmask.train.record import (
    refuse_changes,
    refuse_extension,
    settings_of_blend,
    settings_of_inputs,
    settings_of_run,
)
from unmask.train.routing import RouterLoad
from unmask.train.run_folder import (
    CHECKPOINTS,
    METRICS_FILE,
    MODEL,
    SAMPLES_FILE,
    check_folder,
    claim,
    give_back,
    on_rank_zero,
    other_versions,
    write_record,
)
from unmask.train.trainer import DiffusionTrainer, PrinterCallback, TrainerState, TrainingArguments
from unmask.train.view import Bar, View

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Result of a run.

    Args:
        folder: with ``run.json``, ``metrics.jsonl``, ``checkpoints/`` and ``model/``.
        model: the trained model's folder, for ``unmask.load``.
        totals: examples, tokens, FLOPs and seconds, by name.
        saved: ``step`` that the model is of and ``last_step`` of the run; where a metric was measured, its
            ``best_step`` with ``metric`` and ``value``; ``ema`` if the model is an average of weights.
    """

    folder: Path
    model: Path
    totals: dict[str, float]
    saved: dict[str, Any] = field(default_factory=dict)


def train(
    lm: LoadedModel,
    data: str | Path | Sequence[Encoded],
    run: TrainRun,
    *,
    out: str | Path,
    layout: Layout | None = None,
    curriculum: Curriculum | None = None,
    blend: Blend | None = None,
    held_out: Sequence[Encoded] = (),
    facts: Mapping[str, Any] | None = None,
    resume: bool = False,
    restart: bool = False,
    evaluate: Callable[[], dict[str, float]] | None = None,
    sample: Callable[[], Rows] | None = None,
    show: bool | View = True,
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
        blend: which examples belong to each of several files, and how often they are drawn; not with a curriculum.
        held_out: examples for the held-out loss.
        facts: what the record of the run says about its data, such as files and rows.
        resume: continue from the newest whole checkpoint. With a constant learning rate ``run.steps`` may have grown.
        restart: begin again in the folder of a run that has no whole checkpoint.
        evaluate: further named values, computed when the held-out loss is.
        sample: answers to some prompts, computed then, too, and written to ``samples.jsonl``.
        show: draw a progress bar on stderr; or what draws instead.
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
        examples, layout = _inputs(data, lm, layout, curriculum)
        inputs = settings_of_inputs(lm, examples, held_out, layout)
        taken = {lm.mask_id, lm.filler_id, *lm.eos_ids}
        cycle = tail_cycle(layout, lm.tokenizer, taken=taken, size=lm.facts.vocab_size)
        _prepare(lm, run, layout)
        arguments = arguments_of(run, out / CHECKPOINTS, lm)  # starts the process group, if there is one
        epochs, run = run.epochs, run.in_steps(len(examples), ranks=arguments.world_size)
        arguments.max_steps = run.steps
        stream = _stream(examples, run, curriculum, blend, ranks=arguments.world_size)
        settings = settings_of_run(run, layout, curriculum) | inputs
        settings |= {"processes": arguments.world_size, "bf16": bool(arguments.bf16)} | settings_of_blend(blend)
        on_rank_zero(lambda: [tell(line) for line in announced(run.objective, trained, (counted, grid))])
        on_rank_zero(lambda: [remark(line) for line in _remarks(lm, run, epochs, len(examples))])
        before = _record_of(out, run, curriculum, settings, resume=resume, restart=restart)
        started = {"recipe": recipe, "data": dict(facts or {})}
        start_from = on_rank_zero(lambda: _open(out, before, settings, started, tell, resume=resume))
        arguments.warmup_steps = round(run.warmup * (before or {}).get("first_steps", run.steps))
        draws = Draws(seed=run.seed)
        collator = Collator(layout=layout, filler_id=lm.filler_id, draws=draws, cycle=cycle)
        try:
            trainer = _trainer(lm, run, stream, collator=collator, draws=draws, arguments=arguments)
            trainer.facts = _facts_after(lm, run, examples, layout)
            measured = Measured(
                trainer, run, held_out, collator, average=trainer.average, evaluate=evaluate, sample=sample
            )
            _fit(trainer, run, out, measured, start_from, show=show)
            saved = save_final(trainer, run, out)
        except BaseException:
            if arguments.should_save:
                _leave(out)
            raise
        trainer.accelerator.wait_for_everyone()
    return TrainResult(folder=out, model=out / MODEL, totals=trainer.totals.values(), saved=saved)


def _facts_after(lm: LoadedModel, run: TrainRun, examples: Sequence[Encoded], layout: Layout) -> Facts:
    """Return the facts of the trained model: its block size, and the canvas that it remembers."""
    size, grid = layout.block_size or 1, layout.grid or "answer"  # both are known by now
    lengths = [(len(each.prompt), len(each.answer)) for each in examples]
    canvas = trained_canvas(layout, lengths, size, grid)
    return replace(lm.facts, block_size=run.objective.block_size or lm.facts.block_size, canvas=canvas)


def _leave(out: Path) -> None:
    """Remove the files of a run that ended before its first step."""
    begun = any(line["step"] for line in MetricsFile.read(out / METRICS_FILE))
    if not begun and not any((out / CHECKPOINTS).glob(f"{checkpoints.PREFIX}*")):
        give_back(out)


def _remarks(lm: LoadedModel, run: TrainRun, epochs: float | None, examples: int) -> list[str]:
    """Return lines on what is trained, how long, and what may be lost in the precision of the weights."""
    lines = [line] if (line := training_remark(lm)) else []
    if epochs is not None:
        lines.append(f"{epochs:g} epoch{'s'[: epochs != 1]} of {examples:,} examples: {run.steps:,} steps")
    if run.ema is not None and run.steps * (1 - run.ema) < 1:
        lines.append(
            f"run.ema={run.ema:g} averages over about {1 / (1 - run.ema):,.0f} steps, and the run has {run.steps:,}: "
            "the saved model will mostly be the one it begins with; write less"
        )
    if not run.master_weights and (line := warning_of(lm.model, run.lr)):
        lines.append(line)
    return lines


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
    out: Path, record: dict[str, Any] | None, settings: dict[str, Any], about: dict[str, Any],
    tell: Callable[[str], None], *, resume: bool,
) -> Path | None:  # fmt: skip
    """Return the checkpoint to continue from; None for a new run, whose folder is claimed."""
    if record is None or not resume:
        claim(out, settings, about)
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
    """Set the attention, grid and heads that are trained; a ``UserError`` if these or the trackers cannot be had."""
    for tracker in run.report_to:
        check_tracker(tracker)
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


def _inputs(
    data: str | Path | Sequence[Encoded], lm: LoadedModel, layout: Layout, curriculum: Curriculum | None
) -> tuple[Sequence[Encoded], Layout]:
    """Return the examples, and the layout with its ``pack``: where that is open, examples of text are packed."""
    if isinstance(data, (str, Path)):
        records = read(str(data), difficulty=curriculum.column if curriculum else None)
        data = encode(
            records, lm.tokenizer, max_length=layout.max_length, canvas=layout.canvas, block_size=layout.block_size,
            grid=layout.grid or "answer", end_ids=lm.eos_ids, mask_id=lm.mask_id,
        )  # fmt: skip
    is_text = isinstance(data, EncodedData) and data.is_text
    return data, replace(layout, pack=is_text if layout.pack is None else layout.pack)


def _stream(
    examples: Sequence[Encoded], run: TrainRun, curriculum: Curriculum | None, blend: Blend | None, *, ranks: int
) -> OrderedExamples:
    """Return the examples of the whole run in their order."""
    length = run.steps * run.batch_size * run.accumulate * ranks
    if curriculum is not None and blend is not None:
        raise UserError("expected a curriculum or a blend, which both say what comes next, found both; leave one out")
    sampler: Sampler | None = None
    if blend is not None:
        sampler = BlendSampler(blend, length=length, seed=run.seed)
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
    names = [name for name in ("ema", "master_weights", "save_best") if getattr(run, name)]
    if names and trainer.is_fsdp_enabled:
        raise UserError(f"run.{names[0]}: not with sharded weights (FSDP); leave it out, or train with DDP")
    trainer.master = MasterWeights(lm.model) if run.master_weights else None
    if run.ema is not None:
        precise = trainer.master.values if trainer.master else dict[str, Tensor]
        trainer.average = Average(lm.model, run.ema, precise)
    return trainer


def _fit(
    trainer: DiffusionTrainer, run: TrainRun, out: Path, measured: Measured, start_from: Path | None, *,
    show: bool | View,
) -> None:  # fmt: skip
    """Run the remaining steps, with records and the progress bar; ``Interrupted`` if a signal ended them."""
    best = Best(metric=run.best_metric or METRIC, min_delta=run.min_delta, patience=run.patience)
    if start_from:
        for kept in (trainer.totals, best, trainer.average):
            if kept is not None:
                kept.restore(start_from)
    first, writes = checkpoints.step_of(start_from) if start_from else 0, trainer.args.should_save
    metrics = MetricsFile(out / METRICS_FILE, first) if writes else None
    samples = MetricsFile(out / SAMPLES_FILE, first) if writes and measured.sample else None
    load = RouterLoad(trainer.lm)
    view = Bar(show=bool(show)) if isinstance(show, bool) or not writes else show
    reporter = Reporter(run, trainer.totals, metrics, measured, view=view, load=load, samples=samples)
    reporter.trainer = trainer
    if writes and TENSORBOARD in run.report_to:
        trainer.add_callback(tensorboard(out / TENSORBOARD, first + bool(start_from)))
    if trainer.average is not None:
        trainer.add_callback(Averager(trainer.average))
    trainer.add_callback(reporter)
    trainer.add_callback(Saver(run, trainer, reporter, best))
    if start_from and best.is_over:  # it has ended already
        trainer.state = TrainerState.load_from_json(str(start_from / checkpoints.STATE))
        trainer.restore(start_from)
        return
    with StopSignals() as trainer.signals, load:
        try:
            trainer.train(resume_from_checkpoint=str(start_from) if start_from else None)
        finally:
            reporter.stop()
    step = trainer.state.global_step
    if trainer.must_stop and step < run.steps and not best.is_over:
        number = trainer.signals.number or signal.SIGTERM  # of another rank
        raise Interrupted(
            f"{signal.Signals(number).name}: stopped after step {step} of {run.steps}, saved in "
            f"{out / CHECKPOINTS / f'{checkpoints.PREFIX}{step}'}; go on with the same command and --resume",
            number,
        )
