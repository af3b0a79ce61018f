"""Attention rules of texts in several streams or views: clean and noisy copies, anchored blocks, shadows."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from unmask.core.attention import BIDIRECTIONAL, CLEAN, SHADOW, AttentionRule, BlockCausal, Columns


@dataclass(frozen=True)
class Causal:
    """Everyone sees the past and itself (autoregressive models).

    Three columns::

        1 0 0
        1 1 0
        1 1 1
    """

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Return whether the key column is at the query column's position or an earlier one."""
        return k.position <= q.position


@dataclass(frozen=True)
class BlockDiffusion:
    """Two streams: a noisy block sees itself and the clean blocks before it (BD3LM, arXiv 2503.09573, App. B.6).

    The clean stream is block-causal and never sees the noisy one. On single-stream text whose finished blocks are
    ``CLEAN`` the active block sees what it saw in training: decoding and training share this rule.

    Two clean blocks of two, then their noisy copies::

        1 1 0 0  0 0 0 0
        1 1 0 0  0 0 0 0
        1 1 1 1  0 0 0 0
        1 1 1 1  0 0 0 0
        0 0 0 0  1 1 0 0
        0 0 0 0  1 1 0 0
        1 1 0 0  0 0 1 1
        1 1 0 0  0 0 1 1
    """

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Return whether k is seen: by clean q up to its block; by noisy q its noisy block and earlier clean ones."""
        return _two_streams(q, k, k.block <= q.block)


@dataclass(frozen=True)
class ContextCausal:
    """``BlockDiffusion`` with a clean stream that is causal token by token (NBDiff, arXiv 2512.06776).

    So clean states are those of an autoregressive model. Two clean blocks of two, then their noisy copies::

        1 0 0 0  0 0 0 0
        1 1 0 0  0 0 0 0
        1 1 1 0  0 0 0 0
        1 1 1 1  0 0 0 0
        0 0 0 0  1 1 0 0
        0 0 0 0  1 1 0 0
        1 1 0 0  0 0 1 1
        1 1 0 0  0 0 1 1

    Args:
        grid: size of blocks that are counted from the start of the text, prompt included; None: from the answer.
    """

    grid: int | None = None

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Return whether k is seen: by clean q up to itself; by noisy q its noisy block and earlier clean ones."""
        return _two_streams(q, k, k.position <= q.position)


def _two_streams(q: Columns, k: Columns, clean_sees: Bool[Tensor, "..."]) -> Bool[Tensor, "..."]:
    q_clean, k_clean = q.stream == CLEAN, k.stream == CLEAN
    noisy_sees = torch.where(k_clean, k.block < q.block, k.block == q.block)
    return torch.where(q_clean, k_clean & clean_sees, noisy_sees)


@dataclass(frozen=True)
class Anchored:
    """A causal clean text, and blocks that see themselves and what stands before their anchor (SDLM, arXiv 2509.24007).

    Five clean columns, blocks of two anchored at positions 2 and 3::

        1 0 0 0 0  0 0 0 0
        1 1 0 0 0  0 0 0 0
        1 1 1 0 0  0 0 0 0
        1 1 1 1 0  0 0 0 0
        1 1 1 1 1  0 0 0 0
        1 1 0 0 0  1 1 0 0
        1 1 0 0 0  1 1 0 0
        1 1 1 0 0  0 0 1 1
        1 1 1 0 0  0 0 1 1

    Args:
        causal_blocks: inside a block, too, see only what stands before.
    """

    causal_blocks: bool = False

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Return whether k is seen: by clean q clean k up to itself; by a block itself and what precedes its anchor."""
        q_clean, k_clean = q.stream == CLEAN, k.stream == CLEAN
        inside = k.block == q.block
        if self.causal_blocks:
            inside = inside & (k.position <= q.position)
        # The anchor's own clean column is not seen: the block holds a copy of it.
        block_sees = torch.where(k_clean, k.position < q.block, inside)
        return torch.where(q_clean, k_clean & (k.position <= q.position), block_sees)


@dataclass(frozen=True)
class Shadowed:
    """Another rule, plus shadows that only shadows see; a shadow does not see its own column (WINO, arXiv 2507.18578).

    A shadow has the position of its column. Three columns, then shadows of the last two::

        1 1 1 0 0
        1 1 1 0 0
        1 1 1 0 0
        1 0 1 1 1
        1 1 0 1 1

    Args:
        rule: of the text; a shadow sees by it what its column would.
    """

    rule: AttentionRule = BIDIRECTIONAL

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "..."]:
        """Return what ``rule`` allows, except that text sees no shadow and a shadow does not see its own column."""
        q_shadow, k_shadow = q.stream == SHADOW, k.stream == SHADOW
        is_own = q_shadow & ~k_shadow & (q.position == k.position)
        return self.rule.allows(q, k) & (q_shadow | ~k_shadow) & ~is_own


@dataclass(frozen=True, eq=False)
class PerRow:
    """Rows that follow different rules: several methods in one forward.

    Args:
        rules: the rules.
        which: index into ``rules`` for each row.
    """

    rules: tuple[AttentionRule, ...]
    which: Int[Tensor, " R"]

    def allows(self, q: Columns, k: Columns) -> Bool[Tensor, "R ..."]:
        """Return whether k is seen by q, by the rule of each row; the first axis of the columns is the rows."""
        which = self.which.view(-1, *[1] * (q.position.dim() - 1))
        allowed = self.rules[0].allows(q, k)
        for index, rule in enumerate(self.rules[1:], 1):
            allowed = torch.where(which == index, rule.allows(q, k), allowed)
        return allowed


ATTENTION: Mapping[str, AttentionRule] = MappingProxyType(
    {
        "bidirectional": BIDIRECTIONAL,
        "block_causal": BlockCausal(),
        "context_causal": ContextCausal(),
        "causal": Causal(),
    }
)
