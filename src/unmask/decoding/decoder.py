"""A decoder is a value: a choice of components."""

import math
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field, SkipValidation

from unmask.config.components import choose, component, resolver
from unmask.config.defaults import resolve_block_size, resolve_grid
from unmask.config.registry import name_of
from unmask.core.attention import Grid, LastBlock
from unmask.decoding.interfaces import (
    BLOCK_RULES,
    CACHES,
    CONSTRAINTS,
    PROPOSALS,
    REVISIONS,
    SEARCHES,
    SELECTIONS,
    STOPS,
    VIEWS,
    BlockRule,
    CachePolicy,
    Constraint,
    Proposal,
    Revision,
    Search,
    Selection,
    Stop,
    View,
)
from unmask.decoding.scores import Limit
from unmask.errors import UserError

Spec = str | Mapping[str, object]
"""A component by its name, or by ``{name: …, fields}``."""


@component
class Decoder:
    """How a canvas is filled. Each component is a value, a name, or ``{name: …, fields}``.

    Args:
        block_size: columns of a block, S of the ``fixed`` block rule; None takes the size that the model was trained
            with, else 32.
        grid: where the ``fixed`` block rule counts from, the first token of the ``answer`` or of the whole ``text``;
            None counts as the model was trained. In a recipe, training counts likewise.
        steps: forwards for the whole canvas under the selections ``quota`` and ``dream``; None is one token a step.
        threshold: confidence from which a token is written, of the ``threshold`` selection; giving it selects that one.
        temperature: 0 is greedy; above, Gumbel sampling.
        selection: which open positions are written now; default ``threshold`` if one is given, else that of the
            revision, else ``quota``.
        proposal: logits to tokens; default by ``temperature``.
        blocks: how the canvas is cut into blocks: ``fixed``, ``whole``, or cut on the predictions.
        last_block: of a canvas that ends inside a block: ``whole`` fills the canvas up to the end of the block and cuts
            the answer afterwards, ``cut`` shows the model a shorter block. Default: that of the model, but ``cut``
            under a constraint, which has to see where the answer ends. Blanks in given texts are always ``cut``.
        revision: which written tokens are taken back or replaced.
        stop: ``eos`` or ``never``.
        cache: ``none``, ``block``, ``prefix`` or ``dual``; default: the fastest that changes nothing.
        constraint: what the text must be.
        search: decoding each prompt in several rows: ``none``, ``best_of`` or ``smc``.
        view: what the model reads; default that of the revision, else ``soft_mask`` for models that were trained with
            soft masks, else ``canvas``.
    """

    block_size: Annotated[int, Field(ge=1)] | None = None
    grid: Grid | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    threshold: Limit | None = None
    temperature: Annotated[float, Field(ge=0)] = 0.0
    selection: Annotated[Selection | Spec | None, SkipValidation, BeforeValidator(resolver(SELECTIONS))] = None
    proposal: Annotated[Proposal | Spec | None, SkipValidation, BeforeValidator(resolver(PROPOSALS))] = None
    blocks: Annotated[BlockRule | Spec, SkipValidation, BeforeValidator(resolver(BLOCK_RULES))] = "fixed"
    last_block: LastBlock | None = None
    revision: Annotated[Revision | Spec, SkipValidation, BeforeValidator(resolver(REVISIONS))] = "none"
    stop: Annotated[Stop | Spec, SkipValidation, BeforeValidator(resolver(STOPS))] = "eos"
    cache: Annotated[CachePolicy | Spec | None, SkipValidation, BeforeValidator(resolver(CACHES))] = None
    view: Annotated[View | Spec | None, SkipValidation, BeforeValidator(resolver(VIEWS))] = None
    constraint: Annotated[Constraint | Spec, SkipValidation, BeforeValidator(resolver(CONSTRAINTS))] = "none"
    search: Annotated[Search | Spec, SkipValidation, BeforeValidator(resolver(SEARCHES))] = "none"

    def __post_init__(self) -> None:
        of_rule = choose(BLOCK_RULES, self.blocks).block_size
        if self.block_size and of_rule and self.block_size != of_rule:
            raise UserError(
                f"block_size={self.block_size} and blocks.block_size={of_rule}: expected one size; leave one out"
            )
        self._check_grid()

    def _check_grid(self) -> None:
        """Refuse a grid beside a block rule that has none, or another one."""
        rule = choose(BLOCK_RULES, self.blocks)
        if self.grid and not hasattr(rule, "grid"):
            raise UserError(
                f"grid={self.grid} beside the block rule '{name_of(rule)}': expected the rule 'fixed', the only one "
                "that counts blocks; leave one out"
            )
        of_rule = getattr(rule, "grid", None)
        if self.grid and of_rule and self.grid != of_rule:
            raise UserError(f"grid={self.grid} and blocks.grid={of_rule}: expected one grid; leave one out")

    @property
    def own_block_size(self) -> int | None:
        """Block size that the decoder or its block rule names, in columns; None leaves it to the model."""
        return self.block_size or choose(BLOCK_RULES, self.blocks).block_size

    @property
    def own_grid(self) -> Grid | None:
        """Where the decoder or its block rule counts blocks from; None leaves it to the model."""
        grid: Grid | None = self.grid or getattr(choose(BLOCK_RULES, self.blocks), "grid", None)
        return grid

    def resolve(
        self,
        *,
        trained_block_size: int | None = None,
        heads: Container[str] = (),
        exact_cache: str = "none",
        grid: Grid = "answer",
        last_block: LastBlock = "cut",
    ) -> "ResolvedDecoder":
        """Return the components that the loop runs, with names and defaults resolved.

        A UserError is raised if two settings contradict each other, or a cache cannot serve the view or the revision.

        Args:
            trained_block_size: of the model; decides where nothing else does.
            heads: names of the model's heads.
            exact_cache: the fastest cache that changes nothing for the model; used where none is named.
            grid: where the model's blocks are counted from.
            last_block: how the model's released sampler decodes the last block of a canvas.

        Returns:
            The resolved decoder.
        """
        size = resolve_block_size(decoder=self.own_block_size, model=trained_block_size)
        constraint = choose(CONSTRAINTS, self.constraint)
        revision = choose(REVISIONS, self.revision)
        view = self._view(revision, heads)
        return ResolvedDecoder(
            block_size=size,
            steps=self.steps,
            selection=self._selection(revision),
            proposal=self._proposal(),
            blocks=choose(BLOCK_RULES, self.blocks).sized(size, resolve_grid(decoder=self.own_grid, model=grid)),
            last_block=self._last_block(constraint, last_block),
            revision=revision,
            stop=choose(STOPS, self.stop),
            cache=self._cache(revision, view, exact_cache),
            view=view,
            constraint=constraint,
            search=choose(SEARCHES, self.search),
        )

    def _last_block(self, constraint: Constraint, of_model: LastBlock) -> LastBlock | None:
        """Return whether the last block is whole; None, as in records before there was a choice, where all is cut."""
        if name_of(constraint) == "none":
            chosen = self.last_block or of_model
            return None if chosen == of_model == "cut" else chosen
        if self.last_block == "whole":
            raise UserError(
                f"last_block 'whole' beside the constraint '{name_of(constraint)}': expected 'cut', as an answer that "
                "is cut afterwards need not match; leave last_block out"
            )
        return None if of_model == "cut" else "cut"

    def _view(self, revision: Revision, heads: Container[str]) -> View:
        if self.view is None or not revision.view:
            return choose(VIEWS, self.view or revision.view or ("soft_mask" if "soft_mask" in heads else "canvas"))
        view = choose(VIEWS, self.view)
        if name_of(view) != revision.view:
            raise UserError(
                f"view '{name_of(view)}' beside the revision '{name_of(revision)}': expected the view "
                f"'{revision.view}', which it reads; leave the view out"
            )
        return view

    def _cache(self, revision: Revision, view: View, exact_cache: str) -> CachePolicy:
        """Return the cache; ``none`` beside a head, which needs whole rows as it hears only what a forward reads."""
        if not revision.head and not view.lays_out:
            return choose(CACHES, self.cache or exact_cache)
        if self.cache is not None and name_of(self.cache) != "none":
            why = (
                f"the revision '{name_of(revision)}', which reads the head '{revision.head}' at every written position"
                if revision.head
                else f"the view '{name_of(view)}', which lays the text out anew at every step"
            )
            raise UserError(
                f"cache '{name_of(self.cache)}' beside {why}: expected the cache 'none'; leave the cache out"
            )
        return choose(CACHES, "none")

    def _proposal(self) -> Proposal:
        if self.proposal is None:
            return choose(PROPOSALS, {"name": "gumbel", "temperature": self.temperature})
        if self.temperature:
            raise UserError(
                f"temperature={self.temperature} beside a proposal: expected one of them; write the temperature "
                "into the proposal, {name: gumbel, temperature: …}"
            )
        return choose(PROPOSALS, self.proposal)

    def _selection(self, revision: Revision) -> Selection:
        if self.threshold is None:
            implied = choose(SELECTIONS, revision.selection or "quota")
            is_fixed = isinstance(revision.selection, Mapping) and name_of(self.selection) == name_of(revision)
            if is_fixed and self.selection != implied:
                raise UserError(
                    f"selection '{name_of(revision)}' beside the revision of that name: expected the same settings; "
                    "leave the selection out"
                )
            return choose(SELECTIONS, self.selection or implied)
        if self.selection is None or name_of(self.selection) == "threshold":
            chosen = cast("Any", choose(SELECTIONS, self.selection or "threshold"))  # a dataclass
            return cast("Selection", replace(chosen, threshold=self.threshold))
        raise UserError(
            f"threshold={self.threshold} needs the selection 'threshold', found '{name_of(self.selection)}'; "
            "leave one out"
        )


@component
class ResolvedDecoder:
    """A decoder with every component resolved: the same fields as ``Decoder``, without names and defaults.

    A ``last_block`` of None is ``cut``.
    """

    block_size: int
    steps: int | None
    selection: SkipValidation[Selection]
    proposal: SkipValidation[Proposal]
    blocks: SkipValidation[BlockRule]
    revision: SkipValidation[Revision]
    stop: SkipValidation[Stop]
    cache: SkipValidation[CachePolicy]
    view: SkipValidation[View]
    constraint: SkipValidation[Constraint]
    search: SkipValidation[Search]
    last_block: LastBlock | None = None

    def surplus(self, prompt: int, wanted: int, grid: Grid, trained_block_size: int | None) -> int:
        """Return how many columns a canvas has beyond those that are wanted, so that its last block is whole.

        The end of the canvas is rounded up to whole blocks of the decoder and, where blocks are counted from the start
        of the text, of the model.

        Args:
            prompt: tokens of the prompt.
            wanted: columns of the answer.
            grid: where the model's blocks are counted from.
            trained_block_size: of the model.

        Returns:
            Columns that are decoded and cut off afterwards; 0 where the last block is cut.
        """
        if self.last_block != "whole":
            return 0
        if grid != "text":
            return -wanted % self.block_size
        return -(prompt + wanted) % math.lcm(self.block_size, trained_block_size or 1)

    @property
    def shared_out(self) -> int | None:
        """Columns of a block that its steps are shared out over; None: those that are open when it begins.

        Samplers that decode whole blocks count the columns that the prompt fills of the first block, too.
        """
        is_on_text = name_of(self.blocks) == "fixed" and getattr(self.blocks, "grid", None) == "text"
        return self.block_size if self.last_block == "whole" and is_on_text else None

    def steps_per_block(self, canvas: int) -> int | None:
        """Return the forwards that each block may take; None: one for each of its positions.

        Args:
            canvas: columns of a canvas.

        Returns:
            ``steps`` divided by the number of blocks, or None if there are no ``steps``.

        Raises:
            UserError: it does not divide, or there are more blocks than steps.
        """
        if self.steps is None:
            return None
        blocks = self.blocks.blocks(canvas)
        if self.steps % blocks:
            near = max(1, round(self.steps / blocks)) * blocks
            raise UserError(
                f"steps={self.steps}: expected a multiple of the {blocks} blocks of a canvas of {canvas}; "
                f"write steps={near}"
            )
        return self.steps // blocks
