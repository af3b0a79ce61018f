"""The bytes of tokens, on tokenizers that are trained or written here."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from unmask.constraints.token_bytes import token_bytes
from unmask.errors import UserError
from unmask.models.tokenizers import char_tokenizer

TEXT = "café, naïve — 北京 and a\ttab\n"


def byte_level():
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, special_tokens=["<|end|>"])
    inner.train_from_iterator([TEXT, "tab tab and and"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>")


def sentence_piece():
    pieces = ["<unk>", "</s>", "<0xC3>", "<0xA9>", "▁caf", "▁", "a", "é"]
    inner = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], byte_fallback=True))
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", unk_token="<unk>")


def test_byte_level_tokens_spell_the_text_they_were_made_of():
    tokenizer = byte_level()
    spellings = token_bytes(tokenizer, len(tokenizer) + 3)
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert b"".join(spellings[token] for token in ids) == TEXT.encode()
    assert {bytes([byte]) for byte in range(256)} <= set(spellings)
    assert any(len(spellings[token]) > 1 for token in ids)


def test_added_tokens_and_rows_without_a_token_spell_nothing():
    tokenizer = byte_level()
    tokenizer.add_tokens(["<call>"])
    spellings = token_bytes(tokenizer, len(tokenizer) + 3)
    none = [token for token, spelling in enumerate(spellings) if spelling is None]
    assert none == [tokenizer.eos_token_id, *range(len(tokenizer) - 1, len(tokenizer) + 3)]


def test_sentence_pieces_and_their_bytes():
    assert token_bytes(sentence_piece(), 8) == [None, None, b"\xc3", b"\xa9", b" caf", b" ", b"a", "é".encode()]


def test_characters():
    assert token_bytes(char_tokenizer("aé "), 6) == [b"a", "é".encode(), b" ", None, None, None]


def test_a_tokenizer_whose_tokens_spell_by_their_place_is_refused():
    inner = Tokenizer(models.WordPiece({"a": 0, "##b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    inner.decoder = decoders.WordPiece()
    with pytest.raises(UserError, match="found the decoder WordPiece; leave the constraint out"):
        token_bytes(PreTrainedTokenizerFast(tokenizer_object=inner), 3)
