"""Callbacks of a training run: progress bar, lines of metrics, evaluations, checkpoints."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from unmask.train.config import TrainRun
from unmask.train.metrics import MetricsFile, Totals, Watch
from unmask.train.routing import RouterLoad
from unmask.train.trainer import DiffusionTrainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

Evaluate = Callable[[], dict[str, float]]


class Reporter(TrainerCallback):
    """Evaluates the model, writes lines of metrics and draws the progress bar.

    ``measured`` holds the values of an evaluation after the last step; it is empty where none was due.

    Args:
        run: how often to evaluate and log.
        totals: of the trainer.
        metrics: file for the lines; None on ranks that do not write.
        evaluate: returns named values of the current model; run on every rank.
        show: whether to draw the progress bar.
        load: of the routers of a mixture of experts; None: not reported.
    """

    def __init__(
        self, run: TrainRun, totals: Totals, metrics: MetricsFile | None, evaluate: Evaluate | None, *, show: bool,
        load: RouterLoad | None = None,
    ) -> None:  # fmt: skip
        self.run, self.totals, self.metrics, self.evaluate, self.load = run, totals, metrics, evaluate, load
        self.trainer: DiffusionTrainer | None = None
        self.measured: dict[str, float] = {}
        self.watch = Watch()
        self._bar = _progress_bar(show)
        self._task: TaskID | None = None
        self._rate: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Start the clock and the progress bar; a new run is evaluated before its first step."""
        del args, control
        self.totals.tick()
        if state.global_step == 0:
            self._record({"step": 0} | self._evaluated(0))
        self._bar.start()
        self._task = self._bar.add_task("train", total=state.max_steps, completed=state.global_step, text="")
        self._mark()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Log the step, show it, and evaluate the model where that is due."""
        del args, control
        step, trainer = state.global_step, self.trainer
        assert trainer is not None
        assert trainer.lr_scheduler is not None
        self.totals.tick()
        values = {
            "step": step,
            "loss": trainer.window_loss,
            "lr": trainer.lr_scheduler.get_last_lr()[0],
            "grad_norm": float(trainer.grad_norm or 0.0),
            **self.run.objective.scheduled((step - 1) / max(self.run.steps, 1)),
            **trainer.shown,
            **self._rates(),
            **(self.load.values(trainer.total) if self.load else {}),
        }
        self._show(values)
        if warning := self.watch.see(step, trainer.window_loss):
            self._say(warning)
        self.measured = evaluated = self._evaluated(step)
        if evaluated or step % self.run.log_every == 0 or step == self.run.steps:
            self._record(values | evaluated)
        self._mark()

    def stop(self) -> None:
        """Remove the progress bar, also after an error: it hides the cursor while it is drawn."""
        self._bar.stop()

    def _evaluated(self, step: int) -> dict[str, float]:
        due = step in (0, self.run.steps) or (self.run.eval_every is not None and step % self.run.eval_every == 0)
        return self.evaluate() if self.evaluate and due else {}

    def _say(self, line: str) -> None:
        """Print a line above the bar, on the rank that writes."""
        if self.metrics:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _record(self, values: dict[str, Any]) -> None:
        self.totals.tick()
        if self.metrics:
            self.metrics.write(values | self.totals.values())

    def _mark(self) -> None:
        self.totals.tick()
        self._rate = (self.totals.seconds, self.totals.forward_tokens, self.totals.supervised_tokens)

    def _rates(self) -> dict[str, float]:
        seconds = max(self.totals.seconds - self._rate[0], 1e-9)
        return {
            "tokens_per_second": (self.totals.forward_tokens - self._rate[1]) / seconds,
            "supervised_tokens_per_second": (self.totals.supervised_tokens - self._rate[2]) / seconds,
        }

    def _show(self, values: dict[str, Any]) -> None:
        if self._task is not None:
            text = (
                f"loss {values['loss']:.4f} · {values['tokens_per_second']:,.0f} tok/s · "
                f"{values['supervised_tokens_per_second']:,.0f} supervised tok/s"
            )
            self._bar.update(self._task, completed=values["step"], text=text)


def _progress_bar(show: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
    )


MINUTES = 10
BEST = "held_out_loss"
FILE = "best.json"


class Saver(TrainerCallback):
    """Requests checkpoints from the trainer; is called after the reporter, which measures the held-out loss.

    Args:
        run: its ``save_every`` replaces the default of a tenth of the run or ten minutes.
        trainer: that saves; it sums the requests of all ranks, so that they agree.
        reporter: its ``measured`` has the held-out loss of this step.
        start_from: checkpoint that the run continues from.
    """

    def __init__(self, run: TrainRun, trainer: DiffusionTrainer, reporter: Reporter, start_from: Path | None) -> None:
        self.run, self.trainer, self.reporter = run, trainer, reporter
        self.every = run.save_every or max(1, run.steps // 10)
        self.best: dict[str, Any] = {}  # step and loss
        if start_from and (start_from / FILE).exists():
            self.best = json.loads((start_from / FILE).read_text())
        trainer.saver = self
        self._saved = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Request a checkpoint if one is due, and the end of the run if a signal has come."""
        del args
        step, found = state.global_step, self.reporter.measured.get(BEST)
        is_best = found is not None and found < self.best.get("loss", float("inf"))
        if is_best:
            self.best = {"step": step, "loss": found}
        control.should_save = is_best or step % self.every == 0 or step == self.run.steps or self.trainer.must_save
        if self.trainer.must_stop:
            control.should_save = control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Restart the clock that measures the age of the last checkpoint."""
        del args, state, control
        self._saved = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is ten minutes old; never with ``save_every``."""
        return self.run.save_every is None and time.monotonic() - self._saved >= 60 * MINUTES

    def save(self, folder: Path) -> None:
        """Write the step of the lowest held-out loss so far into a checkpoint."""
        (folder / FILE).write_text(json.dumps(self.best))
