"""Tests on a few tokens whether a model obeys attention masks, and whether it can reuse keys and values."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unmask.core.attention import PAD, AttentionRule, Bidirectional, BlockCausal, Columns, may_attend
from unmask.core.attention_rules import Causal
from unmask.core.query import Past, Query
from unmask.errors import UserError
from unmask.models.cache import KeyValues
from unmask.models.checkpoints import first_line
from unmask.models.facts import Facts
from unmask.runtime.transformers_api import CACHE_ARGUMENTS, FAILURES, StockModel

_COLUMNS, _READ_FIRST = 6, 4


@dataclass(frozen=True)
class _AntiCausal:
    """A column sees itself and later ones: recurrent and linear layers, which read the past, cannot obey."""

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        return k.position >= q.position


@runtime_checkable
class _Probed(Protocol):
    """The attributes of a denoiser that the tests read and set."""

    facts: Facts
    cache_argument: str | None
    on_forward: Callable[[Query, int, bool], None] | None

    @property
    def model(self) -> nn.Module: ...
    @property
    def stock(self) -> StockModel: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def vocab_size(self) -> int: ...
    def logits(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]: ...


def settle_attention(model: _Probed, name: str) -> None:
    """Find the cheapest form in which a model attends to all columns: by itself, or by 4-D masks.

    Args:
        model: its ``facts.native_bidirectional`` is set to what was found.
        name: of the model, for the message.

    Raises:
        UserError: the model ignores the attention mask (a sliding window, a recurrent layer).
        torch.OutOfMemoryError: the device has no memory for six tokens.
    """
    reason = local_layers(model.stock)
    if reason is None:
        for native in (True, False):
            model.facts = replace(model.facts, native_bidirectional=native)
            try:
                reason = _disobeys(model)
            except torch.OutOfMemoryError:
                raise
            except FAILURES as error:
                reason = f"its forward fails on a mask ({first_line(error)})"
            if reason is None:
                return
    raise UserError(f"attention of '{name}' cannot be made bidirectional: {reason}; load a model with full attention")


def local_layers(stock: StockModel) -> str | None:
    """Return which layers do not attend to the whole text, by the configuration, or None.

    A test on six tokens would not notice a sliding window.
    """
    config = stock.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    harmless = window is not None and window >= config.max_position_embeddings
    # Masked language models were trained to look both ways within their windows, and tell their layers apart.
    by_layer = type(stock).__name__.endswith("ForMaskedLM")
    kinds = getattr(config, "layer_types", None)
    if kinds:
        fine = {"full_attention", *(["sliding_attention"] if harmless or by_layer else [])}
        others = sorted({*kinds} - fine)
        return f"it has layers of {', '.join(others)}" if others else None
    return None if window is None or harmless else f"it attends within a window of {window} tokens"


@torch.no_grad()
def _disobeys(model: _Probed) -> str | None:
    """Return how the model's logits show that it does not obey the attention mask, or None."""
    last, everyone = _COLUMNS - 1, Bidirectional()
    reach = {
        "a change of the last token does not reach the first": _change(model, everyone, last, [0]),
        "a change of the last token does not reach the first in a padded batch": _change(model, everyone, last, [0], 1),
    }
    leaks = {
        "padding reaches the text": _change(model, everyone, _COLUMNS, list(range(_COLUMNS)), 1),
        "a 4-D mask does not hide the future": _change(model, Causal(), last, list(range(last))),
        "a 4-D mask does not hide the past": _change(model, _AntiCausal(), 0, list(range(1, _COLUMNS))),
    }
    # A dense model leaks exactly nothing. In a mixture of experts the changed token may regroup the others' products,
    # which moves their last bits: hence a share of the change that should be seen, and no tolerance of its own.
    noise = 0.02 * min(reach.values())
    failed = [reason for reason, change in reach.items() if change == 0.0]
    return next(iter([*failed, *(reason for reason, change in leaks.items() if change > noise)]), None)


def _change(model: _Probed, rule: AttentionRule, changed: int, queried: list[int], padding: int = 0) -> float:
    """Return by how much another token in one column moves the logits of the queried columns: the largest difference.

    The two inputs go through separate forwards of one shape, so that equal means bit for bit, whatever the dtype.
    """
    columns = _COLUMNS + padding
    ids = torch.arange(columns, device=model.device)[None] % (model.vocab_size - 1)
    other = ids.clone()
    other[0, changed] = model.vocab_size - 1
    segment = torch.zeros_like(ids)
    segment[:, _COLUMNS:] = PAD
    position = torch.arange(columns, device=model.device)[None]
    where = Columns(position=position, segment=segment, block=segment, stream=torch.zeros_like(ids))
    # A shifted model answers for column c from the state at c - 1, which is what must or must not move.
    shown = [c + 1 if model.facts.shift else c for c in queried]
    before, after = (_states(model, Query(ids=i, columns=where, rule=rule), shown) for i in (ids, other))
    return float((before - after).abs().max())


def _states(model: _Probed, query: Query, columns: list[int]) -> Tensor:
    at = torch.tensor([[0, column] for column in columns], device=model.device)
    return model.logits(query, at)


@torch.no_grad()
def find_cache(model: _Probed) -> tuple[str | None, str]:
    """Return the argument by which a model takes keys and values, if it then computes the same logits as without.

    It is tested on six columns, read at once and in two chunks.

    Args:
        model: its ``cache_argument`` is set to what was found; no forward is counted.

    Returns:
        The argument and an empty text; or None and what failed.
    """
    was_training, counter = model.model.training, model.on_forward
    model.on_forward = None
    model.model.eval()  # with recomputed activations, layers in training drop what they are given
    failed = []
    try:
        for argument in CACHE_ARGUMENTS:
            model.cache_argument = argument
            reason = _try(model)
            if reason is None:
                return argument, ""
            failed.append(f"'{argument}': {reason}")
    finally:
        model.model.train(was_training)
        model.on_forward = counter
    model.cache_argument = None
    return None, f"{type(model.stock).__name__} was given keys and values as {'; as '.join(failed)}"


def _try(model: _Probed) -> str | None:
    """Return why text read in chunks does not give the logits of text read at once, or None if it does."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of the names of arguments, which are on trial here
            whole, blind = _ask(model, 0, _COLUMNS), _ask(model, _READ_FIRST, _COLUMNS)
            parts, was_written = _in_two(model)
    except torch.OutOfMemoryError:
        raise
    except FAILURES as error:
        return f"its forward fails ({first_line(error)})"
    if not was_written:
        return "it writes none of its own"
    # Rounding moves the logits a little; not seeing the first chunk moves them a lot.
    noise = 0.02 if whole.dtype in (torch.float32, torch.float64) else 0.2
    is_same = bool((parts - whole).abs().mean() <= noise * (blind - whole).abs().mean())
    return None if is_same else "it answers otherwise than when it reads the text at once"


def _columns(model: _Probed) -> tuple[Tensor, Columns]:
    position = torch.arange(_COLUMNS, device=model.device)[None]
    zero = torch.zeros_like(position)
    block = (position >= _READ_FIRST).long()
    return position % model.vocab_size, Columns(position=position, segment=zero, block=block, stream=zero)


def _ask(model: _Probed, begin: int, end: int, past: Past | None = None) -> Tensor:
    ids, columns = _columns(model)
    query = Query(ids=ids[:, begin:end], columns=columns[:, begin:end], rule=BlockCausal(), past=past)
    return model.logits(query, torch.tensor([[0, end - begin - 1]], device=model.device))


def _in_two(model: _Probed) -> tuple[Tensor, bool]:
    layers = model.stock.config.get_text_config().num_hidden_layers
    store = KeyValues(layers=layers, rows=1, columns=_COLUMNS)
    _, columns = _columns(model)
    for begin, end in ((0, _READ_FIRST), (_READ_FIRST, _COLUMNS)):
        may = may_attend(BlockCausal(), columns[:, begin:end], columns[:, :end])
        logits = _ask(model, begin, end, Past(store=store, column=columns.position[:, begin:end], may_attend=may))
    return logits, all(layer.is_initialized for layer in store.slots)
