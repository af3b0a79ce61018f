"""The end of a run: which step's weights become its model, and that model on disk."""

from pathlib import Path
from typing import Any

from unmask.config.defaults import Layout
from unmask.core.attention import Grid
from unmask.core.batch import fill_canvas
from unmask.errors import UserError
from unmask.runtime.durable import space_for
from unmask.train import checkpoints
from unmask.train.card import write_run_card
from unmask.train.config import TrainRun
from unmask.train.run_folder import CHECKPOINTS, MODEL, on_rank_zero, read_record, write_record
from unmask.train.trainer import DiffusionTrainer


def trained_canvas(layout: Layout, answers: list[tuple[int, int]], block_size: int, grid: Grid) -> int:
    """Return the columns of the canvas that a trained model remembers.

    Args:
        layout: its canvas, where it has one.
        answers: tokens of each example's prompt and answer.
        block_size: columns of a block.
        grid: where blocks are counted from.

    Returns:
        The canvas of the layout, or the longest answer up to the end of its last block.
    """
    if layout.canvas:
        return layout.canvas
    return max(fill_canvas(answer, block_size, prompt=prompt, grid=grid) for prompt, answer in answers)


def save_final(trainer: DiffusionTrainer, run: TrainRun, out: Path) -> dict[str, Any]:
    """Save the model of the last step, or of the best one, with the average of its weights where there is one.

    Sharded weights need all ranks. ``run.json`` tells which step it was.

    Args:
        trainer: after the last step.
        run: settings of the run.
        out: folder of the run.

    Returns:
        ``step`` of the model and ``last_step`` of the run; ``metric`` and ``value`` of the ``best_step``, if there is
        one; ``ema`` where the weights are an average.

    Raises:
        UserError: a full disk; the checkpoint of the best step is gone or damaged.
    """  # noqa: DOC502
    assert trainer.saver is not None
    trainer.lm.model.eval()
    trainer.lm.facts = trainer.facts or trainer.lm.facts
    best, last = trainer.saver.best, trainer.state.global_step
    told: dict[str, Any] = {"step": last, "last_step": last}
    if best.step is not None:
        told |= {"best_step": best.step, "metric": best.metric, "value": best.value}
    if run.save_best and best.step is not None and best.step != last:
        _load_best(trainer, out / CHECKPOINTS, best.step)
        told["step"] = best.step
    if trainer.average is not None:
        trainer.average.apply()
        told["ema"] = trainer.average.decay
    _write(trainer, out, told["step"])
    on_rank_zero(lambda: write_record(out, read_record(out) | {"result": told}))
    return told


def _load_best(trainer: DiffusionTrainer, root: Path, step: int) -> None:
    folder = root / f"{checkpoints.PREFIX}{step}"
    if fault := checkpoints.damage_of(folder) if folder.exists() else "it is gone":
        raise UserError(
            f"{folder}: expected the checkpoint of the best step, which run.save_best saves as the model ({fault}); "
            "write --resume with run.save_best: false to save the model of the last step"
        )
    trainer.restore(folder)


def _write(trainer: DiffusionTrainer, out: Path, step: int) -> None:
    """Write ``model/`` under another name and rename it."""
    trainer.refuse_non_finite_weights()
    with space_for(str(out / MODEL), lambda: "make room and go on by --resume: the last checkpoint is whole"):
        trainer.save_model(str(out / f".{MODEL}"), _internal_call=True)
        if trainer.args.should_save:
            write_run_card(out / f".{MODEL}", out, step=step)
            checkpoints.publish(out / f".{MODEL}", out / MODEL)
