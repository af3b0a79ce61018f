"""Models for studies: toys behind the surface that a loaded model has, and tiny real ones."""

from dataclasses import dataclass, field

import torch

from toys import Toy, Uniform
from unmask.config.defaults import Layout
from unmask.core.protocols import Scored
from unmask.core.random import Draws
from unmask.data import Collator, Encoded
from unmask.models import LoadedModel
from unmask.models.facts import Facts

EOS = 9


@dataclass(kw_only=True)
class LoadedToy(Toy):
    """A toy with a module to switch to evaluation, and a tokenizer that is not there."""

    model: torch.nn.Module = field(default_factory=torch.nn.Identity)
    device: str = "cpu"
    tokenizer: object = None
    filler_id: int = EOS
    source: str = "toy"
    facts: Facts = field(default_factory=lambda: Facts(mask_id=0, eos_ids=(EOS,), filler_id=EOS, vocab_size=EOS + 1))

    @property
    def __class__(self):
        """Pass for what the studies are annotated with."""
        return LoadedModel


@dataclass(kw_only=True)
class LoadedUniform(LoadedToy, Uniform):
    pass


@dataclass(kw_only=True)
class Knows(LoadedToy):
    """Sure of some tokens, uniform over the rest of the vocabulary."""

    known: tuple[int, ...] = ()

    def score(self, query, query_positions, targets, want=()):
        self.forwards += 1
        is_known = torch.isin(targets, torch.tensor(self.known))
        return told(is_known, self.vocab_size)


@dataclass(kw_only=True)
class Copies(LoadedToy):
    """Knows a token if the column before it is visible, and is uniform otherwise: context is all."""

    def score(self, query, query_positions, targets, want=()):
        is_known = query.ids[query_positions[:, 0], query_positions[:, 1] - 1] != self.mask_id
        return told(is_known, self.vocab_size)


def told(is_known, vocab_size):
    p = torch.where(is_known, 1.0, 1 / vocab_size).double()
    return Scored(nll=-p.log(), is_top=is_known, confidence=p)


def examples(*answers, prompt=(1, 2)):
    return [Encoded(prompt=list(prompt), answer=[*answer, EOS], source=f"row {i}") for i, answer in enumerate(answers)]


def many(count, length=11):
    """Examples of uneven lengths over the tokens 1 to 8, of which low ones are more frequent."""
    return examples(*([1 + (i * j * j + j) % (1 + (i + j) % 8) for j in range(length - i % 4)] for i in range(count)))


def collator(block_size=4, **options):
    layout = Layout(block_size=block_size, tail_blocks=0, **options)
    return Collator(layout=layout, filler_id=EOS, draws=Draws(seed=0))
