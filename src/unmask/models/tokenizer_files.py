"""Checks the files of a tokenizer before a library reads them: sizes bounded, no keys that name other files or code."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unmask.errors import UserError, shorten
from unmask.runtime.foreign import check_file, read_object, walk
from unmask.runtime.template_process import LONGEST_SOURCE
from unmask.runtime.transformers_api import Tokenizer

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt",
    "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
MOST = 256 * 2**20  # bytes of a file
_LEFT_OUT = ("auto_map", "name_or_path", "trust_remote_code", "subfolder", "gguf_file", "token", "proxies", "cache_dir")
_CODE = ("tokenizer_class", "processor_class", "feature_extractor_type", "image_processor_type")


@contextmanager
def tokenizer_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder from which a tokenizer can be read without reading other files or code.

    Args:
        folder: of the checkpoint.

    Yields:
        The folder itself where its files name no others; else a temporary one with links to them, and a
        ``tokenizer_config.json`` without the keys that name other files or code.

    Raises:
        UserError: a file is too large, no plain file, or no JSON object.
    """  # noqa: DOC502
    for name in TOKENIZER_FILES:
        if os.path.lexists(folder / name):
            check_file(folder / name, 8 * LONGEST_SOURCE if name.startswith("chat_template") else MOST)
    objects = {
        name: read_object(folder / name, MOST)
        for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json")
        if (folder / name).exists()
    }
    config = objects.get("tokenizer_config.json", {})
    _check_values(config, folder / "tokenizer_config.json")
    unwanted = [key for key, value in config.items() if _is_unwanted(key, value)]
    if not unwanted:
        yield folder
        return
    kept = {key: value for key, value in config.items() if key not in unwanted}
    with _with_another(folder, "tokenizer_config.json", kept) as clean:
        yield clean


@contextmanager
def _with_another(folder: Path, name: str, content: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a temporary folder with links to the files of a tokenizer, and other JSON content in one of them."""
    with tempfile.TemporaryDirectory(prefix="unmask-") as temporary:
        other = Path(temporary)
        for entry in folder.iterdir():
            if entry.suffix in (".json", ".txt", ".model", ".jinja") and entry.name != name:
                (other / entry.name).symlink_to(entry.absolute())
        (other / name).write_text(json.dumps(content), encoding="utf-8")
        yield other


def moved_ids(folder: Path, tokenizer: Tokenizer) -> dict[str, int]:
    """Return the added tokens that a tokenizer gives other ids than its files say.

    transformers 5 numbers added tokens one after the other behind ``vocab.json``, where the files leave gaps.

    Args:
        folder: of its files.
        tokenizer: as read from them.

    Returns:
        Token -> its id in ``tokenizer_config.json`` or, without a table there, in ``added_tokens.json``.
    """
    read = tokenizer.get_vocab()
    return {token: id_ for token, id_ in _added_ids(folder).items() if read.get(token, id_) != id_}


def _added_ids(folder: Path) -> dict[str, int]:
    decoder = _object(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
    return {
        entry["content"]: int(id_)
        for id_, entry in decoder.items()
        if isinstance(entry, dict) and isinstance(entry.get("content"), str) and str(id_).isdecimal()
    } or {token: id_ for token, id_ in _object(folder / "added_tokens.json").items() if type(id_) is int}


@contextmanager
def folder_with_ids(folder: Path) -> Iterator[Path]:
    """Yield a folder whose vocabulary holds the added tokens at their ids, where transformers then leaves them.

    Args:
        folder: of a tokenizer.

    Yields:
        A temporary folder with links to the files, and a ``vocab.json`` that names the tokens; the folder itself where
        there is no ``vocab.json`` that is read.
    """
    vocabulary = _object(folder / "vocab.json")
    if not vocabulary or (folder / "tokenizer.json").is_file():
        yield folder
        return
    with _with_another(folder, "vocab.json", vocabulary | _added_ids(folder)) as mended:
        yield mended


def _object(file: Path) -> dict[str, Any]:
    return read_object(file, MOST) if file.exists() else {}


def _is_unwanted(key: str, value: object) -> bool:
    return value is not None and (key in _LEFT_OUT or key.endswith("_file") or key.startswith("_"))


def _check_values(config: dict[str, Any], file: Path) -> None:
    for path, value in walk(config):
        if path[-1] in _CODE and value is not None and not (isinstance(value, str) and value.isidentifier()):
            found = shorten(repr(value), 60)
            raise UserError(f"expected the name of a class for {path[-1]} in '{shorten(file, 120)}', found {found}")


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """Check that a tokenizer has a plausible vocabulary and special tokens, and can encode and decode.

    Errors of the library, of any kind, on a damaged tokenizer are not caught.

    Args:
        tokenizer: as read from its folder.

    Raises:
        ValueError: its vocabulary is empty, has ids far beyond its size, or an id of a special token is no number.
        TypeError: its chat template is no text.
    """
    vocabulary = tokenizer.get_vocab()
    if not vocabulary:
        raise ValueError("it has no tokens")
    lowest, highest = min(vocabulary.values()), max(vocabulary.values())
    if lowest < 0 or highest > 4 * len(vocabulary) + 2**18:
        raise ValueError(f"its ids go from {lowest:,} to {highest:,} for {len(vocabulary):,} tokens")
    special = (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
    if any(value is not None and type(value) is not int for value in special):
        raise ValueError(f"ids of its special tokens are no numbers: {special}")
    tokenizer.decode(tokenizer("a b", add_special_tokens=True)["input_ids"])
    if not isinstance(getattr(tokenizer, "chat_template", None), (str, dict, type(None))):
        raise TypeError("its chat template is no text")
