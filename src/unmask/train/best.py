"""The best step of a run by a named metric, and when to stop for want of a better one."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "best.json"
METRIC = "held_out_loss"
"""The metric where a run names none."""
REMEDY = {
    "held_out_loss": "data.held_out: 50",
    "held_out_bound": "data.held_out: 50 (and not run.eval_bound: 0)",
    "accuracy": "a section evaluate with a task and while_training: 50",
}
"""What to write in a recipe so that a metric is measured."""


@dataclass(kw_only=True)
class Best:
    """The best step so far; saved in every checkpoint.

    Args:
        metric: name of the value that is compared. Of a loss or a bound less is better, of anything else more.
        min_delta: a value that is better by no more than this does not count for the patience.
        patience: evaluations in a row without a better value after which a run ends; None: any number.
        step: the best step; None before the first evaluation after a step.
        value: of the metric at that step.
        waited: evaluations since the last one that was better by more than ``min_delta``.
    """

    metric: str = METRIC
    min_delta: float = 0.0
    patience: int | None = None
    step: int | None = None
    value: float | None = None
    waited: int = 0

    @property
    def wants_low(self) -> bool:
        """Whether less is better."""
        return self.metric.endswith(("loss", "bound"))

    @property
    def is_over(self) -> bool:
        """Whether the patience is at its end."""
        return self.patience is not None and self.waited >= self.patience

    def see(self, step: int, measured: Mapping[str, float]) -> bool:
        """Compare the values of an evaluation with the best so far.

        Args:
            step: after which the model was evaluated.
            measured: values by name; without the metric, nothing is compared.

        Returns:
            Whether this step is the best one.
        """
        found = measured.get(self.metric)
        if found is None:
            return False
        gain = math.inf if self.value is None else (self.value - found if self.wants_low else found - self.value)
        self.waited = 0 if gain > self.min_delta else self.waited + 1
        if gain > 0:
            self.step, self.value = step, found
        return gain > 0

    def save(self, folder: Path) -> None:
        """Write the best step so far, and how long the run has waited since, into a checkpoint."""
        values = {name: value for name, value in asdict(self).items() if name not in ("min_delta", "patience")}
        (folder / FILE).write_text(json.dumps(values))

    def restore(self, folder: Path) -> None:
        """Set the best step to that of a checkpoint, if it tells one; those of 0.1.0 tell it and its ``loss``."""
        if (folder / FILE).exists():
            found = json.loads((folder / FILE).read_text())
            self.step, self.value = found.get("step"), found.get("value", found.get("loss"))
            self.waited = found.get("waited", 0)
