"""The tokens at which block rules end a block where a recipe names none."""

from dataclasses import replace
from typing import Any, cast

from unmask.config.registry import name_of
from unmask.decoding import ResolvedDecoder
from unmask.errors import UserError
from unmask.models import LoadedModel


def with_line_breaks(lm: LoadedModel, resolved: ResolvedDecoder) -> ResolvedDecoder:
    """Return the decoder; its block rule, which names no delimiters, gets the tokens with a line break in them."""
    tokens = [] if lm.tokenizer is None else lm.tokenizer.batch_decode([[token] for token in range(lm.vocab_size)])
    found = tuple(token for token, text in enumerate(tokens) if "\n" in text)
    if not found:
        name = name_of(resolved.blocks)
        raise UserError(
            f"the block rule '{name}': expected delimiters, found no token with a line break; write "
            "{name: " + name + ", delimiters: [token ids]}"
        )
    return replace(resolved, blocks=replace(cast("Any", resolved.blocks), delimiters=found))  # a dataclass
