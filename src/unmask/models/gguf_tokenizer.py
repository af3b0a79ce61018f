"""Byte-level BPE tokenizers in gguf files, both ways: the keys ``tokenizer.ggml.*`` and ``tokenizer.chat_template``.

A gguf file holds the vocabulary, the merges and the special tokens; how text is cut before merging it only names. The
patterns behind the names were read in llama.cpp's ``src/llama-vocab.cpp`` and in the released tokenizers of each kind.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

from unmask.errors import UserError, shorten
from unmask.runtime import transformers_api
from unmask.runtime.transformers_api import Tokenizer

LOG = logging.getLogger(__name__)
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # types of tokens, by llama.cpp
SPECIAL = {"bos": "bos", "eos": "eos", "unknown": "unk", "seperator": "sep", "padding": "pad", "mask": "mask"}
"""Key of the file (``seperator`` is spelt so) -> name of the special token."""

_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS: dict[str, str | None] = {
    "gpt-2": None,
    "qwen2": rf"{_ENDINGS}{_WORD}|\p{{N}}{_REST}",
    "llama-bpe": rf"{_ENDINGS}{_WORD}|\p{{N}}{{1,3}}{_REST}",
    "llada-moe": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
    r"|\s+(?!\S)|\s+",
    "smollm": None,
}
"""Value of ``tokenizer.ggml.pre`` -> pattern of the pieces that merges stay within; None for GPT-2's own."""
COMPOSED = "qwen2"
"""The one kind whose released tokenizers normalise text (NFC)."""
_SAME = {
    "default": "gpt-2", "llama3": "llama-bpe", "llama-v3": "llama-bpe", "bailingmoe": "llada-moe",
    "bailingmoe2": "llada-moe", "deepseek-r1-qwen": "qwen2", "phi-2": "gpt-2", "codeshell": "smollm",
}  # fmt: skip
_PROBE = "It's 12345 isn't\n\n  a\r\n\tb  c!?\n x_y 'Tis WE'LL é日本 3.14\n\n\n  "


def read_tokenizer(values: Mapping[str, Any], source: str) -> Tokenizer | None:
    """Return the tokenizer of a gguf file.

    Args:
        values: of its head.
        source: the file, for messages.

    Returns:
        The tokenizer; None where the file has none, or, with a warning, one that is not byte-level BPE.

    Raises:
        UserError: its lists are incomplete.
    """
    kind, tokens = values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.tokens")
    if kind in (None, "none", "no_vocab"):
        return None
    shown = shorten(source, 120)
    if kind != "gpt2":
        LOG.warning(
            "%s: its tokenizer is of the kind %s, not byte-level BPE (gpt2), and is not read: token ids only",
            shown,
            shorten(repr(kind), 40),
        )
        return None
    types, merges = values.get("tokenizer.ggml.token_type"), values.get("tokenizer.ggml.merges") or []
    if not _are_texts(tokens) or not tokens:
        raise UserError(f"expected a list of texts as tokenizer.ggml.tokens in '{shown}'")
    types = [NORMAL] * len(tokens) if types is None else types
    if len(types) != len(tokens) or not _are_texts(merges):
        raise UserError(
            f"expected a type for each of the {len(tokens):,} tokens of '{shown}', and merges as texts, found "
            f"{len(types):,} types and {len(merges):,} merges"
        )
    backend = _backend(tokens, types, merges, split=_split_of(values, shown))
    special = {name: _token(values, key, tokens) for key, name in SPECIAL.items()}
    named = {f"{name}_token": token for name, token in special.items() if token is not None}
    if values.get("tokenizer.ggml.add_bos_token") and special["bos"] is not None:
        _begin_with(backend, special["bos"])
    found = transformers_api.new_tokenizer(backend, clean_up_tokenization_spaces=False, **named)
    template = values.get("tokenizer.chat_template")
    if template is not None:
        found.chat_template = template
    return found


def _are_texts(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(each, str) for each in found)


def _split_of(values: Mapping[str, Any], shown: str) -> str:
    named = values.get("tokenizer.ggml.pre") or "default"
    known = _SAME.get(named, named)
    if known not in SPLITS:
        LOG.warning(
            "%s: its text is cut as %s before merging, which unmask does not know; GPT-2's way is taken, so some texts "
            "may become other tokens", shown, shorten(repr(named), 40),
        )  # fmt: skip
        return "gpt-2"
    return str(known)


def _backend(tokens: list[str], types: list[int], merges: list[str], *, split: str) -> Any:
    """Return a tokenizer of the tokenizers library."""
    from tokenizers import AddedToken, decoders, models, normalizers
    from tokenizers import Tokenizer as Backend

    vocabulary = {token: i for i, (token, kind) in enumerate(zip(tokens, types, strict=True)) if kind != UNUSED}
    pairs = [tuple(merge.split(" ", 1)) for merge in merges]
    if odd := [merge for merge, pair in zip(merges, pairs, strict=True) if len(pair) != 2]:
        raise UserError(f"expected two pieces in each merge of the tokenizer, found {shorten(repr(odd[0]), 60)}")
    backend = Backend(models.BPE(vocabulary, pairs))  # type: ignore[arg-type]
    backend.pre_tokenizer = _cutter(split)
    backend.decoder = decoders.ByteLevel()
    if split == COMPOSED:  # as every released tokenizer of this kind; gguf files do not say
        backend.normalizer = normalizers.NFC()
    backend.add_tokens(
        [
            AddedToken(token, special=kind == CONTROL, normalized=False)
            for token, kind in zip(tokens, types, strict=True)
            if kind in (CONTROL, USER_DEFINED)
        ]
    )
    return backend


def _cutter(split: str) -> Any:
    """Return what cuts a text into pieces, by the name of the split."""
    from tokenizers import Regex, pre_tokenizers

    pattern = SPLITS[split]
    if split == "smollm":
        return pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    if pattern is None:
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _token(values: Mapping[str, Any], key: str, tokens: list[str]) -> str | None:
    found = values.get(f"tokenizer.ggml.{key}_token_id")
    return tokens[found] if type(found) is int and 0 <= found < len(tokens) else None


def _begin_with(backend: Any, token: str) -> None:
    from tokenizers import processors

    at = backend.token_to_id(token)
    backend.post_processor = processors.TemplateProcessing(
        single=[token, "$A"], pair=[token, "$A", token, "$B:1"], special_tokens=[(token, at)]
    )


def tokenizer_values(tokenizer: Tokenizer | None, *, rows: int, mask_id: int, split: str) -> dict[str, Any]:
    """Return the keys of a gguf file that hold a tokenizer.

    Args:
        tokenizer: None where only token ids are used.
        rows: of the embedding; the vocabulary is filled up to it with unused tokens.
        mask_id: of the mask token.
        split: what to write as ``tokenizer.ggml.pre`` where the tokenizer cuts text in no way that has a name.

    Returns:
        Key -> value. ``tokenizer.ggml.model`` is ``none`` for no tokenizer, and, with a warning, for one that is not
        byte-level BPE: llama.cpp can then be called with token ids only.

    Raises:
        UserError: a token's id is beyond the embedding.
    """
    ids = {"tokenizer.ggml.mask_token_id": mask_id}
    if tokenizer is None:
        return {"tokenizer.ggml.model": "none", **ids}
    special = {key: getattr(tokenizer, f"{name}_token_id", None) for key, name in SPECIAL.items()}
    ids = {f"tokenizer.ggml.{key}_token_id": i for key, i in special.items() if i is not None} | ids
    inner = json.loads(tokenizer.backend_tokenizer.to_str())
    if inner["model"].get("type") != "BPE" or inner["model"].get("byte_fallback") or not _is_byte_level(inner):
        LOG.warning(
            "the tokenizer is not byte-level BPE, the one kind that can be written: the file gets none, so that "
            "llama.cpp reads and writes token ids only"
        )
        return {"tokenizer.ggml.model": "none", **ids}
    vocabulary = tokenizer.get_vocab()
    if (highest := max(vocabulary.values())) >= rows:
        raise UserError(f"expected tokens below the embedding's {rows:,} rows, found id {highest:,} in the tokenizer")
    tokens, types = [f"[PAD{i}]" for i in range(rows)], [UNUSED] * rows
    for token, i in vocabulary.items():
        tokens[i], types[i] = token, NORMAL
    for i, added in tokenizer.added_tokens_decoder.items():
        tokens[i], types[i] = added.content, CONTROL if added.special else USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in inner["model"]["merges"]]
    framed, bare = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)["input_ids"]
    values = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _name_of_split(tokenizer, split),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        **({"tokenizer.ggml.merges": merges} if merges else {}),
        **ids,
        "tokenizer.ggml.add_bos_token": len(framed) > len(bare) and framed[0] == tokenizer.bos_token_id,
    }
    template = getattr(tokenizer, "chat_template", None)
    template = template.get("default") if isinstance(template, dict) else template
    return values | ({} if template is None else {"tokenizer.chat_template": template})


def _is_byte_level(inner: Mapping[str, Any]) -> bool:
    return "ByteLevel" in json.dumps(inner.get("pre_tokenizer")) and "ByteLevel" in json.dumps(inner.get("decoder"))


def _name_of_split(tokenizer: Tokenizer, otherwise: str) -> str:
    """Return the name under which llama.cpp cuts a text as the tokenizer does, found by trying."""
    backend = tokenizer.backend_tokenizer
    wanted = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(_PROBE)]
    normalizer = backend.normalizer
    is_composed = normalizer is not None and type(normalizer).__name__ == "NFC"
    # Of names that cut alike, the one that is read back with the same normaliser, then the family's own.
    for name in sorted(SPLITS, key=lambda name: ((name == COMPOSED) != is_composed, name != otherwise)):
        if [piece for piece, _ in _cutter(name).pre_tokenize_str(_PROBE)] == wanted:
            if (name == COMPOSED) != is_composed or (normalizer is not None and not is_composed):
                LOG.warning("gguf files of '%s' do not tell how text is normalised; some texts may change", name)
            return name
    LOG.warning(
        "the tokenizer cuts text before merging in a way that has no name in gguf files; '%s' is written, so that some "
        "texts may become other tokens in llama.cpp", otherwise,
    )  # fmt: skip
    return otherwise
