"""Blockwise SFT: supervise one block, keep what comes before clean, hide what comes after."""

from dataclasses import fields
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Float64, Int
from pydantic import BeforeValidator, Field
from torch import Tensor

from unmask.attention import Attention
from unmask.canvas import Batch
from unmask.config import part, resolver
from unmask.errors import UserError
from unmask.losses import Normaliser
from unmask.objectives.base import OBJECTIVES, bernoulli, sized
from unmask.objectives.masking import Hidden, Masking, keep_settings_outside
from unmask.objectives.region import Region
from unmask.objectives.streams import every_block, refuse_streams
from unmask.seeds import Draws
from unmask.types import Denoiser, Noised, Scored, Traits, Want


@OBJECTIVES.register("blockwise")
@part
class Blockwise(Masking):
    """Train the very conditional that block decoding uses (Blockwise SFT, arXiv 2508.19529).

    The response is cut into blocks of S anchored at its first token. Draw an active block a ~ q and t ~ U(eps, 1);
    m_i ~ Bernoulli(t) inside the block; everything before it is clean, everything after it is hidden; only masked
    tokens of the block are asked. With A blocks in a response of n tokens:

    - ``per_masked``: mean over examples of the mean CE over the block's masked tokens (the released code).
    - ``elbo``: CE_i / (q(a) t), unbiased for the sum over blocks of the block ELBOs; divided by ``normaliser``.

    Args:
        block_size: S; decode with the same. None: the model's, else 32.
        blocks: ``one`` drawn block of each response, or ``all`` of them in one step, which has no factor 1/q.
        layout: how ``all`` blocks are read: as ``views`` (a row for each block: exact for every model, A times the
            tokens), or in ``two_streams`` (a clean copy and noisy blocks in one row, at most twice the tokens: exact
            for models that decode with an exact block cache, and makes the model block-causal).
        choose: the active block ``uniform`` (q = 1/A) or in proportion to its ``length`` (q = |a| / n).
        weighting: see above.
        normaliser: denominator of ``elbo``: the mean over examples of their per-token losses, or over all tokens.
        inner: the method that chooses or weighs tokens inside the active block; None: each hidden with probability t.
        eps: smallest noise level.
        stratified: spread t evenly over neighbouring examples.
        prefix_noise: share of earlier response tokens that are hidden too (never asked); the paper's ablation.
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
    inner: Annotated[Any, BeforeValidator(lambda v: v if v is None else resolver(OBJECTIVES)(v))] = None
    prefix_noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    suffix_visibility: Annotated[float, Field(ge=0, le=1)] = 0.0
    padding: Literal["canvas", "released"] = "canvas"
    tail: Literal["hidden"] = "hidden"

    def __post_init__(self) -> None:
        if self.blocks == "all" and self.choose != "uniform":
            raise UserError("choose: says how one block is drawn, but blocks is 'all'; leave it out")
        if self.layout == "two_streams":
            self._check_streams()
        if self.inner is not None:
            self._check_inner()

    def _check_streams(self) -> None:
        if self.blocks != "all":
            raise UserError("layout: two_streams reads all blocks at once; write blocks: all beside it")
        if self.prefix_noise or self.suffix_visibility or self.padding != "canvas":
            raise UserError(
                "layout: in two_streams the context is clean by construction; "
                "prefix_noise, suffix_visibility and padding: released need layout: views"
            )
        if getattr(self.inner, "reads_context", False):
            raise UserError(
                f"inner: {self.inner.name} weighs tokens by what is visible, and in two_streams each block sees "
                "something else; write layout: views"
            )

    def _check_inner(self) -> None:
        inner, fits = self.inner, isinstance(self.inner, Masking)
        has_blocks = fits and any(f.name == "block_size" for f in fields(inner))
        if not fits or has_blocks or inner.attention is not None or inner.asks_more:
            raise UserError(
                f"inner: expected a method that chooses or weighs tokens (lift, gift, cart, papl, vanilla), found "
                f"{getattr(self.inner, 'name', self.inner)!r}, which asks its questions itself"
            )
        keep_settings_outside(self.inner, "blockwise", "normaliser", "stratified", "tail")
        if self.eps != Masking.eps:
            raise UserError("eps: the inner method draws t; write inner.eps")

    @property
    def denominator(self) -> Normaliser:
        """The mean over each group's masked tokens, or as ``normaliser`` says."""
        return "per_masked_row" if self.weighting == "per_masked" else self.normaliser

    @property
    def least_level(self) -> float:
        """The inner method's, if there is one."""
        return self.inner.least_level if self.inner else self.eps

    @property
    def selects_late(self) -> bool:
        """As the inner method."""
        return bool(self.inner and self.inner.selects_late)

    @property
    def attention(self) -> Attention | None:
        """Two streams make a model block-causal."""
        return "block_causal" if self.layout == "two_streams" else None

    @property
    def want(self) -> tuple[Want, ...]:
        """What the inner method wants."""
        return self.inner.want if self.inner else ()

    def refuses(self, traits: Traits) -> str | None:
        """Two streams repeat positions; otherwise any model will do."""
        return refuse_streams(self.name, traits) if self.layout == "two_streams" else None

    def regions(self, batch: Batch, *, draws: Draws, progress: float) -> list[Region]:
        """The active block of every example; or all blocks, as views or in two streams."""
        if self.block_size is None:
            return sized(self, batch.block_size).regions(batch, draws=draws, progress=progress)
        length = batch.filled_length if self.padding == "canvas" else batch.text_length
        if self.blocks == "one":
            active, inverse_q = self._choose_block(draws, batch.order, length)
            level = self._level(draws, batch.order)
            importance = inverse_q if self.weighting == "elbo" else torch.ones_like(inverse_q)
            share = torch.ones_like(importance)
            return [self._view(batch, draws, active, length=length, level=level, importance=importance, share=share)]
        is_mean = self.weighting == "per_masked"
        if self.layout == "two_streams":
            return [every_block(batch, draws, length=length, stratified=self.stratified, mean=is_mean)]
        return self._views(batch, draws, length=length, is_mean=is_mean)

    def hide(self, region: Region, *, model: Denoiser, draws: Draws) -> Hidden:
        """Let the inner method choose."""
        method = self.inner.hide if self.inner else super().hide
        return method(region, model=model, draws=draws)

    def weigh(self, region: Region, hidden: Hidden, *, by_t: bool) -> Float[Tensor, " K"]:
        """Let the inner method weigh."""
        method = self.inner.weigh if self.inner else super().weigh
        return method(region, hidden, by_t=by_t)

    def loss(self, scored: Scored, noised: Noised) -> Float[Tensor, ""]:
        """Let the inner method sum."""
        method = self.inner.loss if self.inner else super().loss
        return method(scored, noised)

    def _level(self, draws: Draws, *keys: Int[Tensor, " E"]) -> Float64[Tensor, " E"]:
        return (draws.stratified if self.stratified else draws.uniform)("t", *keys)

    def _view(
        self,
        batch: Batch,
        draws: Draws,
        active: Int[Tensor, " E"],
        *,
        length: Int[Tensor, " E"],
        level: Float64[Tensor, " E"],
        importance: Float[Tensor, " E"],
        share: Float[Tensor, " E"],
    ) -> Region:
        """One block of every example is active."""
        is_response = batch.is_canvas & (batch.offset < batch.spread(length))
        block, now = batch.offset // self.block_size, batch.spread(active)
        is_active = is_response & (block == now)
        is_dirty_prefix = is_response & (block < now) & bernoulli(draws, "prefix", batch, self.prefix_noise)
        is_suffix = batch.is_canvas & (block > now)
        if self.padding == "released":
            is_suffix = is_suffix & is_response
        is_hidden_suffix = is_suffix & ~bernoulli(draws, "suffix", batch, self.suffix_visibility)
        return Region(
            batch=batch,
            is_response=is_active,
            is_hidden=is_dirty_prefix | is_hidden_suffix,
            settled=~batch.is_canvas | (block < now),
            group=torch.where(is_active, batch.owner, -1),
            example=torch.arange(len(active), device=active.device),
            block=active,
            level=level,
            importance=importance,
            share=share,
            length=length,
            columns=float(batch.ids.numel()),
        )

    def _views(self, batch: Batch, draws: Draws, *, length: Int[Tensor, " E"], is_mean: bool) -> list[Region]:
        """A view for each block; examples without that block stand aside, and rows of such examples are left out."""
        blocks = torch.ceil(length / self.block_size).clamp(min=1).long()
        views = []
        for number in range(int(blocks.max())):
            exists = blocks > number
            rows = (batch.spread(exists) & ~batch.is_pad).any(1).nonzero().squeeze(1)
            active = torch.full_like(blocks, number)
            share = torch.where(exists, 1 / blocks.float(), 0.0)
            views.append(
                self._view(
                    batch.rows(rows), draws, active, length=length, level=self._level(draws, batch.order, active),
                    importance=torch.ones_like(share) if is_mean else blocks.float(), share=share,
                )
            )  # fmt: skip
        return views

    def _choose_block(
        self, draws: Draws, order: Int[Tensor, " E"], length: Int[Tensor, " E"]
    ) -> tuple[Int[Tensor, " E"], Float[Tensor, " E"]]:
        """Return the active block of each example and 1/q of it."""
        uniform = draws.uniform("block", order)
        blocks = torch.ceil(length / self.block_size).clamp(min=1)
        if self.choose == "uniform":
            return (uniform * blocks).long(), blocks.double()
        active = (uniform * length).long() // self.block_size
        size = (length - active * self.block_size).clamp(max=self.block_size)
        return active, length / size.clamp(min=1)
