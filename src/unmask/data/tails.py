"""Finds the tokens that stand after an answer's end where the tail is a cycle of distinct tokens."""

import re
from collections.abc import Collection

from unmask.config.defaults import Rows
from unmask.errors import UserError
from unmask.runtime.transformers_api import Tokenizer

CYCLE = 7
"""Tokens of a cycle where none are named: as many as sufficed in arXiv 2510.03680."""

RESERVED = re.compile(r"[<\[]\|?\w*(?:reserved|unused|placeholder|extra_id)\w*\d\|?[>\]]")
"""How tokenizers spell tokens that are kept free: ``<|reserved_token_0|>``, ``[unused0]``, ``<unused0>``."""


def tail_cycle(
    rows: Rows, tokenizer: Tokenizer | None, *, taken: Collection[int | None], size: int | None = None
) -> tuple[int, ...]:
    """Return the tokens of a layout's ``rainbow`` tail in their order; none for every other tail.

    Rainbow padding (arXiv 2510.03680): the answer keeps its one end token, and the rest of the canvas is a cycle of
    several distinct tokens, so that no single token becomes likely everywhere in the canvas.

    Args:
        rows: with the name of the tail, and maybe the texts of its tokens.
        tokenizer: of the model; None where there is none.
        taken: tokens that mean something already: the mask token, ends and filler of the model.
        size: rows of the embedding; None where they are not known: all tokens of the tokenizer have one.

    Returns:
        Token ids: those of ``tail_tokens``, else the first ``CYCLE`` ones that are spelt as reserved tokens.

    Raises:
        UserError: there is no tokenizer, a named token is unknown or taken, or too few tokens are reserved.
    """
    if rows.tail != "rainbow":
        return ()
    if tokenizer is None:
        raise UserError("expected a model with a tokenizer for data.tail=rainbow, found none; use another tail")
    vocabulary = {text: i for text, i in tokenizer.get_vocab().items() if size is None or i < size}
    if rows.tail_tokens is not None:
        return _named(rows.tail_tokens, vocabulary, taken)
    free = sorted(i for text, i in vocabulary.items() if RESERVED.fullmatch(text) and i not in taken)
    if len(free) < CYCLE:
        raise UserError(
            f"expected {CYCLE} reserved tokens for data.tail=rainbow, such as <|reserved_token_0|> or [unused0], found "
            f"{len(free)} in the tokenizer; name tokens that no text uses in data.tail_tokens, or use another tail"
        )
    return tuple(free[:CYCLE])


def _named(texts: tuple[str, ...], vocabulary: dict[str, int], taken: Collection[int | None]) -> tuple[int, ...]:
    for text in texts:
        if text not in vocabulary:
            raise UserError(
                f"expected tokens of the model in data.tail_tokens, found '{text}', which is none; name another"
            )
        if vocabulary[text] in taken:
            raise UserError(
                f"expected tokens in data.tail_tokens that have no other use, found '{text}', the mask token or an end "
                "of the model; name another"
            )
    if len(set(texts)) < len(texts):
        raise UserError(f"expected distinct tokens in data.tail_tokens, found {', '.join(texts)}; name each once")
    return tuple(vocabulary[text] for text in texts)
