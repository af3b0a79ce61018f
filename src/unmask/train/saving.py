"""When a run saves: every tenth of it or every ten minutes, at its best held-out loss, at its end, and if stopped."""

import json
import time
from pathlib import Path
from typing import Any

from unmask.train.progress import Reporter
from unmask.train.run import TrainRun
from unmask.train.trainer import DiffusionTrainer, TrainerCallback

MINUTES = 10
BEST = "held_out_loss"
FILE = "best.json"


class Saver(TrainerCallback):
    """Asks the trainer for checkpoints; comes after the reporter, which measures the held-out loss.

    Args:
        run: its ``save_every`` replaces tenths and minutes.
        trainer: what is asked; it adds the requests of all ranks up, so that they agree.
        reporter: what was measured at this step.
        start_from: checkpoint that the run goes on from.
    """

    def __init__(self, run: TrainRun, trainer: DiffusionTrainer, reporter: Reporter, start_from: Path | None) -> None:
        self.run, self.trainer, self.reporter = run, trainer, reporter
        self.every = run.save_every or max(1, run.steps // 10)
        self.best: dict[str, Any] = {}  # step and loss
        if start_from and (start_from / FILE).exists():
            self.best = json.loads((start_from / FILE).read_text())
        trainer.saver = self
        self._saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save if it is time, and stop if a signal has come."""
        del args
        step, found = state.global_step, self.reporter.measured.get(BEST)
        is_best = found is not None and found < self.best.get("loss", float("inf"))
        if is_best:
            self.best = {"step": step, "loss": found}
        control.should_save = is_best or step % self.every == 0 or step == self.run.steps or self.trainer.must_save
        if self.trainer.must_stop:
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock anew."""
        del args, state, control
        self._saved = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is too old."""
        return self.run.save_every is None and time.monotonic() - self._saved >= 60 * MINUTES

    def save(self, folder: Path) -> None:
        """Write the best step so far into a checkpoint."""
        (folder / FILE).write_text(json.dumps(self.best))
