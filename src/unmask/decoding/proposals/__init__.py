"""Proposals: from logits to tokens."""

from unmask.decoding.defaults import Greedy, Gumbel
from unmask.decoding.proposals.endings import LateEos, NoEos
from unmask.decoding.proposals.truncated import Nucleus, TopK

__all__ = ["Greedy", "Gumbel", "LateEos", "NoEos", "Nucleus", "TopK"]
