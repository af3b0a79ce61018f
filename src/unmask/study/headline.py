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


def headline(results: Results, summary: Row, problems: Sequence[Problem], found: Mapping[str, Overlap]) -> Row:
    """Compute what a comparison of recipes comes to.

    Args:
        results: of all runs that exist.
        summary: of the study's report, whose comparisons are of the arms among each other.
        problems: that were asked.
        found: for each recipe the overlap of the questions with its training data.

    Returns:
        ``sentences``; ``models``: for the base and each recipe the accuracy under the first decoder with its interval,
        the difference from the base with interval and p (Holm's, over the recipes), and the same of the general
        problems; ``differences``: between each recipe and the first one; ``questions``, and ``overlap``.
    """
    decoder = next(iter(results.bases[CELL]["decoders"]))
    base = results.bases[CELL]
    by_arm: dict[str, list[Mapping[str, Any]]] = {}
    for result in results.runs:
        by_arm.setdefault(result["arm"], []).append(result["points"][-1])
    models = [{"model": BASE, **_judged([base["decoders"][decoder]["right"]], None, "")}]
    general = base.get("general")
    if general:
        models[0] |= _judged([general["right"]], None, "general_")
    for arm, points in by_arm.items():
        row = {"model": arm, "runs": len(points)}
        row |= _judged([p["decoders"][decoder]["right"] for p in points], base["decoders"][decoder]["right"], "")
        if general:
            row |= _judged([p["general"]["right"] for p in points], general["right"], "general_")
        models.append(row)
    for name in ("p", "general_p"):
        tested = [row for row in models if row.get(name) is not None]
        for row, p in zip(tested, holm([row[name] for row in tested]), strict=True):
            row[name] = p
    budget = summary["comparisons"][0]["budget"]
    pairs = [
        row for row in summary["comparisons"]
        if row["difference"] is not None and (row["decoder"], row["budget"]) == (decoder, budget)
    ]  # fmt: skip
    names = ("arm", "difference", "difference_interval", "p_holm", "p_seeds", "above")
    differences = [{name: row[name] for name in names} for row in pairs]
    made: Row = {
        "decoder": decoder, "questions": len(problems), "models": models, "differences": differences,
        "general_problems": len(general["right"]) if general else 0,
        "overlap": {name: each.as_dict() for name, each in found.items()},
    }  # fmt: skip
    return {"sentences": _sentences(made, summary["reference"]), **made}


def _judged(tables: Sequence[Sequence[int]], base: Sequence[int] | None, prefix: str) -> Row:
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
    return {f"{prefix}{name}": value for name, value in row.items()}


def is_shown(interval: Sequence[float], p: float) -> bool:
    """Return whether a difference is beyond chance: its 95 % interval leaves out 0, and p is at most 0.05."""
    return p <= 0.05 and not interval[0] <= 0 <= interval[1]


def _sentences(made: Row, reference: str) -> list[str]:
    said = [_between(row, reference) for row in made["differences"]]
    for row in made["models"][1:]:
        more = _more(row["difference"], f"the **{BASE}**")
        found = "" if is_shown(row["difference_interval"], row["p"]) else ": not shown at this size"
        said.append(f"**{row['model']}** answers {more} ({_span(row['difference_interval'])}){found}.")
    for row in made["models"][1:] if made["general_problems"] else ():
        said.append(_forgetting(row))
    if not made["general_problems"]:
        said.append(
            "What tuning has made worse elsewhere was not measured; --general with a task or a file of other questions "
            "does."
        )
    if made["questions"] < FEW:
        said.append(
            f"There are only {made['questions']} questions, so intervals are wide: only large differences can be shown."
        )
    return said


def _between(row: Row, reference: str) -> str:
    more = _more(row["difference"], f"**{reference}**")
    end = "."
    if not is_shown(row["difference_interval"], row["p_holm"]):
        end = ": not shown at this size; more seeds or questions would tell."
    return f"**{row['arm']}** answers {more} ({_span(row['difference_interval'])}){end}"


def _forgetting(row: Row) -> str:
    span, change = row["general_difference_interval"], row["general_difference"]
    if is_shown(span, row["general_p"]):
        verb = "has forgotten: it answers" if change < 0 else "has gained there, too: it answers"
    else:
        verb = "has forgotten nothing that can be shown: it answers"
    return f"On the general problems **{row['model']}** {verb} {_more(change, f'the **{BASE}**')} ({_span(span)})."


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
    kinds = {"questions": "", **({"general problems": "general_"} if general else {})}
    table = {
        row["model"]: {
            kind: {"accuracy": row[f"{prefix}accuracy"], "interval": row[f"{prefix}interval"]}
            for kind, prefix in kinds.items()
        }
        for row in models
    }
    (out / "figures").mkdir(exist_ok=True)
    plot_accuracies(table, out / "figures" / "models.png")
    heads = ["", "right", f"against {BASE}", "p"] + (["general", f"against {BASE}", "p"] if general else [])
    rows = [(row["model"], *(cell for prefix in kinds.values() for cell in cells(row, prefix))) for row in models]
    sections: list[Section] = [Text(said, number == 0) for number, said in enumerate(made["sentences"][:1])]
    sections += [
        Items(made["sentences"][1:]),
        Figure("figures/models.png", f"Share of right answers, decoded by {made['decoder']}, with 95 % intervals"),
        Table(heads, rows),
        Text(
            f"Decoded by {made['decoder']}; {made['questions']} questions"
            f"{f' and {general} general problems' if general else ''}. Differences are in points (of 100 questions), "
            "with 95 % intervals over seeds and questions; p is of a paired permutation test over questions, after "
            "Holm's correction over the recipes."
        ),
        Heading("Are the questions in the training data?"),
        Items([f"**{name}**: {each.summary()}." for name, each in found.items()]),
    ]
    return [*sections, Items(list(remarks))] if remarks else sections


def cells(row: Row, prefix: str) -> tuple[str, str, str]:
    """Return accuracy, difference from the base, and p of a model as texts; ``general_`` as prefix: of general ones."""
    low, high = row[f"{prefix}interval"]
    right = f"{row[f'{prefix}accuracy'] * 100:.1f} % ({low * 100:.0f} to {high * 100:.0f})"
    if row[f"{prefix}difference"] is None:
        return right, "", ""
    least, most = (f"{value * 100:+.0f}" for value in row[f"{prefix}difference_interval"])
    p = row[f"{prefix}p"]
    return right, f"{row[f'{prefix}difference'] * 100:+.1f} ({least} to {most})", "< .001" if p < 0.001 else f"{p:.3f}"
