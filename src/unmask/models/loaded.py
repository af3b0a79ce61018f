"""``LoadedModel``, which ``load`` returns: a denoiser with its tokenizer and its source, which counts its FLOPs."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from unmask.core.protocols import Traits
from unmask.models.denoiser import StockDenoiser
from unmask.models.facts import AdapterBase
from unmask.models.flops import FlopCounter
from unmask.models.heads import attach_head, checkpoint_gradients
from unmask.models.save import save
from unmask.runtime.transformers_api import Tokenizer

LOG = logging.getLogger(__name__)


@dataclass(kw_only=True)
class LoadedModel(StockDenoiser):
    """A model that is ready to be trained, decoded and saved.

    Args:
        model: a plain transformers module with an LM head (or its PEFT wrapper).
        facts: mask token, end tokens, shift, attention, block size.
        tokenizer: a transformers tokenizer, or None where only token ids are used.
        source: what it was loaded from; empty or ``from_scratch`` where it was never saved.
        family: kind of checkpoint it was loaded from, shown to users.
        adapter: where the model is a PEFT wrapper, what its base was.
        generation: content of the ``generation_config.json`` that it was loaded with, which saving writes again.
    """

    tokenizer: Tokenizer | None
    source: str = ""
    family: str = ""
    adapter: AdapterBase | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.flops = FlopCounter.of(self.model)
        self.on_forward = self.flops.count
        self._has_warned = False
        self._has_warned_of_length = False

    def warn_of_length(self, columns: int) -> None:
        """Log a warning, once, if a text is longer than those that the model was made for."""
        longest = getattr(self.stock.config.get_text_config(), "max_position_embeddings", None)
        if longest and columns > longest and not self._has_warned_of_length:
            line = "a prompt and its answer take %d columns, and the model was made for %d: write a shorter prompt"
            LOG.warning(f"{line} or a smaller --max-new-tokens", columns, longest)
            self._has_warned_of_length = True

    @property
    def traits(self) -> Traits:
        """Properties of the model that an objective checks before it trains it."""
        return Traits(shift=self.shift, attention=self.facts.attention, takes_positions=self.call.takes_positions)

    @property
    def decoding(self) -> dict[str, Any]:
        """Keyword arguments of ``Decoder.resolve`` that depend on the model: block size, heads, cache, grid, end."""
        is_on_text = self.facts.grid == "text" and self.facts.attention == "block_causal"
        return {
            "trained_block_size": self.facts.block_size,
            "heads": tuple(self.heads),
            "exact_cache": self.exact_cache,
            "grid": self.facts.grid,
            "last_block": self.facts.last_block or ("whole" if is_on_text else "cut"),
        }

    @property
    def exact_cache(self) -> str:
        """Name of the fastest cache component that does not change the model's answers.

        Where a block-causal model cannot use its cache, a warning is logged once.
        """
        name, reason = self.cache_choice
        if name == "none" and self.facts.attention != "bidirectional" and not self._has_warned:
            LOG.warning("decoding without the exact cache 'block', so every step reads the whole text: %s", reason)
            self._has_warned = True
        return name

    @property
    def cache_choice(self) -> tuple[str, str]:
        """Name of the fastest exact cache, ``block`` or ``none``, and the reason."""
        if self.facts.attention == "bidirectional":
            return "none", "attention is bidirectional: every token that is written changes all keys and values"
        if fault := self.store_fault():
            return "none", fault
        return "block", f"attention is {self.facts.attention}: finished blocks do not change any more"

    def attach(self, name: str, settings: Mapping[str, Any]) -> None:
        """Add a head to the model, unless it has it already, and count its weights from now on.

        Args:
            name: of a registered head.
            settings: of the head, by name.
        """
        attach_head(self, name, settings)
        self.flops.measure(self.model)

    def checkpoint_gradients(self) -> None:
        """Switch to recomputing activations in the backward pass instead of storing them."""
        checkpoint_gradients(self)

    def save(self, folder: str | Path, state_dict: Mapping[str, Tensor] | None = None) -> Path:
        """Write the model, its heads, tokenizer and facts; ``load`` reads the folder back without flags.

        Other programs refuse the folder: they would take the model for a causal one. ``unmask.models.export`` writes
        folders for them.

        Args:
            folder: made if it is not there.
            state_dict: weights gathered from shards, in place of the model's own.

        Returns:
            The folder.
        """
        return save(
            self,
            folder,
            tokenizer=self.tokenizer,
            adapter=self.adapter,
            state_dict=state_dict,
            generation=self.generation,
        )
