import string

import pytest
from transformers import AutoTokenizer

from unmask.errors import UserError
from unmask.models.tokenizers import ALPHABETS, builtin_tokenizer, char_tokenizer

TEXTS = ["12 + 3 = 15", "  two  spaces , and . marks ! ", "a\nb\n\nc", "", " ", "3*(4-1)=9;x<y|z"]


@pytest.mark.parametrize("name", ALPHABETS)
@pytest.mark.parametrize("text", TEXTS)
def test_decoding_gives_back_the_exact_string(name, text, tmp_path):
    tokenizer = builtin_tokenizer(name)
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(text)["input_ids"] == ids
    assert again.decode(ids) == text


def test_special_tokens_are_single_tokens_that_decoding_can_skip():
    tokenizer = char_tokenizer("ab")
    ids = tokenizer("a<|mask|>b<|endoftext|>")["input_ids"]
    assert ids == [0, tokenizer.mask_token_id, 1, tokenizer.eos_token_id]
    assert tokenizer.decode(ids) == "a<|mask|>b<|endoftext|>"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ab"
    assert len(tokenizer) == 5


def test_an_unknown_character_is_seen_as_such():
    tokenizer = char_tokenizer("ab")
    assert tokenizer("a?é")["input_ids"] == [0, tokenizer.unk_token_id, tokenizer.unk_token_id]


def test_digits_holds_sums_and_words():
    known = set(ALPHABETS["digits"])
    assert known >= set(string.digits + string.ascii_lowercase + "+-*=;:,.|> ()\n")


def test_a_repeated_character_is_refused():
    with pytest.raises(UserError, match=r"each character once; repeated: \['a'\]"):
        char_tokenizer("aba")


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="did you mean 'digits'"):
        builtin_tokenizer("digit")
