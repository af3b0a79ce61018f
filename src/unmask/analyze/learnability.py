"""What the tokens of an answer can teach at each noise level, by how frequent they are (LIFT, arXiv 2605.22939).

For a token i of group g (a frequency bin, or one token id) that is masked at noise level t, let
p = p_theta(x_i | x_t, prompt) be the model's probability of the right token. All means are over tokens of g that are
masked at t:

    confidence    C(g, t) = mean p
    loss          L(g, t) = mean -ln p
    information   I(g, t) = L(g, 1) - L(g, t)
    learnability  A(g, t) = 27/4 mean p (1 - p)^2

*Learnability* is what one gradient step can change. A step of size h on the logits z of this token, z - h grad(-ln p),
raises p at the rate dp/dh = p |e - p|^2 with e the one-hot vector of the right token and p here the whole predicted
distribution; the square is (1 - p)^2 plus the squares of the wrong tokens' probabilities, so it lies between (1 - p)^2
and 2 (1 - p)^2. p (1 - p)^2 is that rate up to this factor: 0 where the token is known (p = 1: no gradient) and 0
where it is hopeless (p = 0: the step moves nothing), largest at p = 1/3, where the factor 27/4 makes it 1. The ELBO
masks a token with probability t and weighs it by 1/t, so that every t counts the same and A may be compared along t.

*Information* is what the visible part of the answer reveals of the token: for the true conditionals its mean is the
mutual information, in nats, of the token and the visible tokens given the prompt, never negative. For a model it is
an estimate, and negative where the context misleads it.

A is a potential, not a promise: a token that is ambiguous by nature keeps its p near the middle for ever. What was
learned is the fall of L between two models under the same noise, ``compare``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from unmask.analyze.frequency import FrequencyBins, bin_tokens
from unmask.analyze.passes import batches, in_evaluation
from unmask.analyze.study import Study
from unmask.analyze.sums import ENTRIES, Sums
from unmask.core.batch import Batch
from unmask.core.random import Draws
from unmask.data import Collator, Encoded
from unmask.errors import UserError
from unmask.models import LoadedModel


@dataclass(frozen=True, kw_only=True)
class Learnability:
    """The tables of one model.

    Args:
        model: name of the model.
        study: what was measured.
        frequency: the bins.
        by_bin: sums for each example, bin and noise level.
        by_token: sums for each token id, in the order of ``frequency.ids``, and noise level.
    """

    model: str
    study: Study
    frequency: FrequencyBins
    by_bin: Sums
    by_token: Sums

    def rows(self) -> list[dict[str, Any]]:
        """Return the long table: a row for each bin and noise level. Errors are one standard error, by example."""
        return [{"model": self.model, **row} for row in self._rows(self.by_bin.cells(self.study.ratios))]

    def compare(self, after: "Learnability") -> list[dict[str, Any]]:
        """Return the change from this model to ``after`` for each bin and noise level.

        Both have predicted the very same hidden tokens, so the errors are those of the paired difference. A
        ``UserError`` is raised where they have not.
        """
        if self.study != after.study or not torch.equal(self.by_bin.counts, after.by_bin.counts):
            raise UserError("expected two measurements of one study on the same data, found different ones")
        rows = self._rows(self.by_bin.changes(after.by_bin, self.study.ratios))
        return [{"before": self.model, "after": after.model, **row} for row in rows]

    def totals(self) -> list[dict[str, Any]]:
        """Return a row for each noise level, over all tokens."""
        return self.by_bin.merged().cells(self.study.ratios)[0]

    def tokens(self, spell: Callable[[int], str], most: int | None = None) -> list[dict[str, Any]]:
        """Return a row for each of the ``most`` frequent token ids (None: all) and noise level."""
        cells = self.by_token.cells(self.study.ratios, errors=False)
        heads = zip(*(column.tolist() for column in (self.frequency.ids, self.frequency.counts, self.frequency.bins)),
                    strict=True)  # fmt: skip
        return [
            {"model": self.model, "id": token, "token": spell(token), "occurrences": count, "bin": place + 1, **cell}
            for (token, count, place), row in list(zip(heads, cells, strict=True))[:most]
            for cell in row
        ]

    def _rows(self, cells: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        return [{**head, **cell} for head, row in zip(self.frequency.rows(), cells, strict=True) for cell in row]


def learnability(
    lm: LoadedModel,
    examples: Sequence[Encoded],
    collator: Collator,
    study: Study | None = None,
    *,
    name: str = "",
    on_rows: Callable[[int], None] | None = None,
) -> Learnability:
    """Mask the answers at every noise level, and score what is hidden.

    What is *hidden* at noise level t: every column of the answer, its end-of-turn token and the filler of its last
    block with probability t, as in vanilla training with a hidden tail; the tail always; the prompt never. What is
    *counted*: the answer and its end-of-turn token; not the filler, which repeats one token and has nothing of the
    answer. A token's random number is a function of the example, the token's column and the pass, and is the same for
    every t and every model: what a pass hides at one t it hides at all higher ones, and two models predict the same
    hidden tokens.

    Args:
        lm: the model; its training mode is restored.
        examples: their order decides which noise each gets.
        collator: lays the examples out in rows; not packed.
        study: what is measured.
        name: name of the model.
        on_rows: called with a number of rows whenever so many more are done, of ``study.rows`` in all.

    Returns:
        The tables of the model.

    Raises:
        UserError: there is no example, or fewer different tokens than bins.
    """
    study = study or Study()
    if not len(examples):
        raise UserError("expected at least one example to analyse, found none; check the data")
    frequency = bin_tokens((example.answer for example in examples), study.bins)
    levels = len(study.ratios)
    by_bin = Sums.empty(levels, len(examples), len(frequency))
    by_token = Sums.empty(levels, 1, len(frequency.ids))
    with in_evaluation(lm), torch.no_grad():
        for level, t in enumerate(study.ratios):
            for number in range(study.passes_at(t)):
                for batch in batches(examples, collator, study.batch_size):
                    order, tokens, entries = _score(lm, batch.to(lm.device), t, Draws(seed=study.seed), number)
                    rank = frequency.rank(tokens)
                    by_bin.add(level, order, frequency.bins[rank], entries)
                    by_token.add(level, torch.zeros_like(rank), rank, entries)
                    if on_rows:
                        on_rows(len(batch.order))
    return Learnability(model=name, study=study, frequency=frequency, by_bin=by_bin, by_token=by_token)


def _score(
    lm: LoadedModel, batch: Batch, t: float, draws: Draws, number: int
) -> tuple[Int[Tensor, " K"], Int[Tensor, " K"], Float64[Tensor, "K Q"]]:
    """Return the example, the token and the entries to be summed of every token that pass ``number`` hides."""
    is_hit = draws.uniform("learnability", batch.spread(batch.order), batch.offset, torch.tensor(number)) < t
    is_hidden = (batch.is_filled & is_hit) | (batch.is_canvas & ~batch.is_filled)
    is_queried = batch.is_text & is_hit
    tokens, order = batch.ids[is_queried].cpu(), batch.order[batch.owner[is_queried]].cpu()
    if not len(tokens):
        return order, tokens, torch.zeros(0, ENTRIES, dtype=torch.float64)
    query = batch.query(torch.where(is_hidden, lm.mask_id, batch.ids), lm.rule)
    scored = lm.score(query, is_queried.nonzero(), batch.ids[is_queried], want=("is_top", "confidence"))
    assert scored.confidence is not None  # both were wanted
    assert scored.is_top is not None
    nll = scored.nll.double().cpu()
    gold = (-nll).exp()
    top, right = scored.confidence.double().cpu(), scored.is_top.double().cpu()
    return order, tokens, torch.stack([torch.ones_like(nll), gold, top, nll, right, 6.75 * gold * (1 - gold) ** 2], -1)
