"""Keys and values of a stock transformers model, in slots: a forward overwrites the columns that it reads, in place."""

import warnings
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.attention import BlockCausal, Columns, may_attend
from unmask.models.checkpoints import first_line
from unmask.query import Past, Query
from unmask.transformers_api import CACHE_ARGUMENTS, FAILURES, Cache, CacheLayerMixin

if TYPE_CHECKING:
    from unmask.models.denoiser import LoadedModel

_COLUMNS, _READ_FIRST = 6, 4


class KeyValues(Cache):
    """A store: for every layer a slot for each (row, column) of a text. Slots are made at the first forward.

    Args:
        layers: of the model.
        rows: of the text.
        columns: of the text.
    """

    def __init__(self, *, layers: int, rows: int, columns: int) -> None:
        super().__init__(layers=[Slots(rows, columns) for _ in range(layers)])

    def reading(self, past: Past | None) -> "KeyValues":
        """Say where the columns of the next forward stand; None: it is over."""
        for layer in self.layers:
            layer.past = past
        return self

    def select(self, rows: Int[Tensor, " R"]) -> None:
        """Keep these rows, in this order."""
        for layer in self.layers:
            layer.select(rows)


class Slots(CacheLayerMixin):
    """One layer's keys and values.

    Args:
        rows: of the text.
        columns: of the text.
    """

    is_sliding = False

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.past: Past | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make the slots. Zeros: what nobody may attend to is still multiplied by a weight of zero."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (
            x.new_zeros(self.rows, x.shape[1], self.columns, x.shape[3]) for x in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Float[Tensor, "R H C D"], Float[Tensor, "R H C D"]]:
        """Write the columns of this forward into their slots; return all that may be attended to."""
        del args, kwargs
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.past is not None  # noqa: S101  # for the type checker
        return _overwrite(self.keys, key_states, self.past), _overwrite(self.values, value_states, self.past)

    def select(self, rows: Int[Tensor, " R"]) -> None:
        """Keep these rows, in this order."""
        self.rows = len(rows)
        if self.is_initialized:
            self.keys, self.values = self.keys[rows], self.values[rows]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return what is attended to, and from where on."""
        return (query_length if self.past is None else self.past.may_attend.shape[2]), 0

    def get_seq_length(self) -> int:
        """Nothing: positions are given, never counted."""
        return 0

    def get_max_length(self) -> int:
        """Return the columns of the text."""
        return self.columns


def _overwrite(slots: Float[Tensor, "B H L D"], new: Float[Tensor, "R H N D"], past: Past) -> Float[Tensor, "R H C D"]:
    width, known, begin = new.shape[2], past.may_attend.shape[2], past.begin
    if past.rows is None and begin is not None:
        slots[:, :, begin : begin + width] = new
    else:
        rows = torch.arange(len(slots), device=slots.device) if past.rows is None else past.rows
        slots[rows[:, None], :, past.place] = new.transpose(1, 2)
    if begin == 0 and width == known:
        return new
    return slots[:, :, :known] if past.rows is None else slots[past.rows, :, :known]


@torch.no_grad()
def find_cache(lm: "LoadedModel") -> tuple[str | None, str]:
    """Try under which argument a model takes keys and values, and whether it then answers as without them.

    It reads six columns at once and in two parts.

    Args:
        lm: whose ``cache_argument`` is set while it is tried, and left at what was found.

    Returns:
        The argument, or None; and then what failed.
    """
    was_training, spent = lm.model.training, lm.meter.totals
    lm.model.eval()  # with recomputed activations, layers in training drop what they are given
    failed = []
    try:
        for lm.cache_argument in CACHE_ARGUMENTS:
            reason = _try(lm)
            if reason is None:
                return lm.cache_argument, ""
            failed.append(f"'{lm.cache_argument}': {reason}")
    finally:
        lm.model.train(was_training)
        lm.meter.take_over(*spent)
    lm.cache_argument = None
    return None, f"{type(lm.stock).__name__} was given keys and values as {'; as '.join(failed)}"


def _try(lm: "LoadedModel") -> str | None:
    """Return why the text that was read in parts is not the text that was read at once, or None."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of the names of arguments, which are on trial here
            whole, (parts, was_written), blind = (read(lm) for read in (_at_once, _in_parts, _without_the_first))
    except torch.OutOfMemoryError:
        raise
    except FAILURES as error:
        return f"its forward fails ({first_line(error)})"
    if not was_written:
        return "it writes none of its own"
    # Rounding moves the logits a little; losing sight of the first part moves them a lot.
    noise = 0.02 if whole.dtype in (torch.float32, torch.float64) else 0.2
    is_same = bool((parts - whole).abs().mean() <= noise * (blind - whole).abs().mean())
    return None if is_same else "it answers otherwise than when it reads the text at once"


def _columns(lm: "LoadedModel") -> tuple[Tensor, Columns]:
    position = torch.arange(_COLUMNS, device=lm.device)[None]
    zero = torch.zeros_like(position)
    block = (position >= _READ_FIRST).long()
    return position % lm.vocab_size, Columns(position=position, segment=zero, block=block, stream=zero)


def _ask(lm: "LoadedModel", begin: int, end: int, past: Past | None = None) -> Tensor:
    ids, columns = _columns(lm)
    query = Query(ids=ids[:, begin:end], columns=columns[:, begin:end], rule=BlockCausal(), past=past)
    return lm.logits(query, torch.tensor([[0, end - begin - 1]], device=lm.device))


def _at_once(lm: "LoadedModel") -> Tensor:
    return _ask(lm, 0, _COLUMNS)


def _without_the_first(lm: "LoadedModel") -> Tensor:
    return _ask(lm, _READ_FIRST, _COLUMNS)


def _in_parts(lm: "LoadedModel") -> tuple[Tensor, bool]:
    layers = lm.stock.config.get_text_config().num_hidden_layers
    store = KeyValues(layers=layers, rows=1, columns=_COLUMNS)
    _, columns = _columns(lm)
    for begin, end in ((0, _READ_FIRST), (_READ_FIRST, _COLUMNS)):
        may = may_attend(BlockCausal(), columns[:, begin:end], columns[:, :end])
        logits = _ask(lm, begin, end, Past(store=store, place=columns.position[:, begin:end], may_attend=may))
    return logits, all(layer.is_initialized for layer in store.layers)
