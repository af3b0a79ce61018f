"""Counts what a model computes: forwards, tokens read, floating-point operations."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from unmask.core.attention import PAD
from unmask.core.query import Query
from unmask.runtime.transformers_api import StockModel

_HELD = 256  # counts that lie on the device until a total is read


@dataclass(kw_only=True)
class FlopCounter:
    """Running totals of one loaded model.

    Padding counts as 0, so that the numbers do not depend on how examples are cut into batches. A token costs 2 FLOPs
    per weight of the body, and 4 d per layer for each column of its own text that it can be compared with; a query
    position costs 2 V d in the LM head. A backward costs that again for the gradients that flow through (twice for
    attention, whose operands both need one), and 2 FLOPs per token for each weight that is trained.

    Args:
        body: weights of all matrices but the embedding and the LM head.
        head: weights of the LM head.
        attention: sum over layers of 4 x width of the heads, FLOPs per token and key.
        trained_body: weights of the body that get a gradient.
        trained_head: weights of the head that get a gradient.
        forwards: forwards so far.
    """

    body: int
    head: int
    attention: int
    trained_body: int
    trained_head: int
    forwards: int = 0
    _tokens: int = 0
    _flops: float = 0.0
    _held: list[tuple[Int[Tensor, "2"], int, bool]] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, model: StockModel) -> "FlopCounter":
        """Return a counter at zero for a transformers model or its PEFT wrapper."""
        return cls(**_sizes(model))

    def measure(self, model: StockModel) -> None:
        """Update the sizes after modules were added to the model; the totals stay as they are."""
        for name, size in _sizes(model).items():
            setattr(self, name, size)

    def count(self, query: Query, queried: int, training: bool) -> None:
        """Add the tokens and operations of one forward.

        Args:
            query: what the model reads.
            queried: how many positions go through the LM head.
            training: whether a backward follows, which is added too.
        """
        self.forwards += 1
        self._held.append((_extent(query), queried, training))
        if len(self._held) >= _HELD:
            self._settle()

    @property
    def tokens(self) -> int:
        """Tokens that were read, without padding."""
        self._settle()
        return self._tokens

    @property
    def flops(self) -> float:
        """Floating-point operations since the start or the last reset."""
        self._settle()
        return self._flops

    def reset(self) -> None:
        """Set all totals to zero."""
        self.forwards, self._tokens, self._flops, self._held = 0, 0, 0.0, []

    def _settle(self) -> None:
        """Add the counts that lie on the device to the totals: one wait for the device in place of one a forward."""
        held, self._held = self._held, []
        if not held:
            return
        for (tokens, pairs), (_, queried, training) in zip(
            torch.stack([x for x, *_ in held]).tolist(), held, strict=True
        ):
            scores = float(pairs * self.attention)
            through = 2.0 * (tokens * self.body + queried * self.head)
            self._tokens += tokens
            self._flops += through + scores
            if training:
                trained = 2.0 * (tokens * self.trained_body + queried * self.trained_head)
                self._flops += through + 2.0 * scores + trained


def _extent(query: Query) -> Int[Tensor, "2"]:
    """Return the tokens of a query, and the pairs of a token and a column of its text that it can be compared with."""
    segment = query.columns.segment
    is_real = segment != PAD
    if query.past is not None:
        seen = query.past.may_attend.any(1).sum(1, keepdim=True).expand_as(segment)
    else:
        inside = segment.contiguous().sort(1).values
        last = torch.searchsorted(inside, segment.contiguous(), right=True)
        seen = last - torch.searchsorted(inside, segment.contiguous())
    return torch.stack([is_real.sum(), (seen * is_real).sum()])


def _size(weights: Iterable[tuple[Tensor, float]]) -> int:
    return round(sum(weight.numel() * share for weight, share in weights))


def _sizes(model: StockModel) -> dict[str, Any]:
    """Return the sizes of a ``FlopCounter`` by the names of its fields."""
    config = model.config.get_text_config()
    output = model.get_output_embeddings()
    # PEFT wraps the head of a tied model whose mask row is trained: what counts is inside.
    in_head = set() if output is None else {id(module) for module in output.modules()}
    experts = getattr(config, "num_experts", None) or getattr(config, "num_local_experts", None)
    share = config.num_experts_per_tok / experts if experts else 1.0  # a token passes through a few of them
    body, head = list[tuple[Tensor, float]](), list[tuple[Tensor, float]]()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D":  # GPT-2's
            (head if id(module) in in_head else body).append(
                (cast("Tensor", module.weight), share if "experts" in name.split(".") else 1.0)
            )
    if experts:  # their matrices are stacked in one weight
        body += [(w, share) for w in model.parameters() if w.ndim == 3]
    heads = getattr(config, "num_attention_heads", 0)
    width = getattr(config, "head_dim", None) or config.hidden_size // max(heads, 1)
    return {
        "body": _size(body),
        "head": _size(head),
        "attention": 4 * width * heads * config.num_hidden_layers,
        "trained_body": _size((w, share) for w, share in body if w.requires_grad),
        "trained_head": _size((w, share) for w, share in head if w.requires_grad),
    }
