"""Counts what a model was asked to compute: forwards, tokens read, floating-point operations."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(kw_only=True)
class Meter:
    """Running totals of one loaded model.

    A forward of R rows and N columns costs 2 FLOPs per weight of the body and token, 4 N d per layer and token for
    attention, and 2 V d per asked row for the LM head. A backward costs that again for the gradients that flow through
    (twice for attention, whose operands both need one), and 2 FLOPs per token for each weight that is trained.

    Args:
        body: weights of all matrices but the embedding and the LM head.
        head: weights of the LM head.
        attention: sum over layers of 4 x width of the heads, FLOPs per token and key.
        trained_body: those of the body that get a gradient.
        trained_head: those of the head that get a gradient.
    """

    body: int
    head: int
    attention: int
    trained_body: int
    trained_head: int
    forwards: int = 0
    tokens: int = 0
    flops: float = 0.0

    @classmethod
    def of(cls, model: nn.Module) -> "Meter":
        """Read the sizes off a transformers model or its PEFT wrapper."""
        config = model.config.get_text_config()
        output = model.get_output_embeddings()
        # PEFT wraps the head of a tied model whose mask row is trained: what counts is inside.
        in_head = set() if output is None else {id(module) for module in output.modules()}
        matrices = [m for m in model.modules() if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"]  # GPT-2's
        body = [(m.weight, 1.0) for m in matrices if id(m) not in in_head]
        head = [(m.weight, 1.0) for m in matrices if id(m) in in_head]
        if experts := getattr(config, "num_experts", None) or getattr(config, "num_local_experts", None):
            # Their matrices are stacked in one weight, and a token passes through a few of them.
            body += [(w, config.num_experts_per_tok / experts) for w in model.parameters() if w.ndim == 3]
        heads = getattr(config, "num_attention_heads", 0)
        width = getattr(config, "head_dim", None) or config.hidden_size // max(heads, 1)
        return cls(
            body=_size(body),
            head=_size(head),
            attention=4 * width * heads * config.num_hidden_layers,
            trained_body=_size((w, share) for w, share in body if w.requires_grad),
            trained_head=_size((w, share) for w, share in head if w.requires_grad),
        )

    def count(self, tokens: int, columns: int, asked: int, *, training: bool) -> None:
        """Add a forward over ``tokens`` = R x N tokens with ``asked`` rows through the head."""
        self.forwards += 1
        self.tokens += tokens
        scores = tokens * self.attention * columns
        through = 2.0 * (tokens * self.body + asked * self.head)
        self.flops += through + scores
        if training:
            self.flops += through + 2.0 * scores + 2.0 * (tokens * self.trained_body + asked * self.trained_head)

    def reset(self) -> None:
        """Start counting anew."""
        self.forwards, self.tokens, self.flops = 0, 0, 0.0


def _size(weights: Iterable[tuple[Tensor, float]]) -> int:
    return round(sum(weight.numel() * share for weight, share in weights))
