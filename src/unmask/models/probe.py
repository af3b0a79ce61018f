"""Asks a loaded model whether its attention obeys: the answer decides how masks are given, or that it is refused."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from unmask.attention import PAD, AttentionRule, Bidirectional, Causal, Columns
from unmask.errors import UserError
from unmask.models.checkpoints import first_line
from unmask.models.denoiser import LoadedModel
from unmask.query import Query

_COLUMNS = 6


@dataclass(frozen=True)
class _AntiCausal:
    """Everyone sees itself and the future: recurrent and linear layers, which read the past, cannot obey."""

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        return k.position >= q.position


def settle_attention(lm: LoadedModel) -> LoadedModel:
    """Find the cheapest form in which the model attends as told: natively, or by 4-D masks.

    Returns:
        The model with ``facts.native_bidirectional`` settled.

    Raises:
        UserError: it attends as it likes.
    """
    reason = local_layers(lm.stock)
    if reason is None:
        for native in (True, False):
            tried = LoadedModel(
                model=lm.model,
                tokenizer=lm.tokenizer,
                facts=replace(lm.facts, native_bidirectional=native),
                source=lm.source,
                family=lm.family,
            )
            try:
                reason = _disobeys(tried)
            except torch.OutOfMemoryError:
                raise
            except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
                reason = f"its forward fails on a mask ({first_line(error)})"  # a foreign forward, any failure
            if reason is None:
                tried.meter.reset()
                return tried
    raise UserError(
        f"attention of '{lm.source}' cannot be made bidirectional: {reason}; load a model with full attention"
    )


def local_layers(stock: Any) -> str | None:
    """Say which layers do not attend to the whole text: a probe of six tokens would not notice a window."""
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
def _disobeys(lm: LoadedModel) -> str | None:
    """Say how the model's logits betray that it attends otherwise than told, None if they do not."""
    last, everyone = _COLUMNS - 1, Bidirectional()
    reach = {
        "a change of the last token does not reach the first": _change(lm, everyone, last, [0]),
        "a change of the last token does not reach the first in a padded batch": _change(lm, everyone, last, [0], 1),
    }
    leaks = {
        "padding reaches the text": _change(lm, everyone, _COLUMNS, list(range(_COLUMNS)), 1),
        "a 4-D mask does not hide the future": _change(lm, Causal(), last, list(range(last))),
        "a 4-D mask does not hide the past": _change(lm, _AntiCausal(), 0, list(range(1, _COLUMNS))),
    }
    # A dense model leaks exactly nothing. In a mixture of experts the changed token may regroup the others' products,
    # which moves their last bits: hence a share of the change that should be seen, and no tolerance of its own.
    noise = 0.02 * min(reach.values())
    failed = [reason for reason, change in reach.items() if change == 0.0]
    return next(iter([*failed, *(reason for reason, change in leaks.items() if change > noise)]), None)


def _change(lm: LoadedModel, rule: AttentionRule, changed: int, asked: list[int], padding: int = 0) -> float:
    """Return by how much another token in one column moves the logits of the asked columns.

    The two inputs go through separate forwards of one shape, so that equal means bit for bit, whatever the dtype.
    """
    columns = _COLUMNS + padding
    ids = torch.arange(columns, device=lm.device)[None] % (lm.vocab_size - 1)
    other = ids.clone()
    other[0, changed] = lm.vocab_size - 1
    segment = torch.zeros_like(ids)
    segment[:, _COLUMNS:] = PAD
    position = torch.arange(columns, device=lm.device)[None]
    where = Columns(position=position, segment=segment, block=segment, stream=torch.zeros_like(ids))
    # A shifted model answers for column c from the state at c - 1, which is what must or must not move.
    place = [c + 1 if lm.facts.shift else c for c in asked]
    before, after = (_states(lm, Query(ids=i, columns=where, rule=rule), place) for i in (ids, other))
    return float((before - after).abs().max())


def _states(lm: LoadedModel, query: Query, columns: list[int]) -> Tensor:
    at = torch.tensor([[0, column] for column in columns], device=lm.device)
    return lm.logits(query, at)
