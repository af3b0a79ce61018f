"""Looks at a model and at a data file, so that a recipe for them can be drafted; no weight is loaded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unmask.config.components import InvalidConfigError, fill
from unmask.core.attention import Attention, Grid
from unmask.data import encode
from unmask.data.read import read
from unmask.data.split import prompt_key
from unmask.models.checkpoints import Checkpoint, locate
from unmask.models.config_file import read_config_file
from unmask.models.gguf_file import check_gguf
from unmask.models.gguf_layout import BY_ARCHITECTURE, MASK_KEY
from unmask.models.gguf_tokenizer import read_tokenizer
from unmask.models.preflight import preflight
from unmask.recipes.sections import DataSection
from unmask.runtime.paths import is_hub_name, resolve_path
from unmask.runtime.third_party_logging import silence_libraries
from unmask.runtime.transformers_api import Tokenizer
from unmask.train.memory import Size

MOST_ROWS = 20_000
"""Rows of a file that are read for a draft."""


@dataclass(kw_only=True)
class SeenModel:
    """What is known of a model whose weights were not loaded.

    Args:
        found: what kind of model it is, in words; empty where it was not looked at.
        tokenizer: None where there is none, or where the model was not looked at.
        mask_id: of the mask token; None where one would be added.
        block_size: that it was trained with, or None.
        grid: where its blocks are counted from.
        attention: how it attends.
        is_causal: whether it writes from left to right, so that training has to turn it into a diffusion model first.
        size: None where it is not known.
        positions: longest text that it was made for; None where it does not say.
    """

    found: str = ""
    tokenizer: Tokenizer | None = None
    mask_id: int | None = None
    block_size: int | None = None
    grid: Grid | None = None
    attention: Attention = "bidirectional"
    is_causal: bool = False
    size: Size | None = None
    positions: int | None = None


@dataclass(kw_only=True)
class SeenData:
    """What is known of a data file.

    Args:
        found: its rows, in words; empty where it was not looked at.
        lengths: columns that each example takes, its last block filled; empty where there is no tokenizer.
        rows: that were read.
        prompts: how many different prompts they begin with; rows of one prompt are held out together.
        is_whole: whether that is all of them.
        faults: rows that cannot be used, as lines for people.
    """

    found: str = ""
    lengths: list[int] = field(default_factory=list)
    rows: int = 0
    prompts: int = 0
    is_whole: bool = True
    faults: list[str] = field(default_factory=list)


def look_at_model(path: str, *, mask_token: str | None = None) -> SeenModel:
    """Return what is known of a model: a folder, an adapter, a gguf file, or an asset.

    Args:
        path: as ``model.path``; a name on the hub that is not here is not looked at.
        mask_token: as ``model.mask_token``.

    Returns:
        What was found.

    Raises:
        InvalidConfigError: why it could not be loaded, all at once.
        UserError: there is no such model.
    """  # noqa: DOC502, DOC503
    if is_hub_name(path):
        return SeenModel()
    silence_libraries()
    where = locate(path)
    if where.kind == "gguf":
        return _of_gguf(where)
    seen = preflight(where, mask_token=mask_token)
    if seen.problems:
        raise InvalidConfigError([f"{path}: {problem}" for problem in seen.problems])
    if seen.model is None:
        return SeenModel(
            found="an adapter", tokenizer=seen.tokenizer, mask_id=seen.mask_id, block_size=seen.block_size,
            grid=seen.grid,
        )  # fmt: skip
    config, first = seen.model.config.get_text_config(), next(seen.model.parameters())
    weights = sum(weight.numel() for weight in seen.model.parameters())
    is_known = seen.family is not None or _says_unmask(where) or type(seen.model).__name__.endswith("ForMaskedLM")
    return SeenModel(
        found=_in_words(seen.family or config.model_type, weights, not is_known, seen.block_size, seen.tokenizer),
        tokenizer=seen.tokenizer, mask_id=seen.mask_id, block_size=seen.block_size, grid=seen.grid,
        attention=seen.traits.attention if seen.traits else "bidirectional", is_causal=not is_known,
        size=Size(weights=weights, hidden=config.hidden_size, layers=config.num_hidden_layers, item=first.itemsize),
        positions=getattr(config, "max_position_embeddings", None),
    )  # fmt: skip


def _says_unmask(where: Checkpoint) -> bool:
    """Return whether unmask saved the model: its config has facts of a diffusion model."""
    return bool(read_config_file(where.folder).get("unmask"))


def _of_gguf(where: Checkpoint) -> SeenModel:
    """Return what the head of a gguf file says; it is loaded as float32 unless ``model.dtype`` says otherwise."""
    head = check_gguf(where.folder / where.file)
    kind = str(head.values.get("general.architecture") or "gguf")
    mask_id = head.values.get(MASK_KEY)
    is_causal = kind not in BY_ARCHITECTURE and mask_id is None
    tokenizer = read_tokenizer(head.values, where.file)
    weights = sum(math.prod(tensor.shape) for tensor in head.tensors.values())
    hidden, layers = (head.values.get(f"{kind}.{name}") for name in ("embedding_length", "block_count"))
    return SeenModel(
        found=_in_words(f"{kind} (gguf)", weights, is_causal, None, tokenizer), tokenizer=tokenizer, mask_id=mask_id,
        is_causal=is_causal, positions=head.values.get(f"{kind}.context_length"),
        size=Size(weights=weights, hidden=hidden, layers=layers, item=4) if hidden and layers else None,
    )  # fmt: skip


def _in_words(kind: str, weights: int, is_causal: bool, block_size: int | None, tokenizer: Tokenizer | None) -> str:
    words = [kind, f"{amount(weights)} weights"]
    words.append("writes from left to right" if is_causal else "a diffusion model")
    words += [f"trained in blocks of {block_size}"] if block_size else []
    template = getattr(tokenizer, "chat_template", None)
    return ", ".join(
        [*words, "no tokenizer" if tokenizer is None else "a chat template" if template else "no template"]
    )


def amount(weights: int) -> str:
    """Return a number of weights as people say it.

    >>> amount(8_015_581_184), amount(134_515_008), amount(345_312), amount(512)
    ('8.0 billion', '135 million', '345 thousand', '512')
    """
    for unit, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if weights >= unit:
            value = weights / unit
            return f"{value:.1f} {name}" if value < 10 else f"{value:.0f} {name}"
    return str(weights)


def look_at_data(values: Mapping[str, Any], model: SeenModel, block_size: int) -> SeenData:
    """Return what is known of a data file, read as a recipe with these values would read it.

    Args:
        values: of the section ``data``, with a ``path``; the name of a hub data set is not looked at.
        model: whose tokenizer counts the tokens.
        block_size: to which answers are filled.

    Returns:
        What was found.

    Raises:
        UserError: there is no such file, its columns are not recognised, or no row can be used.
    """  # noqa: DOC502
    section = fill(DataSection, values, "data")
    path = str(section.path)
    if is_hub_name(path) and not Path(path).suffix:
        return SeenData()
    limit = min(section.size or MOST_ROWS + 1, MOST_ROWS + 1)
    source = str(resolve_path(path)) if path.startswith(("~", "asset:")) else path
    records = read(source, split=section.split, limit=limit, columns=section.columns, roles=section.roles)
    is_whole = len(records) <= MOST_ROWS
    records = records[:MOST_ROWS]
    rows = f"{len(records):,} rows" if is_whole else f"more than {len(records):,} rows"
    chats = sum(bool(record.messages) for record in records)
    kind = "conversations" if chats == len(records) else "prompts with answers" if not chats else "rows of both kinds"
    if model.tokenizer is None:
        return SeenData(found=f"{rows}, {kind}", rows=len(records), is_whole=is_whole)
    encoded = encode(
        records, model.tokenizer, mask_id=model.mask_id, max_length=None, block_size=block_size, chat=section.chat,
        on_bad="skip",
    )  # fmt: skip
    on_text = model.grid == "text"
    lengths = [_columns(len(each.prompt), len(each.answer), block_size, on_text=on_text) for each in encoded]
    prompts = len({prompt_key(record) for record in records if record.fault is None})
    faults = [f"{one.source}: {one.detail} ({one.count} left out)" for one in encoded.report.skipped.values()]
    turns = f", {len(lengths):,} answers to train" if len(lengths) != len(records) else ""
    return SeenData(
        found=f"{rows}, {kind}{turns}, the longest takes {max(lengths):,} tokens", lengths=lengths, rows=len(records),
        prompts=prompts, is_whole=is_whole, faults=faults,
    )  # fmt: skip


def _columns(prompt: int, answer: int, size: int, *, on_text: bool) -> int:
    """Return the columns of a prompt and an answer whose last block is filled."""
    return -(-(prompt + answer) // size) * size if on_text else prompt + -(-answer // size) * size
