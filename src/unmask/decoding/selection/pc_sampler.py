"""The PC-Sampler: positions early in the block first, whose proposal is likely and no common word."""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from pydantic import AfterValidator
from torch import Tensor

from unmask.config.components import component
from unmask.decoding.defaults import SelectionDefaults, share
from unmask.decoding.interfaces import SELECTIONS
from unmask.decoding.scores import Positive, top
from unmask.decoding.state import Candidates
from unmask.errors import UserError
from unmask.runtime.foreign import read_text

Counts = Mapping[int, int]


@functools.lru_cache(maxsize=4)
def read_counts(path: str) -> Counts:
    """Return {token id: count}, read from a JSON file.

    Args:
        path: of the file.

    Returns:
        The counts.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    wanted = "expected the path of a JSON file {token id: count}"
    try:
        found = json.loads(read_text(Path(path)))
        return {int(token): int(count) for token, count in found.items()}
    except UserError as error:
        raise UserError(f"{wanted}, found another thing: {error}") from None
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{wanted}, found something else in '{path}'; count tokens into such a file") from None


def check_counts(given: str | Counts | None) -> str | Counts | None:
    """Return what was given; counts are read now, so that a mistake shows before a model is loaded.

    Args:
        given: counts, or the path of a file with them.

    Returns:
        The same object.

    Raises:
        UserError: they cannot be read, or are no counts.
    """
    counts = read_counts(given) if isinstance(given, str) else given
    if counts is not None and (not counts or min(counts) < 0 or min(counts.values()) < 0 or not any(counts.values())):
        raise UserError("expected token ids from 0 on with counts from 0 on, some above, found others; count a corpus")
    return given


@SELECTIONS.register("pc_sampler")
@component
class PcSampler(SelectionDefaults):
    """Write the quota's best by exp(-decay * i) * min(-p ln f, clip) (PC-Sampler, arXiv 2508.13021).

    i is the position's column in the block, p the probability of the proposed token and f that token's share of a
    reference corpus: common tokens (line breaks, articles) are easily predicted and say little. A token that the corpus
    lacks counts as seen once.

    Args:
        frequencies: how often tokens occur in the corpus, {token id: count}, or the path of a JSON file of that form;
            None: all alike, so that only p and the column count.
        decay: lambda; 0 is no preference for the left. The paper has .25, 0 for Sudoku, .5 for Countdown.
        clip: alpha; with infinity, ``decay`` 0 and no frequencies this is ``quota``.

    Differs from the paper: f has no 1e-9 added; ``decay`` and ``clip`` default to the paper's settings, the released
    function's own are 1.
    """

    frequencies: Annotated[str | Counts | None, AfterValidator(check_counts)] = None
    decay: Positive = 0.25
    clip: Positive = 10.0

    score: ClassVar[str] = "low_confidence"

    def refine(self, candidates: Candidates) -> Candidates:
        """Return the candidates with calibrated scores; what the proposal ranks lower stays lower by as much."""
        queried = candidates.is_queried
        p = candidates.measure("low_confidence").double()
        worth = self._surprise(candidates.logits.shape[1]).to(p.device)[candidates.token]
        ramp = torch.arange(queried.shape[1], device=p.device)
        # The first column keeps its weight of 1 under an infinite decay.
        weight = torch.where(ramp > 0, torch.exp(-self.decay * ramp.double()), 1.0)
        score = weight * (p * worth).clamp(max=self.clip) + (candidates.score - p)
        return replace(candidates, score=torch.where(queried, score, -torch.inf))

    def select(self, candidates: Candidates) -> Bool[Tensor, "R W"]:
        """Return the open positions of the highest scores, as many as the quota of this step."""
        return top(candidates.score, candidates.is_open, share(candidates))

    def _surprise(self, vocabulary: int) -> Float[Tensor, " V"]:
        """Return -ln f of every token, in nats, on the CPU.

        Args:
            vocabulary: number of tokens.

        Returns:
            float64 numbers.

        Raises:
            UserError: counts of a token that the model does not have.
        """
        if self._counts is None:
            return torch.full((vocabulary,), math.log(vocabulary), dtype=torch.float64, device="cpu")
        ids, counts = self._counts
        if int(ids.max()) >= vocabulary:
            raise UserError(
                f"frequencies: expected token ids below {vocabulary}, the size of the model's vocabulary, found "
                f"{int(ids.max())}; count the corpus with this model's tokenizer"
            )
        seen = torch.ones(vocabulary, dtype=torch.float64, device="cpu")
        seen[ids] = counts.clamp(min=1)
        return (counts.sum() / seen).log()

    @functools.cached_property
    def _counts(self) -> tuple[Int[Tensor, " I"], Float[Tensor, " I"]] | None:
        counts = read_counts(self.frequencies) if isinstance(self.frequencies, str) else self.frequencies
        if counts is None:
            return None
        numbers = torch.tensor(list(counts.values()), dtype=torch.float64, device="cpu")
        return torch.tensor(list(counts), device="cpu"), numbers
