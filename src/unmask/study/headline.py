"""What a comparison of recipes comes to: a sentence for each, with the base, and what tuning has made worse."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from unmask.data.overlap import Overlap
from unmask.evaluate.intervals import difference_interval, share_interval
from unmask.evaluate.statistics import holm, paired_permutation
from unmask.plots.figures import plot_accuracies
from unmask.study.compare import FLIPS, RESAMPLES
from unmask.study.document import Figure, Heading, Items, Section, Table, Text
from unmask.study.recipes import FEW
from unmask.study.results import Results
from unmask.tasks import Problem

Row = dict[str, Any]
BASE = "base"
CELL = "all"
GENERAL = "general problems"


def headline(results: Results, summary: Row, problems: Sequence[Problem], found: Mapping[str, Overlap]) -> Row:
    """Compute what a comparison of recipes comes to.

    Args:
        results: of all runs that exist.
        summary: of the study's report, whose comparisons are of the arms among each other.
        problems: that were asked.
        found: for each recipe the overlap of the questions with its training data.

    Returns:
        ``sentences``; ``models``: for the base and each recipe, under each decoder and on the general problems
        (``judged``), the accuracy with its interval, and the difference from the base with interval and p (Holm's, over
        the recipes); ``differences``: between each recipe and the first one, under each decoder; ``questions``,
        ``general_problems``, and ``overlap``.
    """
    base = results.bases[CELL]
    by_arm: dict[str, list[Mapping[str, Any]]] = {}
    for result in results.runs:
        by_arm.setdefault(result["arm"], []).append(result["points"][-1])
    theirs = _outcomes(base)
    models: list[Row] = [
        {"model": BASE, "runs": 1, "judged": {kind: _judged([right], None) for kind, right in theirs.items()}}
    ]
    for arm, points in by_arm.items():
        mine = [_outcomes(point) for point in points]
        judged = {kind: _judged([each[kind] for each in mine], right) for kind, right in theirs.items()}
        models.append({"model": arm, "runs": len(points), "judged": judged})
    for kind in theirs:
        rows = [row["judged"][kind] for row in models[1:]]
        for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
            row["p"] = p
    budget = summary["comparisons"][0]["budget"]
    pairs = [row for row in summary["comparisons"] if row["difference"] is not None and row["budget"] == budget]
    names = ("decoder", "arm", "difference", "difference_interval", "p_holm", "p_seeds", "above")
    made: Row = {
        "decoders": list(base["decoders"]), "questions": len(problems), "models": models,
        "differences": [{name: row[name] for name in names} for row in pairs],
        "general_problems": len(theirs.get(GENERAL, ())),
        "overlap": {name: each.as_dict() for name, each in found.items()},
    }  # fmt: skip
    return {"sentences": _sentences(made, summary["reference"]), **made}


def _outcomes(point: Mapping[str, Any]) -> dict[str, Sequence[int]]:
    """Return the outcomes of a judged model by decoder, and those of the general problems if there are some."""
    found = {decoder: row["right"] for decoder, row in point["decoders"].items()}
    return found | ({GENERAL: point["general"]["right"]} if "general" in point else {})


def _judged(tables: Sequence[Sequence[int]], base: Sequence[int] | None) -> Row:
    """Return accuracy and interval of outcomes (seeds x problems), and how they differ from the base's."""
    row: Row = {
        "accuracy": fmean(map(fmean, tables)), "interval": list(share_interval(tables, resamples=RESAMPLES)),
        "difference": None, "difference_interval": None, "p": None,
    }  # fmt: skip
    if base is not None:
        theirs = [base] * len(tables)
        row["difference"] = row["accuracy"] - fmean(base)
        row["difference_interval"] = list(difference_interval(tables, theirs, resamples=RESAMPLES))
        row["p"] = paired_permutation(tables, theirs, flips=FLIPS)
    return row


def is_shown(interval: Sequence[float], p: float) -> bool:
    """Return whether a difference is beyond chance: its 95 % interval leaves out 0, and p is at most 0.05."""
    return p <= 0.05 and not interval[0] <= 0 <= interval[1]


def _sentences(made: Row, reference: str) -> list[str]:
    first, *others = made["decoders"]
    said = [_between(row, reference, "") for row in made["differences"] if row["decoder"] == first]
    tuned = made["models"][1:]
    for row in tuned:
        judged = row["judged"][first]
        end = "" if is_shown(judged["difference_interval"], judged["p"]) else ": not shown at this size"
        more = _more(judged["difference"], f"the **{BASE}**")
        said.append(f"**{row['model']}** answers {more} ({_span(judged['difference_interval'])}){end}.")
    for decoder in others:
        mine = [row for row in made["differences"] if row["decoder"] == decoder]
        said += [_between(row, reference, f"Decoded by {decoder}, ") for row in mine]
    solves = made["general_problems"] and made["models"][0]["judged"][GENERAL]["accuracy"] > 0
    said += [_forgetting(row["model"], row["judged"][GENERAL]) for row in tuned if solves]
    if made["general_problems"] and not solves:
        said.append(
            f"The **{BASE}** answers none of the general problems right, so they cannot show what tuning has "
            "forgotten: look at the rule that judges them (--general-answer), or take problems that it can solve."
        )
    if not made["general_problems"]:
        said.append(
            "What tuning has made worse elsewhere was not measured; --general with a task or a file of other questions "
            "does."
        )
    if all(row["runs"] == 1 for row in tuned):
        said.append("Each recipe ran with one seed, which says nothing about others: --seeds 3 would.")
    if made["questions"] < FEW:
        said.append(
            f"There are only {made['questions']} questions, so intervals are wide: only large differences can be shown."
        )
    return said


def _between(row: Row, reference: str, start: str) -> str:
    more = _more(row["difference"], f"**{reference}**")
    end = "."
    if not is_shown(row["difference_interval"], row["p_holm"]):
        end = ": not shown at this size; more seeds or questions would tell."
    return f"{start}**{row['arm']}** answers {more} ({_span(row['difference_interval'])}){end}"


def _forgetting(model: str, row: Row) -> str:
    span, change = row["difference_interval"], row["difference"]
    verb = "has forgotten nothing that can be shown"
    if is_shown(span, row["p"]):
        verb = "has forgotten" if change < 0 else "has gained there, too"
    return f"On the general problems **{model}** {verb}: it answers {_more(change, f'the **{BASE}**')} ({_span(span)})."


def _more(share: float, other: str) -> str:
    """Return a difference of shares in words, such as 7 more of 100 questions right than a."""
    points = abs(share) * 100
    if points < 0.05:
        return f"as many questions right as {other}"
    number = f"{points:.1f}".removesuffix(".0")
    return f"{number} {'more' if share > 0 else 'fewer'} of 100 questions right than {other}"


def _span(interval: Sequence[float]) -> str:
    low, high = (f"{value * 100:+.0f}" for value in interval)
    return f"95 % interval {low} to {high}"


def sections_of(made: Row, found: Mapping[str, Overlap], remarks: Sequence[str], out: Path) -> list[Section]:
    """Draw the picture of a comparison, and return the sections that its report begins with.

    Args:
        made: what ``headline`` returned.
        found: for each recipe the overlap of the questions with its training data.
        remarks: a line each on how it was compared.
        out: folder of the comparison.

    Returns:
        Sentences, picture, table, and the overlap.
    """
    models, general = made["models"], made["general_problems"]
    kinds = list(models[0]["judged"])
    (out / "figures").mkdir(exist_ok=True)
    plot_accuracies({row["model"]: row["judged"] for row in models}, out / "figures" / "models.png")
    heads = ["", *(head for kind in kinds for head in (kind, f"against {BASE}", "p"))]
    rows = [(row["model"], *(cell for kind in kinds for cell in cells(row["judged"][kind]))) for row in models]
    sections: list[Section] = [Text(said, number == 0) for number, said in enumerate(made["sentences"][:1])]
    sections += [
        Items(made["sentences"][1:]),
        Figure("figures/models.png", "Share of right answers under each decoder, with 95 % intervals"),
        Table(heads, rows),
        Text(
            f"{made['questions']} questions, under each decoder"
            f"{f', and {general} general problems under the first' if general else ''}. Differences are in points (of "
            "100 questions), with 95 % intervals over seeds and questions; p is of a paired permutation test over "
            "questions, after Holm's correction over the recipes."
        ),
        Heading("Are the questions in the training data?"),
        Items([f"**{name}**: {each.summary()}." for name, each in found.items()]),
    ]
    return [*sections, Items(list(remarks))] if remarks else sections


def cells(row: Row) -> tuple[str, str, str]:
    """Return accuracy, difference from the base, and p of a judged model as texts; the last two empty for the base."""
    low, high = (f"{value * 100:.0f}" for value in row["interval"])
    right = f"{row['accuracy'] * 100:.1f} % ({low} to {high})"
    if row["difference"] is None:
        return right, "", ""
    least, most = (f"{value * 100:+.0f}" for value in row["difference_interval"])
    difference = f"{row['difference'] * 100:+.1f} ({least} to {most})"
    return right, difference, "< .001" if row["p"] < 0.001 else f"{row['p']:.3f}"
