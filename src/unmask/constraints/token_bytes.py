"""The bytes that each token stands for."""

import json
import re
from collections.abc import Callable
from typing import Any

from unmask.errors import UserError
from unmask.runtime.transformers_api import Tokenizer, byte_letters

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def token_bytes(tokenizer: Tokenizer, vocab_size: int) -> list[bytes | None]:
    """Spell every token; None for added ones (special tokens, markup) and for rows that no token has.

    Byte-level tokens may be parts of a character. A tokenizer that drops the space before a text's first word spells
    it here all the same.

    Raises:
        UserError: a tokenizer whose tokens spell differently in different places.
    """
    spell = _speller(tokenizer)
    added = set(tokenizer.added_tokens_decoder)
    spellings: list[bytes | None] = [None] * vocab_size
    for piece, token in tokenizer.get_vocab().items():
        if token < vocab_size and token not in added:
            spellings[token] = spell(piece)
    return spellings


def _speller(tokenizer: Tokenizer) -> Callable[[str], bytes]:
    """Tell from the tokenizer's decoder how pieces are written."""
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
