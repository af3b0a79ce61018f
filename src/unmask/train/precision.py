"""Weights in half precision: float32 copies that the optimiser updates, and a warning where updates are lost."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FILE = "master.safetensors"
HALF = (torch.bfloat16, torch.float16)
LOOK = 1 << 14
"""Weights of each tensor that are looked at, evenly spread."""


class MasterWeights:
    """Copies in float32 of the trained weights that are in half precision; the optimiser updates the copies.

    After each step the model's weights are the copies, rounded. So an update that is smaller than the spacing of the
    half-precision numbers is not lost: it adds up in the copy.

    Args:
        model: its weights in bfloat16 or float16 that are trained get a copy.
    """

    def __init__(self, model: nn.Module) -> None:
        self.weights = {n: w for n, w in model.named_parameters() if w.requires_grad and w.dtype in HALF}
        self.copies = {name: nn.Parameter(weight.detach().float()) for name, weight in self.weights.items()}

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Put the copies into the groups of a new optimizer, in the place of the weights.

        Args:
            optimizer: before its first step.
        """
        copy_of = {id(weight): self.copies[name] for name, weight in self.weights.items()}
        for group in optimizer.param_groups:
            group["params"] = [copy_of.get(id(weight), weight) for weight in group["params"]]
        optimizer.register_step_pre_hook(self._before)
        optimizer.register_step_post_hook(self._after)

    def values(self) -> dict[str, Tensor]:
        """Return the copies by the names of their weights."""
        return {name: copy.detach() for name, copy in self.copies.items()}

    def save(self, folder: Path) -> None:
        """Write the copies into a checkpoint."""
        save_file({name: value.contiguous() for name, value in self.values().items()}, folder / FILE)

    def restore(self, folder: Path) -> None:
        """Set the copies to those of a checkpoint's folder."""
        for name, value in load_file(folder / FILE).items():
            self.copies[name].data.copy_(value)

    def _before(self, *_: Any) -> None:
        for name, weight in self.weights.items():
            self.copies[name].grad = None if weight.grad is None else weight.grad.float()

    @torch.no_grad()
    def _after(self, *_: Any) -> None:
        for name, weight in self.weights.items():
            self.copies[name].grad = None
            weight.copy_(self.copies[name])


def lost_updates(weights: Iterable[Tensor], lr: float) -> float:
    """Return the share of weights in half precision that an update of the size ``lr`` would leave as they are.

    AdamW moves a weight by about the learning rate, whatever the size of its gradient. The sum is rounded to the
    nearest number of the weight's type, which is the weight itself where the update is less than half the spacing.

    Args:
        weights: trained ones; those in float32 are left out.
        lr: learning rate at its peak.

    Returns:
        A share from 0 to 1, of some weights of each tensor; 0 where none is in half precision.
    """
    lost = total = 0
    for weight in weights:
        if weight.dtype not in HALF:
            continue
        flat = weight.detach().flatten()
        some = flat[:: max(1, len(flat) // LOOK)]
        is_lost = ((some.float() + lr).to(some.dtype) == some) & ((some.float() - lr).to(some.dtype) == some)
        lost, total = lost + int(is_lost.sum()), total + len(some)
    return lost / total if total else 0.0


def warning_of(model: nn.Module, lr: float) -> str | None:
    """Return a line with a remedy if most updates of a model's trained weights would be rounded away, else None."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    share = lost_updates(trained, lr)
    if share <= 0.5:
        return None
    dtype = next(weight.dtype for weight in trained if weight.dtype in HALF)
    return (
        f"run.lr={lr:g} is too small for weights in {str(dtype).removeprefix('torch.')}: at {share:.0%} of them an "
        "update of that size is rounded away; write run.master_weights: true, or model.dtype: float32 with run.bf16: "
        "true, or train adapters (model.lora)"
    )
