"""An exponential moving average of the trained weights, with which a run is evaluated and saved."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FILE = "ema.safetensors"
Weights = Mapping[str, Tensor]


class Average:
    """The average of the trained weights in float32: after each step, a = decay a + (1 - decay) w.

    It begins as the weights that the run begins with.

    Args:
        model: whose trained weights are averaged; of adapters, those only.
        decay: share of the average that a step leaves, above 0 and below 1.
        precise: returns more precise values of some weights by name, where there are any.
    """

    def __init__(self, model: nn.Module, decay: float, precise: Callable[[], Weights] = dict) -> None:
        self.decay, self.precise = decay, precise
        self.weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.values = {name: weight.detach().float().clone() for name, weight in self.weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights after a step to the average."""
        precise = self.precise()
        for name, weight in self.weights.items():
            self.values[name].lerp_(precise.get(name, weight.detach()).float(), 1 - self.decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Set the model's weights to their average, rounded to the model's precision."""
        for name, weight in self.weights.items():
            weight.copy_(self.values[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the context the model has the average; afterwards it has its own weights again, to the bit."""
        own = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in self.weights.items():
                    weight.copy_(own[name])

    def save(self, folder: Path) -> None:
        """Write the average into a checkpoint."""
        save_file({name: value.contiguous() for name, value in self.values.items()}, folder / FILE)

    def restore(self, folder: Path) -> None:
        """Set the average to that of a checkpoint's folder."""
        for name, value in load_file(folder / FILE).items():
            self.values[name].copy_(value)
