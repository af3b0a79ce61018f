"""Callbacks of a training run: the view, lines of metrics, evaluations, checkpoints, the average of the weights."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unmask.train.average import Average
from unmask.train.best import Best
from unmask.train.config import TrainRun
from unmask.train.metrics import MetricsFile, Totals, Watch
from unmask.train.routing import RouterLoad
from unmask.train.tally import as_scalars
from unmask.train.trainer import DiffusionTrainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from unmask.train.view import View

Evaluate = Callable[[], tuple[dict[str, float], Sequence[Mapping[str, Any]]]]


class Reporter(TrainerCallback):
    """Evaluates the model, and writes lines of metrics, which the view and the trackers get, too.

    ``measured`` holds the values of an evaluation after the last step; it is empty where none was due.

    Args:
        run: how often to evaluate and log.
        totals: of the trainer.
        metrics: file for the lines; None on ranks that do not write.
        evaluate: returns named values of the current model, and answers to prompts; run on every rank.
        view: shows the run; on ranks that do not write, it shows nothing.
        load: of the routers of a mixture of experts; None: not reported.
        samples: file for the answers; None: they are not written.
    """

    def __init__(
        self, run: TrainRun, totals: Totals, metrics: MetricsFile | None, evaluate: Evaluate | None, *, view: View,
        load: RouterLoad | None = None, samples: MetricsFile | None = None,
    ) -> None:  # fmt: skip
        self.run, self.totals, self.metrics, self.evaluate, self.load = run, totals, metrics, evaluate, load
        self.trainer: DiffusionTrainer | None = None
        self.measured: dict[str, float] = {}
        self.watch, self.view, self.samples = Watch(), view, samples
        self._rate: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Start the clock and the view; a new run is evaluated before its first step."""
        self.totals.tick()
        self.view.start(state.global_step, state.max_steps, MetricsFile.read(self.metrics.path) if self.metrics else [])
        if state.global_step == 0:
            values = {"step": 0} | self._evaluated(0)
            self._record(values, args, state, control)
            self.view.update(values)
        self._mark()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Log the step, show it, and evaluate the model where that is due."""
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
        self.view.update(values)
        if warning := self.watch.see(step, trainer.window_loss):
            self.say(warning)
        self.measured = evaluated = self._evaluated(step)
        if evaluated:
            self.view.update(values | evaluated)
        if evaluated or step % self.run.log_every == 0 or step == self.run.steps:
            self._record(values | evaluated, args, state, control)
        self._mark()

    def stop(self) -> None:
        """End the view, also after an error: it hides the cursor while it is drawn."""
        self.view.stop()

    def say(self, line: str) -> None:
        """Show a line that stays, on the rank that writes."""
        if self.metrics:
            self.view.say(line)

    def _evaluated(self, step: int) -> dict[str, float]:
        due = step in (0, self.run.steps) or (self.run.eval_every is not None and step % self.run.eval_every == 0)
        if self.evaluate is None or not due:
            return {}
        values, answers = self.evaluate()
        rows = [{"step": step, **row} for row in answers]
        if self.metrics and self.samples:
            for row in rows:
                self.samples.write(row)
            self.view.answers(rows)
        return values

    def _record(
        self, values: dict[str, Any], args: TrainingArguments, state: TrainerState, control: TrainerControl
    ) -> None:
        self.totals.tick()
        line = values | self.totals.values()
        if self.metrics:
            self.metrics.write(line)
        if self.run.report_to and self.trainer:
            self.trainer.callback_handler.on_log(args, state, control, as_scalars(line))

    def _mark(self) -> None:
        self.totals.tick()
        self._rate = (self.totals.seconds, self.totals.forward_tokens, self.totals.supervised_tokens)

    def _rates(self) -> dict[str, float]:
        seconds = max(self.totals.seconds - self._rate[0], 1e-9)
        return {
            "tokens_per_second": (self.totals.forward_tokens - self._rate[1]) / seconds,
            "supervised_tokens_per_second": (self.totals.supervised_tokens - self._rate[2]) / seconds,
        }


MINUTES = 10


class Saver(TrainerCallback):
    """Requests checkpoints from the trainer, and the end of the run; called after the reporter, which evaluates.

    Args:
        run: its ``save_every`` replaces the default of a tenth of the run or ten minutes.
        trainer: that saves; it sums the requests of all ranks, so that they agree.
        reporter: its ``measured`` has the values of this step.
        best: the best step so far.
    """

    def __init__(self, run: TrainRun, trainer: DiffusionTrainer, reporter: Reporter, best: Best) -> None:
        self.run, self.trainer, self.reporter, self.best = run, trainer, reporter, best
        self.every = run.save_every or max(1, run.steps // 10)
        trainer.saver = self
        self._saved = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Request a checkpoint if one is due, and the end of the run if a signal has come or nothing gets better."""
        del args
        step = state.global_step
        is_best = self.best.see(step, self.reporter.measured)
        control.should_save = is_best or step % self.every == 0 or step == self.run.steps or self.trainer.must_save
        if self.best.is_over and step < self.run.steps:
            best = self.best
            self.reporter.say(
                f"stopped after step {step} of {self.run.steps}: {best.waited} evaluations without a better "
                f"{best.metric.replace('_', ' ')} than {best.value:.4g} at step {best.step}"
            )
        if self.trainer.must_stop or self.best.is_over:
            control.should_save = control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Restart the clock that measures the age of the last checkpoint."""
        del args, state, control
        self._saved = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is ten minutes old; never with ``save_every``."""
        return self.run.save_every is None and time.monotonic() - self._saved >= 60 * MINUTES


class Averager(TrainerCallback):
    """Adds the weights after each step to their average; called before the reporter, which evaluates the average.

    Args:
        average: of the trained weights.
    """

    def __init__(self, average: Average) -> None:
        self.average = average

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Add the weights of this step."""
        del args, state, control
        self.average.update()
