"""The confidence stream: a second, thinner stream of layers that judges whether each token is right."""

import copy
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unmask.heads.base import HEADS, Head, decoder_layers


@HEADS.register("confidence")
class ConfidenceStream(Head):
    """Extra blocks that tap the model's layers and end in one logit a token (RemeDi, arXiv 2509.23653, section 3.1).

    At each of ``taps`` evenly spread layers with output x: u = block(x + u_before), and x + Z norm(u) goes on in the
    model, Z starting at zero, so that the model's own predictions are unchanged at first. A linear map of the last u
    is the confidence logit. The blocks start as copies of the layers that they tap.

    Args:
        model: the transformers model; its layers get forward hooks.
        taps: blocks; 4 in the paper.
        lr: learning rate of the stream (ten times that of the model in the paper).
    """

    free: ClassVar[tuple[str, ...]] = ("lr",)

    def __init__(self, model: nn.Module, *, taps: int = 4, lr: float = 2e-5) -> None:
        super().__init__(model)
        layers = decoder_layers(model)
        self.taps, self.lr = taps, lr
        number = min(taps, len(layers))
        places = [(len(layers) - 1) * i // max(number - 1, 1) for i in range(number)]
        weight = next(layers[0].parameters())
        width: int = model.config.hidden_size  # type: ignore[union-attr, assignment]  # transformers' configuration
        options: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
        self.blocks = nn.ModuleList([copy.deepcopy(layers[place]) for place in places])
        self.blocks.requires_grad_(True)
        self.norms = nn.ModuleList([nn.LayerNorm(width, **options) for _ in places])
        self.back = nn.ModuleList([nn.Linear(width, width, bias=False, **options) for _ in places])
        self.out = nn.Linear(width, 1, **options)
        for linear in (*self.back, self.out):
            nn.init.zeros_(linear.weight)
        nn.init.zeros_(self.out.bias)
        self._before: Tensor | None = None
        self._logits: Tensor | None = None
        for number, place in enumerate(places):
            # A bound method, not a closure: a copy of the model must tap into the copy of the head.
            layers[place].register_forward_hook(functools.partial(self._tap, number), with_kwargs=True)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Number of blocks and learning rate."""
        return {"taps": self.taps, "lr": self.lr}

    def read(self, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, " K"]:
        """Return the confidence logits of the last forward.

        Args:
            query_positions: (row, column) of each.

        Returns:
            A logit for each, in at least float32; with gradient where the forward had one.

        Raises:
            RuntimeError: there was no forward.
        """
        if self._logits is None:
            raise RuntimeError("the confidence stream is read after a forward of its model, and there was none")
        return self._logits[query_positions[:, 0], query_positions[:, 1]]

    def _tap(self, number: int, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Any:
        """Return the output of a layer with the block's share added; the block gets the layer's own arguments."""
        del layer
        x = output[0] if isinstance(output, tuple) else output
        before = 0 if number == 0 else self._before
        u = self.blocks[number](x + before, *args[1:], **kwargs)
        u = u[0] if isinstance(u, tuple) else u
        x = x + self.back[number](self.norms[number](u))
        last = number == len(self.blocks) - 1
        self._before = None if last else u
        if last:
            logits = self.out(u)
            self._logits = logits.squeeze(-1).to(torch.promote_types(logits.dtype, torch.float32))
            x = x + 0 * logits  # data-parallel wrappers wait only for what the model's output hangs on
        return (x, *output[1:]) if isinstance(output, tuple) else x

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the last forward, whose tensors hang on a graph: for copies and pickles."""
        return {**self.__dict__, "_before": None, "_logits": None}
