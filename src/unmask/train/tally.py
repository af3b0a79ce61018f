"""What a training step has seen, by noise level and by block: sums on the device, which are read once a step."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unmask.core.attention import CLEAN, PAD
from unmask.core.batch import Batch
from unmask.core.protocols import Noised, Scored

BINS = 8
"""Noise levels are told apart in so many equal bins; the first is 0 < t <= 1/8."""
BLOCKS = 8
"""Blocks of an answer that are told apart; the last of them stands for all later ones, too."""
SIZE = 2 * (BINS + BLOCKS) + 2
"""Numbers that ``tally`` returns."""


@torch.no_grad()
def tally(batch: Batch, noised: Noised, scored: Scored, *, mask_id: int) -> Float[Tensor, " SIZE"]:
    """Return sums over a batch, from which ``shown`` computes means; nothing waits for the device.

    Counted are predictions of hidden tokens that the loss gives a weight other than 0.

    Args:
        batch: the clean text.
        noised: what the model read of it.
        scored: what it predicted.
        mask_id: token that stands for "hidden".

    Returns:
        On the device of the batch: nats by noise level, predictions by noise level, nats by block, predictions by
        block, mask tokens among the columns that are not context, and those columns.
    """
    nll, counts = scored.nll.detach().float(), (noised.weight != 0) & (noised.noise_level > 0)
    level = (noised.noise_level * BINS).ceil().long() - 1
    sums = [*_by(level, counts, nll, BINS)]
    if noised.offset is None:
        sums += [torch.zeros(BLOCKS, device=nll.device)] * 2
    else:
        lead = batch.lead[noised.example]
        block = torch.where(noised.offset < 0, -1, (noised.offset + lead) // batch.block_size)
        sums += _by(block, counts & (block >= 0), nll, BLOCKS)
    columns = noised.query.columns
    is_open = (columns.stream != CLEAN) & (columns.segment != PAD)
    is_masked = is_open & (noised.query.ids == mask_id)
    return torch.cat([*sums, torch.stack([is_masked.sum(), is_open.sum()]).float()])


def shown(total: Float[Tensor, " SIZE"]) -> dict[str, object]:
    """Return the means of summed tallies by name, as JSON types.

    Args:
        total: the sum over the micro-batches and processes of a step.

    Returns:
        ``nll_by_noise_level`` and ``nll_by_block``, nats a prediction, None where there was none; ``masked_share``. A
        name is left out where nothing was counted at all.
    """
    nats, predictions, of_blocks, in_blocks, (masked, columns) = (
        part.tolist() for part in total.split([BINS, BINS, BLOCKS, BLOCKS, 2])
    )
    found: dict[str, object] = {}
    for name, sums, counts in (
        ("nll_by_noise_level", nats, predictions),
        ("nll_by_block", of_blocks, in_blocks),
    ):
        if any(counts):
            found[name] = [round(x / n, 6) if n else None for x, n in zip(sums, counts, strict=True)]
    if columns:
        found["masked_share"] = round(masked / columns, 6)
    return found


def as_scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """Return a line of metrics for experiment trackers, which take numbers only.

    Args:
        line: of ``metrics.jsonl``.

    Returns:
        The numbers under transformers' names; a list as one number for each entry that is not None, such as
        ``nll/noise_0.125`` (the bin that ends there) and ``nll/block_0``.
    """
    found: dict[str, float] = {}
    for name, value in line.items():
        if name == "nll_by_noise_level":
            found |= {f"nll/noise_{(i + 1) / BINS:g}": x for i, x in enumerate(value) if x is not None}
        elif name == "nll_by_block":
            found |= {f"nll/block_{i}": x for i, x in enumerate(value) if x is not None}
        elif isinstance(value, (int, float)) and name != "step":
            found["learning_rate" if name == "lr" else name] = value
    return found


def _by(
    index: Int[Tensor, " K"], counts: Tensor, nll: Float[Tensor, " K"], size: int
) -> tuple[Float[Tensor, " S"], Float[Tensor, " S"]]:
    """Return the sum of ``nll`` and the number of predictions for each index below ``size``, at least the last one."""
    # No scatter: on CUDA its order of summation varies, and bincount waits for the device.
    is_of = (index.clamp(max=size - 1)[:, None] == torch.arange(size, device=nll.device)) & counts[:, None]
    return torch.where(is_of, nll[:, None], 0.0).sum(0), is_of.sum(0).float()
