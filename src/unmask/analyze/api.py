"""``analyze``: every measurement of one or two models on a data set, as tables."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from unmask.analyze.learnability import Learnability, learnability
from unmask.analyze.mismatch import Mismatch, mismatch, mismatch_rows
from unmask.analyze.study import Study
from unmask.config.defaults import Layout, resolve_grid
from unmask.core.attention import Grid
from unmask.core.random import Draws
from unmask.data import Collator, Encoded
from unmask.errors import UserError
from unmask.models import LoadedModel


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, and the data as it reads them.

    Args:
        name: name of the model.
        lm: the model.
        examples: the data, encoded by its tokenizer and chat template.
    """

    name: str
    lm: LoadedModel
    examples: Sequence[Encoded]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The tables of an analysis.

    Args:
        learnability: tables of each model, in the order given.
        mismatch: the same; empty unless it was wanted.
        tokens: rows of the token table of all models.
        settings: what was measured.
    """

    learnability: list[Learnability]
    mismatch: list[Mismatch]
    tokens: list[dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def cells(self) -> list[dict[str, Any]]:
        """Rows of the long table, one for each model, bin and noise level."""
        return [row for found in self.learnability for row in found.rows()]

    @property
    def totals(self) -> list[dict[str, Any]]:
        """Rows of the table of all tokens together, one for each model and noise level."""
        return [{"model": found.model, **row} for found in self.learnability for row in found.totals()]

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Rows of the changes from the first model to the second; empty where there is one model."""
        return self.learnability[0].compare(self.learnability[1]) if len(self.learnability) > 1 else []

    @property
    def contexts(self) -> list[dict[str, Any]]:
        """Rows of the table of contexts, one for each model and context."""
        return [row for found in self.mismatch for row in found.rows()]

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of each table by name, empty tables left out."""
        named = {"learnability": self.cells, "tokens": self.tokens, "changes": self.changes, "mismatch": self.contexts}
        return {name: rows for name, rows in named.items() if rows}

    def as_dict(self) -> dict[str, Any]:
        """Return settings, totals and tables, as JSON types only."""
        return {**self.settings, "totals": self.totals, **self.tables()}

    def write(self, out: Path) -> list[Path]:
        """Write each table as a CSV file into a folder, and return the paths; fields without a number are empty."""
        out.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, rows in self.tables().items():
            paths.append(out / f"{name}.csv")
            with paths[-1].open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        return paths


def analyze(
    subjects: Sequence[Subject],
    study: Study,
    *,
    block_size: int,
    grid: Grid | None = None,
    canvas: int | None = None,
    with_mismatch: bool = False,
    most_tokens: int = 100,
    on_rows: Callable[[int], None] | None = None,
) -> Findings:
    """Measure what tokens can teach at each noise level, of one model or of two on the same noise.

    A ``UserError`` is raised where the models do not read the same answers, or there is nothing to measure.

    Args:
        subjects: one or two models, with the same answers token for token.
        study: what is measured.
        block_size: of the decoder, columns.
        grid: where blocks are counted from; None: as the first model was trained.
        canvas: columns of every canvas; None: the answer and filler to the block boundary, without a tail.
        with_mismatch: also measure how far training contexts pull the gradient; several times the cost.
        most_tokens: how many of the most frequent tokens the token table has.
        on_rows: called with the number of rows read so far, of ``analysis_rows(...)``.

    Returns:
        The tables of all models.
    """
    _check_same_answers(subjects)
    grid = resolve_grid(layout=grid, model=subjects[0].lm.facts.grid)
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        if on_rows:
            on_rows(done)

    tables, contexts, tokens = [], [], []
    for subject in subjects:
        lm, examples = subject.lm, subject.examples
        layout = Layout(block_size=block_size, grid=grid, canvas=canvas, tail_blocks=0)
        collator = Collator(layout=layout, filler_id=lm.filler_id, draws=Draws(seed=study.seed))
        tables.append(learnability(lm, examples, collator, study, name=subject.name, on_rows=advance))
        tokens += tables[-1].tokens(partial(spell, lm), most_tokens)
        if with_mismatch:
            options: dict[str, Any] = {"passes": study.passes, "batch_size": study.batch_size, "seed": study.seed}
            contexts.append(mismatch(lm, examples, collator, name=subject.name, on_rows=advance, **options))
    settings = {
        "models": [subject.name for subject in subjects],
        "examples": len(subjects[0].examples),
        "tokens_in_answers": int(tables[0].frequency.counts.sum()),
        "different_tokens": len(tables[0].frequency.ids),
        "block_size": block_size,
        "canvas": canvas,
        "ratios": list(study.ratios),
        "passes": study.passes,
        "seed": study.seed,
        "bins": tables[0].frequency.rows(),
    }
    return Findings(learnability=tables, mismatch=contexts, tokens=tokens, settings=settings)


def check_out(out: Path) -> None:
    """Make the folder that the tables are to be written to, before hours of measuring.

    Args:
        out: the folder, new or empty.

    Raises:
        UserError: it holds something, is a file, or cannot be made.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: expected a folder, found a file; choose another --out")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: is not empty; choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror}); choose another --out") from error


def analysis_rows(subjects: int, examples: int, study: Study, *, with_mismatch: bool) -> int:
    """Return how many rows ``analyze`` reads in all, for so many models (``subjects``) and examples of each."""
    rows = study.rows(examples) + (mismatch_rows(examples, study.passes) if with_mismatch else 0)
    return subjects * rows


def spell(lm: LoadedModel, token: int) -> str:
    """Return the text of one token as its tokenizer writes it, special tokens included; its id without a tokenizer."""
    return str(token) if lm.tokenizer is None else str(lm.tokenizer.decode([token], skip_special_tokens=False))


def _check_same_answers(subjects: Sequence[Subject]) -> None:
    first = subjects[0].examples
    for subject in subjects[1:]:
        if len(subject.examples) != len(first):
            raise UserError(
                f"expected two models that read the same answers, found that {subjects[0].name} reads {len(first)} and "
                f"{subject.name} {len(subject.examples)}; compare models of one tokenizer"
            )
        for mine, theirs in zip(first, subject.examples, strict=True):
            if list(mine.answer) != list(theirs.answer):
                raise UserError(
                    f"{mine.source}: expected the same answer tokens for both models, found that {subjects[0].name} "
                    f"and {subject.name} read it differently; compare models of one tokenizer"
                )
