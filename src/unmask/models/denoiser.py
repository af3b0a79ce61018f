"""A loaded model behind the ``Denoiser`` seam: attention masks, asked rows and the logit shift live here."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # torch's own convention

from unmask.attention import ATTENTION, PAD, AttentionRule, Bidirectional, BlockCausal, may_attend
from unmask.errors import UserError
from unmask.heads import HEADS
from unmask.models.facts import AdapterBase, Facts
from unmask.models.meter import Meter
from unmask.query import Query, Store
from unmask.transformers_api import attention_kind, learn_call, recompute_activations
from unmask.types import Scored, Traits, Want

LOG = logging.getLogger(__name__)
HEADS_ATTRIBUTE = "unmask_heads"
TWICE = (
    "gradient checkpointing runs layers twice, which the confidence stream of remedi cannot follow; "
    "write gradient_checkpointing: false"
)


@dataclass(kw_only=True)
class LoadedModel:
    """A stock transformers model, its tokenizer, and the facts that make it a diffusion language model.

    Args:
        model: a plain transformers module with an LM head (or its PEFT wrapper).
        tokenizer: a transformers tokenizer, or None where only token ids are used.
        facts: mask token, end tokens, shift, attention, block size.
        source: what it was loaded from; empty or ``from_scratch`` where it is on no disk.
        family: kind of checkpoint it was loaded from, for people.
        adapter: where the model is a PEFT wrapper, what its base was.
    """

    model: nn.Module
    tokenizer: Any
    facts: Facts
    source: str = ""
    family: str = ""
    adapter: AdapterBase | None = None

    def __post_init__(self) -> None:
        self.meter = Meter.of(self.model)
        self._forward: Callable[..., Any] = self.model
        self.cache_argument: str | None = None
        self._cache_fault: str | None = None
        self._has_warned = False
        self._window = _window(self.stock.config.get_text_config())
        self.heads: nn.ModuleDict = getattr(self.stock, HEADS_ATTRIBUTE, None) or nn.ModuleDict()

    @property
    def stock(self) -> Any:
        """The transformers model, below PEFT's wrapper if there is one."""
        model: Any = self.model
        return model.get_base_model() if self.adapter else model

    @property
    def mask_id(self) -> int:
        """Token that stands for "hidden"."""
        return self.facts.mask_id

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        return self.facts.eos_ids

    @property
    def filler_id(self) -> int:
        """End-of-text token that fills the canvas after the end of an answer."""
        return self.facts.filler_id

    @property
    def vocab_size(self) -> int:
        """Rows of the LM head."""
        return self.facts.vocab_size

    @property
    def rule(self) -> AttentionRule:
        """Who may attend to whom in plain text: what the model was trained for."""
        facts = self.facts
        if facts.attention == "block_causal" and facts.grid == "text":
            return BlockCausal(grid=facts.block_size)
        return ATTENTION[facts.attention]

    @property
    def shift(self) -> bool:
        """Whether the state at the column before predicts a column."""
        return self.facts.shift

    @property
    def traits(self) -> Traits:
        """What objectives ask before they train it."""
        takes = learn_call(self.stock).takes_positions
        return Traits(shift=self.facts.shift, attention=self.facts.attention, takes_positions=takes)

    @property
    def decoding(self) -> dict[str, Any]:
        """What a decoder takes over from the model: the keywords of ``Decoder.parts``."""
        return {
            "trained_block_size": self.facts.block_size,
            "heads": tuple(self.heads),
            "exact_cache": self.exact_cache,
            "grid": self.facts.grid,
        }

    @property
    def exact_cache(self) -> str:
        """Name of the fastest cache (``unmask.decoding``) that leaves the model's answers as they are.

        Where a block-causal model cannot have its cache, a warning is logged once.
        """
        name, reason = self.cache_choice
        if name == "none" and self.facts.attention != "bidirectional" and not self._has_warned:
            LOG.warning("decoding without the exact cache 'block', so every step reads the whole text: %s", reason)
            self._has_warned = True
        return name

    @property
    def cache_choice(self) -> tuple[str, str]:
        """Name of the fastest exact cache, and the reason why it is that one."""
        if self.facts.attention == "bidirectional":
            return "none", "attention is bidirectional: every token that is written changes all keys and values"
        if fault := self._why_no_store():
            return "none", fault
        return "block", f"attention is {self.facts.attention}: finished blocks do not change any more"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def save(self, folder: str | Path, state_dict: Mapping[str, Tensor] | None = None) -> Path:
        """Write the model, its tokenizer and its facts; ``load`` reads the folder back without flags."""
        from unmask.models.save import save

        return save(self, folder, state_dict)

    def attach(self, name: str, settings: Mapping[str, Any]) -> None:
        """Add a head, unless the model has it already; see ``unmask.heads``.

        Raises:
            UserError: it has one with other settings (those that are ``free`` apart), or its activations are
            recomputed.
        """
        if name == "confidence" and any(getattr(m, "gradient_checkpointing", False) for m in self.stock.modules()):
            raise UserError(TWICE)
        if name in self.heads:
            head: Any = self.heads[name]
            found, wanted = ({k: v for k, v in x.items() if k not in head.free} for x in (head.settings, settings))
            if {**found, **wanted} != found:
                raise UserError(f"the model has a head '{name}' with {found}, the objective asks for {wanted}")
            head.lr = settings.get("lr", head.lr)
            return
        self.heads[name] = HEADS[name](self.stock, **settings).to(self.device)
        setattr(self.stock, HEADS_ATTRIBUTE, self.heads)
        spent = self.meter.totals
        self.meter = Meter.of(self.model)
        self.meter.take_over(*spent)

    def checkpoint_gradients(self) -> None:
        """Keep no activations in training but recompute them in the backward pass."""
        if "confidence" in self.heads:
            raise UserError(TWICE)
        recompute_activations(self.stock)

    @contextmanager
    def through(self, wrapped: Callable[..., Any]) -> Iterator[None]:
        """Send forward passes through a wrapper of the model (DDP, FSDP), so that gradients synchronise."""
        self._forward, before = wrapped, self._forward
        try:
            yield
        finally:
            self._forward = before

    def logits(self, query: Query, at: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Predict the tokens at the asked positions; the LM head runs on those rows only.

        A model with shifted logits predicts column c from its state at the column before (column 0 from itself).
        """
        column = at[:, 1]
        if self.facts.shift:
            column = (column - 1).clamp(min=0) if query.before is None else query.before[at[:, 0], column]
        read = torch.zeros_like(query.ids, dtype=torch.bool)
        read[at[:, 0], column] = True
        out = self._read(query, read)
        self.meter.count(query, out.shape[0], training=out.requires_grad)
        rank = read.flatten().cumsum(0) - 1
        place = rank[at[:, 0] * query.ids.shape[1] + column]
        in_order = out.shape[0] == place.shape[0] and bool((place[1:] > place[:-1]).all())
        return out if in_order else out[place]

    def store(self, rows: int, columns: int) -> Store:
        """Make an empty store of keys and values.

        Raises:
            UserError: the model cannot be read piece by piece.
        """
        from unmask.models.cache import KeyValues

        if reason := self._why_no_store():
            raise UserError(f"a cache needs a model that can be read piece by piece: {reason}; use the cache 'none'")
        return KeyValues(layers=self.stock.config.get_text_config().num_hidden_layers, rows=rows, columns=columns)

    def _why_no_store(self) -> str | None:
        """Return why the model cannot be read piece by piece, or None. The first time, it is tried."""
        from unmask.models.cache import find_cache

        if "confidence" in self.heads:
            return "the head 'confidence' reads the whole text at once"
        if self._cache_fault is None:
            self.cache_argument, self._cache_fault = find_cache(self)
        return self._cache_fault or None

    def score(
        self, query: Query, at: Int[Tensor, "K 2"], targets: Int[Tensor, " K"], want: Sequence[Want] = ()
    ) -> Scored:
        """Score the targets; softmax over the whole vocabulary in at least float32."""
        logits = self.logits(query, at)
        logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
        nll = F.cross_entropy(logits, targets, reduction="none")
        if not want:
            return Scored(nll=nll)
        log_p = logits.log_softmax(-1)
        top = log_p.max(-1)
        return Scored(
            nll=nll,
            entropy=-(log_p.exp() * log_p).sum(-1) if "entropy" in want else None,
            is_top=top.indices == targets if "is_top" in want else None,
            confidence=top.values.exp() if "confidence" in want else None,
            reliability=self._reliability(at) if "reliability" in want else None,
        )

    def _reliability(self, at: Int[Tensor, "K 2"]) -> Float[Tensor, " K"]:
        """Read the confidence stream of the forward that was just made."""
        if "confidence" not in self.heads:
            raise UserError("the model has no head 'confidence'; train it with the objective remedi")
        logits: Tensor = self.heads["confidence"].read(at)
        return logits

    def _read(self, query: Query, read: Bool[Tensor, "R N"]) -> Float[Tensor, "M V"]:
        """Return the logits of the columns that are read, in row-major order."""
        call, options = learn_call(self.stock), dict[str, Any]()
        if call.takes_positions:
            options["position_ids"] = query.columns.position
        else:
            self._check_counted(query.columns.position, query.columns.segment)
        if call.keeps_rows:
            options["logits_to_keep"] = read
        if call.takes_use_cache:
            options["use_cache"] = False
        if query.past is not None:
            options[self.cache_argument] = query.past.store.reading(query.past)
        logits = self._forward(**self._inputs(query), attention_mask=self._attention(query), **options).logits
        if query.past is not None:
            query.past.store.reading(None)
        # Masked language models run their head on every column.
        return logits.reshape(-1, self.vocab_size) if call.keeps_rows else logits[read]

    def _check_counted(self, position: Int[Tensor, "R N"], segment: Int[Tensor, "R N"]) -> None:
        counted = torch.arange(position.shape[1], device=position.device)
        if not bool(((position == counted) | (segment == PAD)).all()):
            raise UserError(
                f"{type(self.stock).__name__} counts positions itself; it cannot read packed text or streams"
            )

    def _inputs(self, query: Query) -> dict[str, Tensor]:
        if query.soft is None:
            return {"input_ids": query.ids}
        embed = self.model.get_input_embeddings()
        soft = query.soft
        hard = embed(query.ids)
        blended = (embed(soft.ids) * soft.weights[..., None]).sum(1).to(hard.dtype)
        embeddings = hard.index_put((soft.at[:, 0], soft.at[:, 1]), blended)
        return {"inputs_embeds": embeddings}

    def _attention(self, query: Query) -> Tensor | dict[str, Tensor] | None:
        """Materialise the rule: nothing or a 2-D padding mask where the model's own bidirectional form will do."""
        if query.past is not None:
            is_plain = self.facts.native_bidirectional and query.past.sees_all
            return None if is_plain else self._dense(query.past.may_attend)
        segment = query.columns.segment
        is_pad = segment == PAD
        one_document = bool(((segment == segment[:, :1]) | is_pad).all())
        if isinstance(query.rule, Bidirectional) and one_document and self.facts.native_bidirectional:
            return (~is_pad).long() if bool(is_pad.any()) else None
        allowed = may_attend(query.rule, query.columns, query.columns)
        if self._window is None:
            return self._dense(allowed)
        place = query.columns.position
        near = (place[:, :, None] - place[:, None, :]).abs() <= self._window
        return {"full_attention": self._dense(allowed), "sliding_attention": self._dense(allowed & near)}

    def _dense(self, allowed: Bool[Tensor, "R Q K"]) -> Tensor:
        """Give SDPA a boolean 4-D mask and eager attention an additive one (it would add 0 and 1 to the scores)."""
        kind = attention_kind(self.model)
        if kind == "sdpa":
            return allowed[:, None]
        if kind != "eager":
            raise UserError(
                f"attention rules need attention 'sdpa' or 'eager', found '{kind}'; load the model with sdpa"
            )
        dtype = next(self.model.parameters()).dtype
        return torch.where(allowed, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]


def _window(config: Any) -> int | None:
    """Return how far the local layers of a masked language model (ModernBERT) see to either side.

    None if there are none: decoders with local layers are refused on loading, unless the window holds the longest text.
    """
    window = getattr(config, "sliding_window", None)
    has_local = "sliding_attention" in (getattr(config, "layer_types", None) or [])
    return window if has_local and window < config.max_position_embeddings else None
