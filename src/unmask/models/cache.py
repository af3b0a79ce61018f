"""Keys and values of a transformers model in preallocated slots: a forward overwrites the columns that it reads."""

from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.core.query import Past
from unmask.runtime.transformers_api import Cache, CacheLayerMixin


class KeyValues(Cache):
    """Keys and values of every layer, with a slot for each (row, column) of a text, allocated at the first forward.

    Args:
        layers: of the model.
        rows: of the text.
        columns: of the text.
    """

    def __init__(self, *, layers: int, rows: int, columns: int) -> None:
        self.slots = [Slots(rows, columns) for _ in range(layers)]
        super().__init__(layers=[*self.slots])

    def reading(self, past: Past | None) -> "KeyValues":
        """Return this store, set up for the next forward's columns; ``past`` is None when the forward is over."""
        for layer in self.slots:
            layer.past = past
        return self

    def select(self, rows: Int[Tensor, " R"]) -> None:
        """Reduce every layer to the rows with these indices, in this order."""
        for layer in self.slots:
            layer.select(rows)


class Slots(CacheLayerMixin):
    """One layer's keys and values, each [rows, heads, columns, width].

    Args:
        rows: of the text.
        columns: of the text.
    """

    is_sliding = False

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows, self.columns = rows, columns
        self.past: Past | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate the slots, filled with zeros: a masked column is still multiplied by its weight of zero.

        Args:
            key_states: keys of the first forward, whose shape, dtype and device the slots take.
            value_states: its values.
        """
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (
            x.new_zeros(self.rows, x.shape[1], self.columns, x.shape[3]) for x in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Float[Tensor, "R H C D"], Float[Tensor, "R H C D"]]:
        """Write the columns of a forward into their slots.

        Args:
            key_states: keys of the columns that are read, [R, H, N, D].
            value_states: their values, [R, H, N, D].
            *args: not used; transformers passes them.
            **kwargs: not used; transformers passes them.

        Returns:
            Keys and values of all columns that may be attended to, [R, H, C, D] each.
        """
        del args, kwargs
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.past is not None  # noqa: S101  # for the type checker
        keys, values = cast("Tensor", self.keys), cast("Tensor", self.values)
        return _overwrite(keys, key_states, self.past), _overwrite(values, value_states, self.past)

    def select(self, rows: Int[Tensor, " R"]) -> None:
        """Reduce the slots to the rows with these indices, in this order."""
        self.rows = len(rows)
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[rows], self.values[rows]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many columns may be attended to, and the first of them, which is 0."""
        return (query_length if self.past is None else self.past.may_attend.shape[2]), 0

    def get_seq_length(self) -> int:
        """Return 0, however many columns were read: positions are passed to the model, never counted by it."""
        return 0

    def get_max_length(self) -> int:
        """Return how many columns the text has."""
        return self.columns


def _overwrite(slots: Float[Tensor, "B H L D"], new: Float[Tensor, "R H N D"], past: Past) -> Float[Tensor, "R H C D"]:
    width, known, begin = new.shape[2], past.may_attend.shape[2], past.begin
    if past.rows is None and begin is not None:
        slots[:, :, begin : begin + width] = new
    else:
        rows = torch.arange(len(slots), device=slots.device) if past.rows is None else past.rows
        slots[rows[:, None], :, past.column] = new.transpose(1, 2)
    if begin == 0 and width == known:
        return new
    return slots[:, :, :known] if past.rows is None else slots[past.rows, :, :known]
