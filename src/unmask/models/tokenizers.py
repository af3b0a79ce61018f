"""Character tokenizers for models that are trained from scratch: one token per character."""

import string

from unmask.errors import UserError, did_you_mean
from unmask.runtime import transformers_api

END = "<|endoftext|>"
MASK = "<|mask|>"
UNKNOWN = "<|unknown|>"

# Enough for sums, comparisons, lists and short lower-case words; the rest of ASCII doubles the vocabulary.
ALPHABETS = {
    "digits": "0123456789+-*/%^=<>()[]{}.,:;?!|&#_ \n" + string.ascii_lowercase,
    "ascii": "".join(map(chr, range(32, 127))) + "\n\t",
}


def char_tokenizer(alphabet: str) -> transformers_api.Tokenizer:
    """Return a transformers tokenizer whose tokens are single characters.

    Ids follow the alphabet, then come unknown, end of text and mask. Decoding restores the exact string.

    Args:
        alphabet: the characters; any other is read as ``<|unknown|>``.

    Returns:
        The tokenizer.

    Raises:
        UserError: a character is repeated.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    if len(set(alphabet)) != len(alphabet):
        twice = sorted({c for c in alphabet if alphabet.count(c) > 1})
        raise UserError(f"a tokenizer's alphabet must name each character once; repeated: {twice}")
    vocabulary = {token: i for i, token in enumerate([*alphabet, UNKNOWN, END, MASK])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()  # without it tokens would be joined with spaces
    return transformers_api.new_tokenizer(
        inner,
        unk_token=UNKNOWN,
        eos_token=END,
        pad_token=END,
        mask_token=MASK,
        clean_up_tokenization_spaces=False,
    )


def builtin_tokenizer(name: str) -> transformers_api.Tokenizer:
    """Return the built-in character tokenizer of a name; a ``UserError`` if there is none."""
    if name not in ALPHABETS:
        raise UserError(f"unknown tokenizer '{name}': neither a folder nor built in; {did_you_mean(name, ALPHABETS)}")
    return char_tokenizer(ALPHABETS[name])
