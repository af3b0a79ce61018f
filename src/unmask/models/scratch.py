"""Models with random weights, for runs that train from scratch."""

from pathlib import Path
from typing import Any, Literal

import torch

from unmask.config.components import component
from unmask.core.attention import Attention
from unmask.errors import UserError
from unmask.models.facts import Facts
from unmask.models.loaded import LoadedModel
from unmask.models.tokenizers import builtin_tokenizer
from unmask.models.tokens import check_mask, find_ends, find_mask
from unmask.runtime import transformers_api
from unmask.runtime.transformers_api import Tokenizer


@component
class ScratchSpec:
    """The shape of a model with random weights.

    Args:
        architecture: stock transformers class.
        hidden_size: width d.
        layers: depth.
        heads: query heads; must divide the width.
        kv_heads: key/value heads; as many as ``heads`` unless given.
        intermediate_size: width of the MLP; 8/3 of d, rounded up to a multiple of 16, unless given.
        max_positions: longest text.
        tie: whether the LM head is the transposed embedding.
        init_std: spread of the initial weights.
        seed: two models of one shape and seed are equal.
    """

    architecture: Literal["llama", "qwen2", "qwen3"] = "llama"
    hidden_size: int = 128
    layers: int = 3
    heads: int = 4
    kv_heads: int | None = None
    intermediate_size: int | None = None
    max_positions: int = 1024
    tie: bool = True
    init_std: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("hidden_size", "layers", "heads", "max_positions"):
            if getattr(self, name) < 1:
                raise UserError(f"from_scratch.{name} must be at least 1, found {getattr(self, name)}")
        pairs = 2 * self.heads  # rotary embeddings turn pairs of coordinates
        if self.hidden_size % pairs:
            raise UserError(
                f"from_scratch.hidden_size must be a multiple of 2 x heads = {pairs}, found {self.hidden_size}"
            )
        if self.kv_heads is not None and (self.kv_heads < 1 or self.heads % self.kv_heads):
            raise UserError(f"from_scratch.kv_heads must divide heads={self.heads}, found {self.kv_heads}")

    def weights(self, rows: int) -> int:
        """Return the number of weights with a vocabulary of ``rows``: all matrices, without norms and biases."""
        width = self.hidden_size // self.heads * (self.kv_heads or self.heads)
        layer = 2 * self.hidden_size * (self.hidden_size + width) + 3 * self.hidden_size * self.mlp_size
        return self.layers * layer + rows * self.hidden_size * (1 if self.tie else 2)

    @property
    def mlp_size(self) -> int:
        """Width of the MLP."""
        return self.intermediate_size or -(-self.hidden_size * 8 // 48) * 16


def from_scratch(
    spec: ScratchSpec,
    tokenizer: Tokenizer | str | Path = "digits",
    *,
    shift: bool = False,
    attention: Attention = "bidirectional",
    block_size: int | None = None,
    device: torch.device | str | None = None,
) -> LoadedModel:
    """Build a model with random float32 weights that depend on the specification only.

    Args:
        spec: its shape and seed.
        tokenizer: a transformers tokenizer, a folder with one, or a built-in name (``digits``, ``ascii``). It must have
            a mask token and an end-of-text token.
        shift: whether the state at column c - 1 predicts column c.
        attention: what the model will be trained for.
        block_size: that it will be trained for, if any.
        device: where it goes; CPU unless given.

    Returns:
        The model, in evaluation mode.

    Raises:
        UserError: the tokenizer has no mask token, or one that means something else.
    """
    tokenizer = read_tokenizer(tokenizer)
    mask_id = find_mask({}, tokenizer, token=None, id_=None)
    if mask_id is None:
        raise UserError("from_scratch needs a tokenizer with a mask token; set tokenizer.mask_token")
    rows = max(tokenizer.get_vocab().values()) + 1
    ends = find_ends({}, {}, tokenizer, rows=rows)
    check_mask(mask_id, rows=rows, ends=ends, pad_id=tokenizer.pad_token_id)
    facts = Facts(
        mask_id=mask_id, vocab_size=rows, shift=shift, attention=attention, block_size=block_size,
        eos_ids=ends.eos_ids, filler_id=ends.filler_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(spec.seed)  # the CPU's only: torch.manual_seed would reseed GPUs too
        model = transformers_api.new_model(_config(spec, facts))
    model.eval()
    return LoadedModel(model=model.to(device or "cpu"), tokenizer=tokenizer, facts=facts, source="from_scratch")


def _config(spec: ScratchSpec, facts: Facts) -> Any:
    fields = {
        "vocab_size": facts.vocab_size,
        "hidden_size": spec.hidden_size,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads or spec.heads,
        "head_dim": spec.hidden_size // spec.heads,
        "intermediate_size": spec.mlp_size,
        "max_position_embeddings": spec.max_positions,
        "tie_word_embeddings": spec.tie,
        "initializer_range": spec.init_std,
        "bos_token_id": None,
        "eos_token_id": list(facts.eos_ids),
        "pad_token_id": None,  # its embedding would get no gradient, and the filler must learn
        "is_causal": False,
        "dtype": "float32",
        "mask_token_id": facts.mask_id,
        "unmask": facts.as_config(),
    }
    return transformers_api.new_config(spec.architecture, fields)


def read_tokenizer(given: Tokenizer | str | Path) -> Tokenizer:
    """Return a tokenizer: the one given, the one of a folder, or the built-in one of that name."""
    if not isinstance(given, (str, Path)):
        return given
    if not Path(given).is_dir():
        return builtin_tokenizer(str(given))
    return transformers_api.read_tokenizer(Path(given))
