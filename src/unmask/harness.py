"""The model class ``unmask`` of lm-evaluation-harness: multiple choice, perplexity and generation tasks.

The harness only knows the models that it ships with, so start it through this module, with its own options:

    python -m unmask.harness --model unmask --model_args pretrained=GSAI-ML/LLaDA-8B-Base,draws=128 --tasks arc_easy

In Python ``import unmask.harness`` is enough for ``lm_eval.simple_evaluate(model="unmask", model_args=...)``.
Likelihoods are the lower bounds of ``unmask.evaluate.likelihood``, which are not equally tight for all models.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

from unmask.config.defaults import resolve_block_size, resolve_canvas
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.data import Encoded, prompt_ids
from unmask.data.templates import text_of
from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.evaluate.api import sample_seed
from unmask.evaluate.likelihood import Order, likelihood_bound
from unmask.generate import generate, run
from unmask.models import LoadedModel, load
from unmask.runtime.transformers_api import render_chat

try:
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
except ImportError as missing:
    raise ImportError("unmask.harness needs lm-evaluation-harness: pip install 'unmask[harness]'") from missing

SAMPLING = ("until", "max_gen_toks", "do_sample", "temperature")
"""Settings of generation that a task may give; all others are the decoder's."""


@register_model("unmask")
class UnmaskLM(TemplateLM):  # type: ignore[misc]  # the harness brings no types
    """A masked diffusion language model of the harness.

    Args:
        pretrained: a model's name as in ``unmask generate``, or a loaded model.
        batch_size: rows side by side.
        max_batch_size: not used; the harness gives it.
        device: default: a GPU if there is one. ``cuda:0``, the harness's own default, means the same.
        dtype: of the weights.
        max_length: longest context and answer together, tokens; longer contexts lose their beginning. Default: what
            the model's configuration says.
        max_new_tokens: columns of the canvas where a task does not say; default: the model's, else 256.
        seed: of samplers and draws.
        draws: draws of hidden tokens for each likelihood; that of one token is exact with any number.
        order: of the bound: ``any`` (LLaDA's), or by ``blocks`` as block decoding writes; default: as the model reads.
        block_size: of decoding and of ``blocks``; default: the model's, else 32.
        greedy: whether to compute if greedy decoding would write the answer, which some tasks need; more forwards.
        **decoder: further fields of ``Decoder``: ``steps=128``, ``threshold=0.9``, ``temperature=0.5``.

    Raises:
        UserError: ``batch_size`` is no number, or the model has no tokenizer.
    """

    def __init__(
        self,
        pretrained: str | LoadedModel,
        *,
        batch_size: int | str = 16,
        max_batch_size: int | None = None,
        device: str | None = None,
        dtype: str | None = None,
        max_length: int | None = None,
        max_new_tokens: int | None = None,
        seed: int = 0,
        draws: int = 128,
        order: Order | None = None,
        block_size: int | None = None,
        greedy: bool = True,
        **decoder: Any,
    ) -> None:
        super().__init__()
        del max_batch_size
        if not str(batch_size).isdigit():
            raise UserError(f"batch_size: expected a number, found '{batch_size}'; write --batch_size 16")
        device = None if device == "cuda:0" else device
        self.lm = load(pretrained, device=device, dtype=dtype) if isinstance(pretrained, str) else pretrained
        if self.lm.tokenizer is None:
            raise UserError(f"{pretrained}: expected a model with a tokenizer, found none")
        self.tokenizer = self.lm.tokenizer
        self.batch_size, self.seed, self.draws, self.greedy = int(batch_size), seed, draws, greedy
        self.order = order or ("blocks" if self.lm.facts.attention == "context_causal" else "any")
        self.decoder = {"block_size": block_size, **decoder}
        config = self.lm.stock.config.get_text_config()
        self.max_length: int = max_length if max_length else getattr(config, "max_position_embeddings", 2048)
        self.max_new_tokens = resolve_canvas(given=max_new_tokens, model=self.lm.facts.canvas)
        self._device = self.lm.device
        Decoder(**self.decoder)  # a mistake in it is reported before any request is read

    @property
    def eot_token_id(self) -> int:
        """Id of the end-of-text token."""
        return self.lm.filler_id

    @property
    def prefix_token_id(self) -> int:
        """Id of the token before a text without context: the start token, else the end-of-text token."""
        first = self.tokenizer.bos_token_id
        return self.eot_token_id if first is None else int(first)

    @property
    def tokenizer_name(self) -> str:
        """Name of the tokenizer, by which the harness names its caches."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **options: Any) -> list[int]:
        """Return the token ids of a text, as in a prompt.

        Args:
            string: text; a start token that it spells itself, as a rendered chat does, is not doubled.
            add_special_tokens: False leaves the start token out.
            **options: not used.

        Returns:
            Token ids.
        """
        del options
        ids = prompt_ids(self.tokenizer, string, chat=False)
        start = len(text_of(self.tokenizer, False).start)
        bare = ids[start:]
        return bare if add_special_tokens is False or (start and bare[:start] == ids[:start]) else ids

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return turns as the text that the model's chat template renders.

        Args:
            chat_history: turns with ``role`` and ``content``.
            add_generation_prompt: whether an assistant turn is opened; if not, the last turn is left open.

        Returns:
            The text.
        """
        is_cut = not add_generation_prompt
        return render_chat(self.tokenizer, chat_history, opened=add_generation_prompt, continue_final_message=is_cut)

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Return a lower bound of the log-likelihood of whole texts, in nats; long ones are cut into windows.

        Args:
            requests: of the harness; the first argument of each is a text.
            disable_tqdm: not used.

        Returns:
            A value for each request.
        """
        del disable_tqdm
        windows, owner = [], []
        for index, request in enumerate(requests):
            ids = self.tok_encode(request.args[0], add_special_tokens=False)
            pairs = get_rolling_token_windows(ids, self.prefix_token_id, self.max_length - 1, 1)
            for context, answer in map(make_disjoint_window, pairs):
                windows.append(Encoded(prompt=context, answer=answer, source=""))
                owner.append(index)
        found = [0.0] * len(requests)
        for index, value in zip(owner, self._bounds(windows), strict=True):
            found[index] += value
        for request, value in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, value)
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return decoded answers; equal requests get different samples.

        Args:
            requests: of the harness; the arguments of each are a context and settings of generation.
            disable_tqdm: not used.

        Returns:
            A text for each request.
        """
        del disable_tqdm
        seen: Counter[str] = Counter()
        seeds = []
        for request in requests:
            seeds.append(sample_seed(self.seed, seen[repr(request.args)]))
            seen[repr(request.args)] += 1
        texts = [""] * len(requests)
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(repr(request.args[1]), []).append(index)
        for members in groups.values():
            members.sort(key=lambda i: len(requests[i].args[0]))
            for begin in range(0, len(members), self.batch_size):
                chosen = members[begin : begin + self.batch_size]
                contexts = [requests[i].args[0] for i in chosen]
                answers = self._generate(contexts, requests[chosen[0]].args[1], [seeds[i] for i in chosen])
                for index, text in zip(chosen, answers, strict=True):
                    texts[index] = text
                    self.cache_hook.add_partial("generate_until", requests[index].args, text)
        return texts

    def _generate(self, contexts: Sequence[str], requested: dict[str, Any], seeds: Sequence[int]) -> list[str]:
        unknown = sorted(set(requested) - {*SAMPLING})
        if unknown:
            raise UserError(
                f"the task asks for generation with {', '.join(unknown)}: expected {', '.join(SAMPLING)}; write "
                "--gen_kwargs without it, and give the decoder in --model_args"
            )
        until = requested.get("until") or []
        size = int(requested.get("max_gen_toks") or self.max_new_tokens)
        room = self.max_length - size
        if room < 1:
            raise UserError(
                f"max_gen_toks={size}: expected less than max_length={self.max_length}; write a smaller one"
            )
        fields = dict(self.decoder)
        if requested.get("do_sample") and requested.get("temperature"):
            fields["temperature"] = float(requested["temperature"])
        out = generate(
            self.lm,
            [self.tok_encode(context)[-room:] or [self.prefix_token_id] for context in contexts],
            decoder=Decoder(**fields),
            max_new_tokens=size,
            seed=list(seeds),
            stop_strings=[until] if isinstance(until, str) else [string for string in until if string],
        )
        return out.texts

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **options: Any
    ) -> list[tuple[float, bool]]:
        del options
        pairs = []
        for (context, answer), before, after in requests:
            if not after:
                raise UserError(f"expected an answer of at least one token, found {answer!r} after {context[-40:]!r}")
            room = max(self.max_length - len(after), 1)
            pairs.append(Encoded(prompt=before[-room:], answer=after[-self.max_length + 1 :], source=""))
        values = self._bounds(pairs)
        written = self._would_write(pairs) if self.greedy else [False] * len(pairs)
        found = list(zip(values, written, strict=True))
        for (strings, _, _), value in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", strings, value)
        return found

    def _bounds(self, pairs: Sequence[Encoded]) -> list[float]:
        """Return lower bounds of the log-likelihoods, in nats. Draws depend on the pair only, not on other requests."""
        if not pairs:
            return []
        found = likelihood_bound(
            self.lm,
            pairs,
            order=self.order,
            samples=self.draws,
            block_size=self.decoder["block_size"],
            batch_size=self.batch_size,
            seed=self.seed,
            keys=[_key(pair) for pair in pairs],
        )
        return [-nats for nats in found.nats.tolist()]

    def _would_write(self, pairs: Sequence[Encoded]) -> list[bool]:
        """Return whether greedy decoding, one token a forward, writes each answer; it stops once all rows differ."""
        size = resolve_block_size(decoder=self.decoder["block_size"], model=self.lm.facts.block_size)
        whole = {"blocks": "whole"} if self.order == "any" else {"block_size": size}
        resolved = Decoder(**whole, stop="never").resolve(**self.lm.decoding)
        by_length = sorted(range(len(pairs)), key=lambda i: (len(pairs[i].answer), len(pairs[i].prompt)))
        found = [False] * len(pairs)
        for begin in range(0, len(by_length), self.batch_size):
            chosen = by_length[begin : begin + self.batch_size]
            rows = [pairs[i] for i in chosen]
            grid = (self.lm.facts.grid, self.lm.facts.block_size)
            surplus = [resolved.surplus(len(p.prompt), len(p.answer), *grid) for p in rows]
            examples = [
                Example(prompt=p.prompt, answer=p.answer, order=i, canvas=len(p.answer) + more, surplus=more)
                for i, (p, more) in enumerate(zip(rows, surplus, strict=True))
            ]
            batch = lay_out(examples, block_size=size, filler_id=self.lm.filler_id).to(self.lm.device)
            wrong = torch.zeros(len(rows), dtype=torch.bool, device=self.lm.device)
            for step in run(self.lm, batch, resolved, draws=Draws(seed=0)):
                wrong = _differs(step.state.ids.where(batch.is_wanted, batch.ids), batch.ids, self.lm.mask_id)
                if bool(wrong.all()):
                    break
            for index, is_wrong in zip(chosen, wrong.tolist(), strict=True):
                found[index] = not is_wrong
        return found


def _differs(written: Tensor, wanted: Tensor, mask_id: int) -> Tensor:
    """Return whether a token that is written differs from the wanted one in each row, [B]."""
    return ((written != wanted) & (written != mask_id)).any(1)


def _key(pair: Encoded) -> int:
    text = f"{','.join(map(str, pair.prompt))}/{','.join(map(str, pair.answer))}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1  # fits int64


def main() -> None:
    """Run the harness's own command line with ``unmask`` among its models."""
    from lm_eval.__main__ import cli_evaluate

    try:
        cli_evaluate()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
