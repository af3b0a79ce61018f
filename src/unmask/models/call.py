"""Which arguments the forward of a transformers model uses, found by calling it: signatures accept unused ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from unmask.runtime.transformers_api import FAILURES

_COLUMNS = 4


@dataclass(frozen=True, kw_only=True)
class Call:
    """Arguments that the forward of a model was seen to use.

    Args:
        takes_positions: whether it reads ``position_ids``.
        keeps_rows: whether it takes a boolean [rows, columns] mask as ``logits_to_keep`` and runs its head on those
            columns only; the logits come back as [kept columns, vocabulary].
        takes_use_cache: whether ``use_cache=False`` switches off keys and values of its own.
    """

    takes_positions: bool
    keeps_rows: bool
    takes_use_cache: bool


_CALLS: WeakKeyDictionary[nn.Module, Call] = WeakKeyDictionary()


def learn_call(stock: nn.Module) -> Call:
    """Return which arguments the forward of a model uses, by calling it; remembered for the lifetime of the model.

    An error that the forward raises on plain tokens is not caught.

    Args:
        stock: a transformers model with an LM head, with weights or on the meta device.

    Returns:
        What was seen. On the meta device, where numbers cannot be compared, positions count as read where an operation
        used them.
    """
    if stock not in _CALLS:
        with _undisturbed(stock):
            # Without keys and values of its own: heads that watch the layers would write them twice.
            takes_use_cache = _attempt(stock, use_cache=False) is not None
            plain = {"use_cache": False} if takes_use_cache else {}
            _CALLS[stock] = Call(
                takes_positions=_takes_positions(stock, plain),
                keeps_rows=_keeps_rows(stock, plain),
                takes_use_cache=takes_use_cache,
            )
    return _CALLS[stock]


def share_call(seen: nn.Module, other: nn.Module) -> None:
    """Copy what was seen of one model to another one of its class that has no weights and cannot be called."""
    _CALLS[other] = learn_call(seen)


@contextmanager
def _undisturbed(stock: nn.Module) -> Iterator[None]:
    was_training = stock.training
    stock.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        stock.train(was_training)


def _logits(stock: nn.Module, **options: Any) -> Tensor:
    device = next(stock.parameters()).device
    ids = torch.arange(_COLUMNS, device=device)[None]
    # Any mask keeps transformers from looking for packed documents in the positions. It looks into a padding mask,
    # which it cannot on the meta device.
    shape = (1, 1, _COLUMNS, _COLUMNS) if ids.is_meta else ids.shape
    logits: Tensor = stock(
        input_ids=ids, attention_mask=torch.ones(shape, dtype=torch.bool, device=device), **options
    ).logits
    return logits


def _attempt(stock: nn.Module, **options: Any) -> Tensor | None:
    try:
        return _logits(stock, **options)
    except torch.OutOfMemoryError:
        raise
    except FAILURES:
        return None


def _takes_positions(stock: nn.Module, plain: Mapping[str, Any]) -> bool:
    device = next(stock.parameters()).device
    position = torch.arange(_COLUMNS, device=device)[None]
    if device.type == "meta":
        with _Used(position) as used:
            return _attempt(stock, position_ids=position, **plain) is not None and used.found
    told = _attempt(stock, position_ids=position, **plain)
    if told is None:
        return False
    # Positions that are not numbers change the logits of a model that computes with them, or cannot be looked up.
    spoilt = _attempt(stock, position_ids=torch.full(position.shape, torch.nan, device=device), **plain)
    return spoilt is None or not torch.equal(spoilt, told)


def _keeps_rows(stock: nn.Module, plain: Mapping[str, Any]) -> bool:
    logits = _logits(stock, **plain)
    keep = torch.zeros(logits.shape[:2], dtype=torch.bool, device=logits.device)
    keep[:, 1::2] = True
    kept = _attempt(stock, logits_to_keep=keep, **plain)
    if kept is None or kept.numel() != _COLUMNS // 2 * logits.shape[-1]:
        return False
    if logits.is_meta:
        return True
    difference = (kept.reshape(-1, logits.shape[-1]) - logits[keep]).abs().max()
    return bool(difference <= 0.05 * logits.abs().max())


class _Used(TorchDispatchMode):
    """Records in ``found`` whether any operation takes the given tensor."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tensor, self.found = tensor, False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        self.found |= any(arg is self.tensor for arg in (*args, *(kwargs or {}).values()))
        return func(*args, **(kwargs or {}))
