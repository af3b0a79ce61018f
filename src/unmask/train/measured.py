"""What is measured of the model while it trains: the held-out loss, and what the caller adds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from unmask.data import Collator, Encoded
from unmask.errors import NonFiniteError, UserError
from unmask.train.average import Average
from unmask.train.best import METRIC, REMEDY
from unmask.train.config import TrainRun
from unmask.train.held_out import held_out_loss
from unmask.train.trainer import DiffusionTrainer

Rows = Sequence[Mapping[str, Any]]


class Measured:
    """Evaluates the model during the run, with the average of its weights where there is one; on every process.

    Args:
        trainer: whose model it is.
        run: objective and settings of the run.
        held_out: examples of the held-out loss; none: it is not computed.
        collator: lays them out.
        average: of the weights; None: the weights themselves.
        evaluate: returns further values by name.
        sample: returns answers to held-out prompts, each a mapping of JSON types.
    """

    def __init__(
        self, trainer: DiffusionTrainer, run: TrainRun, held_out: Sequence[Encoded], collator: Collator, *,
        average: Average | None = None, evaluate: Callable[[], dict[str, float]] | None = None,
        sample: Callable[[], Rows] | None = None,
    ) -> None:  # fmt: skip
        self.trainer, self.run, self.held_out, self.collator = trainer, run, held_out, collator
        self.average, self.evaluate, self.sample = average, evaluate, sample

    def __call__(self) -> tuple[dict[str, float], Rows]:
        """Return the values of the current model by name, and answers to prompts.

        A ``NonFiniteError`` if the held-out loss is not finite, a ``UserError`` if the metric of the best step is not
        among the values.
        """
        with self.average.applied() if self.average else nullcontext():
            values = self._held_out_loss() | (dict(self.evaluate()) if self.evaluate else {})
            self._check(values)
            return values, self.sample() if self.sample else []

    def _check(self, values: Mapping[str, float]) -> None:
        """Refuse a run whose best step is to be known by what is not measured; the first evaluation is at its start."""
        run = self.run
        metric = run.best_metric or METRIC
        if metric in values or not (run.best_metric or run.save_best or run.patience):
            return
        raise UserError(
            f"run.best_metric: expected a value that this run measures ({', '.join(values) or 'none'}), found "
            f"{metric}; write {REMEDY[metric]}"
        )

    def _held_out_loss(self) -> dict[str, float]:
        if not self.held_out:
            return {}
        try:
            found = held_out_loss(
                self.trainer.lm, self.run.objective, self.held_out, self.collator, batch_size=self.run.batch_size,
                passes=self.run.eval_passes,
            )  # fmt: skip
        except NonFiniteError as error:
            raise self.trainer.non_finite("the held-out loss is not finite", error.places, is_done=True) from error
        return {"held_out_loss": found}
