"""Counts what a model was asked to compute: forwards, tokens read, floating-point operations."""

from dataclasses import dataclass

from torch import nn


@dataclass(kw_only=True)
class Meter:
    """Running totals of one loaded model.

    A forward of R rows and N columns costs 2 FLOPs per weight of the body and token, 4 N d per layer and token for
    attention, and 2 V d per asked row for the LM head. A backward costs twice that again (once, if no weight of the
    body is trained).

    Args:
        body: weights of all matrices but the embedding and the LM head.
        head: weights of the LM head.
        attention: sum over layers of 4 x hidden size, FLOPs per token and key.
        trains_body: whether a backward also makes weight gradients in the body.
    """

    body: int
    head: int
    attention: int
    trains_body: bool = True
    forwards: int = 0
    tokens: int = 0
    flops: float = 0.0

    @classmethod
    def of(cls, model: nn.Module) -> "Meter":
        """Read the sizes off a transformers model."""
        config = model.config
        head = config.vocab_size * config.hidden_size
        matrices = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
        matrices_size = sum(w.numel() for w in matrices)
        output = model.get_output_embeddings()
        inside = output is not None and any(w is output.weight for w in matrices)
        return cls(
            body=matrices_size - (head if inside else 0),
            head=head,
            attention=4 * config.hidden_size * config.num_hidden_layers,
            trains_body=any(w.requires_grad for w in matrices),
        )

    def count(self, tokens: int, columns: int, asked: int, *, training: bool) -> None:
        """Add a forward over ``tokens`` = R x N tokens with ``asked`` rows through the head."""
        self.forwards += 1
        self.tokens += tokens
        forward = tokens * (2.0 * self.body + self.attention * columns) + 2.0 * self.head * asked
        self.flops += forward * ((3.0 if self.trains_body else 2.0) if training else 1.0)
