"""Blockwise SFT: supervise one block, keep what comes before clean, hide what comes after."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Float64, Int
from pydantic import BeforeValidator, Field, SkipValidation
from torch import Tensor

from unmask.config.components import InvalidConfigError, choose, chooses, component
from unmask.core.batch import Batch
from unmask.core.random import Draws
from unmask.errors import UserError
from unmask.objectives.base import OBJECTIVES, Composition, Reduce, Region, Schedule, Scope
from unmask.objectives.masking import Masking, Response, bernoulli
from unmask.objectives.streams import Streams


@dataclass(frozen=True, kw_only=True)
class ActiveBlocks(Scope):
    """One drawn block of every response, or each block in a view of its own; all is read in place.

    Args:
        block_size: columns of a block, S; None: the batch's own.
        blocks: ``one`` drawn block of each response, or ``all``, a region for each.
        choose: the one block ``uniform``, or in proportion to its ``length``.
        prefix_noise: share of earlier response tokens that are hidden too, and never queried.
        suffix_visibility: share of later canvas tokens that are left visible.
        padding: ``canvas`` hides the tail; ``released`` shows the filler after the answer, and does not train it.
    """

    block_size: int | None
    blocks: Literal["one", "all"]
    choose: Literal["uniform", "length"]
    prefix_noise: float
    suffix_visibility: float
    padding: Literal["canvas", "released"]

    def regions(self, batch: Batch, schedule: Schedule, *, draws: Draws, progress: float) -> Sequence[Region]:
        """Return one region with the active block of every example, or a region for each block."""
        del progress
        batch = replace(batch, block_size=self.block_size or batch.block_size)
        length = batch.filled_length if self.padding == "canvas" else batch.text_length
        if self.blocks == "all":
            return self._views(batch, schedule, draws, length)
        active, inverse_q = self._choose_block(draws, batch, length)
        return [
            self._view(
                batch, schedule, draws, active, length=length, u=schedule.draw(draws, batch.order),
                importance=inverse_q, share=torch.ones_like(inverse_q),
            )
        ]  # fmt: skip

    def _view(
        self,
        batch: Batch,
        schedule: Schedule,
        draws: Draws,
        active: Int[Tensor, " E"],
        *,
        length: Int[Tensor, " E"],
        u: Float64[Tensor, " E"],
        importance: Float[Tensor, " E"],
        share: Float[Tensor, " E"],
    ) -> Region:
        """Return the region in which one block of every example is active."""
        is_response = batch.is_canvas & (batch.offset < batch.spread(length))
        block, now = batch.block, batch.spread(active)
        is_active = is_response & (block == now)
        is_dirty_prefix = is_response & (block < now) & bernoulli(draws, "prefix", batch, self.prefix_noise)
        is_suffix = batch.is_canvas & (block > now)
        if self.padding == "released":
            is_suffix = is_suffix & is_response
        is_hidden_suffix = is_suffix & ~bernoulli(draws, "suffix", batch, self.suffix_visibility)
        return Region(
            batch=batch,
            schedule=schedule,
            is_response=is_active,
            is_hidden=is_dirty_prefix | is_hidden_suffix,
            is_context=(~batch.is_canvas | (block < now)) & ~(batch.is_lead & (now == 0)),
            group=torch.where(is_active, batch.owner, -1),
            example=torch.arange(len(active), device=active.device),
            block=active,
            u=u,
            importance=importance,
            share=share,
            length=length,
            columns=float(batch.ids.numel()),
        )

    def _views(self, batch: Batch, schedule: Schedule, draws: Draws, length: Int[Tensor, " E"]) -> Sequence[Region]:
        """Return a region for each block; examples without that block stand aside, and their rows are left out."""
        blocks = torch.ceil((length + batch.lead) / batch.block_size).clamp(min=1).long()
        views = []
        for number in range(int(blocks.max())):
            exists = blocks > number
            rows = (batch.spread(exists) & ~batch.is_pad).any(1).nonzero().squeeze(1)
            active = torch.full_like(blocks, number)
            views.append(
                self._view(
                    batch.rows(rows), schedule, draws, active, length=length,
                    u=schedule.draw(draws, batch.order, active), importance=blocks.float(),
                    share=torch.where(exists, 1 / blocks.float(), 0.0),
                )
            )  # fmt: skip
        return views

    def _choose_block(
        self, draws: Draws, batch: Batch, length: Int[Tensor, " E"]
    ) -> tuple[Int[Tensor, " E"], Float[Tensor, " E"]]:
        """Return the active block of each example and 1/q of it."""
        uniform = draws.uniform("block", batch.order)
        lead = batch.lead
        blocks = torch.ceil((length + lead) / batch.block_size).clamp(min=1)
        if self.choose == "uniform":
            return (uniform * blocks).long(), blocks.double()
        active = ((uniform * length).long() + lead) // batch.block_size
        start = (active * batch.block_size - lead).clamp(min=0)
        end = torch.minimum((active + 1) * batch.block_size - lead, length)
        return active, length / (end - start).clamp(min=1)


@chooses(OBJECTIVES)
def _resolve(spec: object) -> Masking | None:
    """Return the inner method; one that does more than choose and weigh tokens is refused."""
    method = None if spec is None else choose(OBJECTIVES, spec)
    if method is None or (
        isinstance(method, Masking)
        and isinstance(method.composition.scope, Response)
        and method.composition.supervise is None
    ):
        return method
    raise InvalidConfigError(
        [
            ": expected a method that chooses or weighs tokens (lift, gift, cart, papl, vanilla), found "
            f"{getattr(method, 'name', method)!r}, which queries in its own way"
        ]
    )


@OBJECTIVES.register("blockwise")
@component
class Blockwise(Masking):
    """Train the very conditional that block decoding uses (Blockwise SFT, arXiv 2508.19529).

    The response is cut into blocks of S anchored at its first token. Draw an active block a ~ q and t ~ U(eps, 1);
    m_i ~ Bernoulli(t) inside the block; everything before it is clean, everything after it is hidden; only masked
    tokens of the block are queried. With A blocks in a response of n tokens:

    - ``per_masked``: mean over examples of the mean CE over the block's masked tokens (the released code).
    - ``elbo``: CE_i / (q(a) t), unbiased for the sum over blocks of the block ELBOs; divided by ``normaliser``.

    Args:
        block_size: columns of a block, S; decode with the same. None: the model's, else 32.
        blocks: ``one`` drawn block of each response, or ``all`` of them in one step, which has no factor 1/q.
        layout: how ``all`` blocks are read: as ``views`` (a row for each block: exact for every model, A times the
            tokens), or in ``two_streams`` (a clean copy and noisy blocks in one row, at most twice the tokens: exact
            for models that decode with an exact block cache, and makes the model block-causal).
        choose: the active block ``uniform`` (q = 1/A) or in proportion to its ``length`` (q = |a| / n).
        weighting: ``per_masked`` or ``elbo``, as above.
        normaliser: denominator of ``elbo``: the mean over examples of their per-token losses, or over all tokens.
        hide: which tokens of the active block are hidden; None: each with probability t.
        weight: what each is worth; None: the weight of ``hide``.
        inner: a method whose ``hide``, ``weight`` and ``eps`` are meant, instead of these two.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring examples.
        prefix_noise: share of earlier response tokens that are hidden too (never queried); the paper's ablation.
        suffix_visibility: share of later canvas tokens that are left visible; the paper's ablation.
        padding: ``canvas``: answer, filler to the block boundary (supervised), hidden tail. ``released``: no filler,
            a last block may be short, and the end-of-text tokens after the answer are visible and untrained, which
            tells the model where the answer ends.
        tail: the columns after the answer's last block are always hidden.

    Differs from the paper: Eq. 5 lacks the mask indicator and would train visible tokens to copy themselves; masked
    tokens only, as in the code. Blocks are drawn with replacement. ``elbo`` carries the factor 1/q(a), which the code
    lacks. The canvas replaces visible padding unless ``released``.
    """

    block_size: Annotated[int, Field(ge=1)] | None = None
    blocks: Literal["one", "all"] = "one"
    layout: Literal["views", "two_streams"] = "views"
    choose: Literal["uniform", "length"] = "uniform"
    weighting: Literal["per_masked", "elbo"] = "per_masked"
    normaliser: Literal["per_sequence", "per_token"] = "per_sequence"
    inner: Annotated[SkipValidation[Masking | None], BeforeValidator(_resolve)] = None
    prefix_noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    suffix_visibility: Annotated[float, Field(ge=0, le=1)] = 0.0
    padding: Literal["canvas", "released"] = "canvas"
    tail: Literal["hidden"] = "hidden"

    def __post_init__(self) -> None:
        if self.blocks == "all" and self.choose != "uniform":
            raise UserError("choose: says how one block is drawn, but blocks is 'all'; leave it out")
        if self.layout == "two_streams" and self.blocks != "all":
            raise UserError("layout: two_streams reads all blocks at once; write blocks: all beside it")
        if self.layout == "two_streams" and (self.prefix_noise or self.suffix_visibility or self.padding != "canvas"):
            raise UserError(
                "layout: in two_streams the context is clean by construction; "
                "prefix_noise, suffix_visibility and padding: released need layout: views"
            )
        if self.inner is not None:
            self._check_beside(self.inner)
        super().__post_init__()

    def _check_beside(self, inner: Masking) -> None:
        """Refuse what the inner method decides here, and what is decided here inside it."""
        if self.hide is not None or self.weight is not None:
            raise UserError(
                "inner: brings what is hidden and what it is worth; write hide and weight inside it, or without inner"
            )
        if self.eps != Masking.eps:
            raise UserError("eps: the inner method draws t; write inner.eps")
        defaults = {f.name: f.default for f in fields(inner)}
        for name in ("normaliser", "stratified", "tail"):
            if (found := getattr(inner, name)) != defaults[name]:
                raise UserError(
                    f"inner.{name}: blockwise decides this, found {found!r} inside {inner.name}; leave it out"
                )

    def compose(self) -> Composition:
        """Return the active blocks, with the inner method's components if there is one."""
        inner = None if self.inner is None else self.inner.composition
        views = ActiveBlocks(
            block_size=self.block_size, blocks=self.blocks, choose=self.choose, prefix_noise=self.prefix_noise,
            suffix_visibility=self.suffix_visibility, padding=self.padding,
        )  # fmt: skip
        return self.composed(
            scope=Streams() if self.layout == "two_streams" else views,
            hide=inner.hide if inner else None,
            weight=inner.weight if inner else None,
            schedule=Schedule(eps=inner.schedule.eps if inner else self.eps, stratified=self.stratified),
            reduce=Reduce("per_masked_row" if self.weighting == "per_masked" else self.normaliser),
        )
