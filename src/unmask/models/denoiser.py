"""A transformers model as a ``Denoiser``: attention masks, the positions that are predicted, the logit shift."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # torch's own convention

from unmask.core.attention import PAD, AttentionRule, Bidirectional, BlockCausal, may_attend
from unmask.core.attention_rules import ATTENTION, ContextCausal
from unmask.core.protocols import Scored, Want
from unmask.core.query import Query, Store
from unmask.errors import UserError
from unmask.heads import HEADS_ATTRIBUTE
from unmask.heads.confidence import ConfidenceStream
from unmask.models.cache import KeyValues
from unmask.models.call import learn_call
from unmask.models.facts import Facts
from unmask.models.probe import find_cache
from unmask.runtime.transformers_api import StockModel, attention_kind


@dataclass(kw_only=True)
class StockDenoiser:
    """A stock transformers model that answers queries as a diffusion language model.

    Args:
        model: a plain transformers module with an LM head (or its PEFT wrapper).
        facts: mask token, end tokens, shift, attention, block size.
    """

    model: StockModel
    facts: Facts

    def __post_init__(self) -> None:
        inner = getattr(self.model, "get_base_model", None)
        self.stock: StockModel = self.model if inner is None else inner()
        """The transformers model, below PEFT's wrapper if there is one."""
        self.call = learn_call(self.stock)
        self.cache_argument: str | None = None
        self.on_forward: Callable[[Query, int, bool], None] | None = None
        """Called after every forward with the query, the predicted rows, and whether they carry a gradient."""
        self._forward: Callable[..., Any] = self.model
        self._cache_fault: str | None = None
        self._window = _window(self.stock.config.get_text_config())

    @property
    def mask_id(self) -> int:
        """Id of the token that stands for "hidden"."""
        return self.facts.mask_id

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Ids of the tokens that end an answer."""
        return self.facts.eos_ids

    @property
    def filler_id(self) -> int:
        """Id of the end-of-text token that fills the canvas after the end of an answer."""
        return self.facts.filler_id

    @property
    def vocab_size(self) -> int:
        """Number of rows of the LM head."""
        return self.facts.vocab_size

    @property
    def shift(self) -> bool:
        """Whether a column is predicted from the state at the column before it."""
        return self.facts.shift

    @property
    def rule(self) -> AttentionRule:
        """Attention rule that the model was trained for: who may attend to whom in plain text."""
        facts = self.facts
        if facts.grid == "text" and facts.attention in ("block_causal", "context_causal"):
            return (BlockCausal if facts.attention == "block_causal" else ContextCausal)(grid=facts.block_size)
        return ATTENTION[facts.attention]

    @property
    def heads(self) -> nn.ModuleDict:
        """Small modules that a method has attached, by name; empty if none. Saved with the model."""
        return cast("nn.ModuleDict", getattr(self.stock, HEADS_ATTRIBUTE, None) or nn.ModuleDict())

    @property
    def device(self) -> torch.device:
        """Device of the model's weights."""
        return next(self.model.parameters()).device

    @contextmanager
    def through(self, wrapped: Callable[..., Any]) -> Iterator[None]:
        """Run forwards inside the context through a wrapper of the model (DDP, FSDP), so that gradients synchronise."""
        self._forward, before = wrapped, self._forward
        try:
            yield
        finally:
            self._forward = before

    def logits(self, query: Query, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, "K V"]:
        """Return the logits [K, V] of K (row, column) ``query_positions``; the LM head runs on those only.

        A model with shifted logits predicts column c from its state at the column before (column 0 from itself).
        """
        column = query_positions[:, 1]
        if self.facts.shift:
            column = (column - 1).clamp(min=0) if query.before is None else query.before[query_positions[:, 0], column]
        read = torch.zeros_like(query.ids, dtype=torch.bool)
        read[query_positions[:, 0], column] = True
        out = self._read(query, read)
        if self.on_forward is not None:
            self.on_forward(query, out.shape[0], out.requires_grad)
        rank = read.flatten().cumsum(0) - 1
        index = rank[query_positions[:, 0] * query.ids.shape[1] + column]
        # With a gradient the copy of all rows costs memory that lasts; without one, looking costs a wait for the GPU.
        in_order = out.requires_grad and len(out) == len(index) and bool((index[1:] > index[:-1]).all())
        return out if in_order else out[index]

    def score(
        self, query: Query, query_positions: Int[Tensor, "K 2"], targets: Int[Tensor, " K"], want: Sequence[Want] = ()
    ) -> Scored:
        """Return the loss of each target in nats and what ``want`` names, [K] each; softmax in at least float32."""
        logits = self.logits(query, query_positions)
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
            correctness=self._correctness(query_positions) if "correctness" in want else None,
        )

    def store(self, rows: int, columns: int) -> Store:
        """Return an empty store of keys and values for a text of ``rows`` x ``columns``.

        Args:
            rows: of the text.
            columns: of the text.

        Returns:
            The store.

        Raises:
            UserError: the model cannot be read in chunks.
        """
        if reason := self.store_fault():
            raise UserError(f"a cache needs a model that can be read in chunks: {reason}; use the cache 'none'")
        return KeyValues(layers=self.stock.config.get_text_config().num_hidden_layers, rows=rows, columns=columns)

    def store_fault(self) -> str | None:
        """Return why the model cannot be read in chunks, or None if it can; found by a trial on the first call."""
        if "confidence" in self.heads:
            return "the head 'confidence' reads the whole text at once"
        if self._cache_fault is None:
            self.cache_argument, self._cache_fault = find_cache(self)
        return self._cache_fault or None

    def _correctness(self, query_positions: Int[Tensor, "K 2"]) -> Float[Tensor, " K"]:
        """Return what the head ``confidence`` computed in the last forward, [K]."""
        if "confidence" not in self.heads:
            raise UserError("the model has no head 'confidence'; train it with the objective remedi")
        return cast("ConfidenceStream", self.heads["confidence"]).read(query_positions)

    def _read(self, query: Query, read: Bool[Tensor, "R N"]) -> Float[Tensor, "M V"]:
        """Return the logits of the columns that are read, in row-major order."""
        options = dict[str, Any]()
        if self.call.takes_positions:
            options["position_ids"] = query.columns.position
        else:
            self._check_counted(query.columns.position, query.columns.segment)
        if self.call.keeps_rows:
            options["logits_to_keep"] = read
        if self.call.takes_use_cache:
            options["use_cache"] = False
        store = None if query.past is None else cast("KeyValues", query.past.store)
        if store is not None and self.cache_argument is not None:
            options[self.cache_argument] = store.reading(query.past)
        logits: Tensor = self._forward(**self._inputs(query), attention_mask=self._attention(query), **options).logits
        if store is not None:
            store.reading(None)
        # Masked language models run their head on every column.
        return logits.reshape(-1, self.vocab_size) if self.call.keeps_rows else logits[read]

    def _check_counted(self, position: Int[Tensor, "R N"], segment: Int[Tensor, "R N"]) -> None:
        counted = torch.arange(position.shape[1], device=position.device)
        if not bool(((position == counted) | (segment == PAD)).all()):
            raise UserError(
                f"{type(self.stock).__name__} counts positions itself; it cannot read packed text or streams"
            )

    def _inputs(self, query: Query) -> dict[str, Tensor]:
        if query.soft is None:
            return {"input_ids": query.ids}
        embed = self.stock.get_input_embeddings()
        soft = query.soft
        hard = embed(query.ids)
        blended = (embed(soft.ids) * soft.weights[..., None]).sum(1).to(hard.dtype)
        embeddings = hard.index_put((soft.query_positions[:, 0], soft.query_positions[:, 1]), blended)
        return {"inputs_embeds": embeddings}

    def _attention(self, query: Query) -> Tensor | dict[str, Tensor] | None:
        """Return the rule as a mask; None or a 2-D padding mask where the model is bidirectional by itself."""
        if query.past is not None:
            is_plain = self.facts.native_bidirectional and query.past.sees_all
            return None if is_plain else self._dense(query.past.may_attend)
        if isinstance(query.rule, Bidirectional) and self.facts.native_bidirectional:
            segment = query.columns.segment
            is_pad = segment == PAD
            one_document = ((segment == segment[:, :1]) | is_pad).all()
            is_one, has_padding = torch.stack([one_document, is_pad.any()]).tolist()  # one wait for the GPU, not two
            if is_one:
                return (~is_pad).long() if has_padding else None
        allowed = may_attend(query.rule, query.columns, query.columns)
        if self._window is None:
            return self._dense(allowed)
        position = query.columns.position
        near = (position[:, :, None] - position[:, None, :]).abs() <= self._window
        return {"full_attention": self._dense(allowed), "sliding_attention": self._dense(allowed & near)}

    def _dense(self, allowed: Bool[Tensor, "R Q K"]) -> Tensor:
        """Return a 4-D mask: boolean for SDPA, additive for eager attention, which would add 0 and 1 to the scores."""
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
    window: int | None = getattr(config, "sliding_window", None)
    has_local = "sliding_attention" in (getattr(config, "layer_types", None) or [])
    return window if has_local and window is not None and window < config.max_position_embeddings else None
