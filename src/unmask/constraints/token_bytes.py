"""The bytes that each token stands for."""

import json
import re
from collections.abc import Callable
from typing import Any

from unmask.errors import UserError
from unmask.runtime.transformers_api import Tokenizer, byte_letters

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def token_bytes(tokenizer: Tokenizer, vocab_size: int) -> list[bytes | None]:
    """Return the bytes of every token; None for added ones (special tokens, markup) and for ids that no token has.

    Byte-level tokens may be incomplete characters. Where a tokenizer drops the space before a text's first word, it is
    among the bytes here all the same. A UserError is raised if a token stands for different bytes in other positions.

    Args:
        tokenizer: with a vocabulary and a decoder.
        vocab_size: length of the result.

    Returns:
        The bytes, by token id.
    """
    spell = _speller(tokenizer)
    added = set(tokenizer.added_tokens_decoder)
    spellings: list[bytes | None] = [None] * vocab_size
    for piece, token in tokenizer.get_vocab().items():
        if token < vocab_size and token not in added:
            spellings[token] = spell(piece)
    return spellings


def _speller(tokenizer: Tokenizer) -> Callable[[str], bytes]:
    """Return the function from a vocabulary entry to its bytes, as the tokenizer's decoder writes it."""
    decoder = tokenizer.backend_tokenizer.decoder
    kinds = set() if decoder is None else _kinds(json.loads(decoder.__getstate__()))
    if "ByteLevel" in kinds:
        byte = byte_letters()
        return lambda piece: bytes(byte[char] for char in piece)
    if kinds & {"ByteFallback", "Metaspace"}:
        return _sentence_piece
    if kinds == {"Fuse"}:
        return str.encode
    raise UserError(
        "constraint: expected a tokenizer with byte-level, SentencePiece or character tokens, found the decoder "
        f"{' + '.join(sorted(kinds)) or 'none'}; leave the constraint out"
    )


def _kinds(decoder: dict[str, Any]) -> set[str]:
    return {decoder["type"]}.union(*(_kinds(inner) for inner in decoder.get("decoders", ())))


def _sentence_piece(piece: str) -> bytes:
    byte = _BYTE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()
