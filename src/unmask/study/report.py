"""A study's report: ``report.md``, ``report.html``, ``summary.json`` and figures, made of the raw results alone."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from unmask.evaluate.verify import hash_of
from unmask.study.bounds import compare_bounds
from unmask.study.compare import check_headroom, compare
from unmask.study.document import Figure, Heading, Items, Section, Table, Text, to_html, to_markdown
from unmask.study.figures import draw
from unmask.study.files import write_json
from unmask.study.grid import ALL, Cell
from unmask.study.heat_maps import heat_maps
from unmask.study.rates import best_rate, is_at_edge, trials_of
from unmask.study.results import Results
from unmask.study.spec import HEADS, NAMES, Study
from unmask.study.verify import RESULT, SUMMARY

INTERVALS = "bootstrap over seeds and problems, at least Wilson's of the effective number of answers"
Row = dict[str, Any]
Lead = Callable[[Results, Row, Path], list[Section]]
"""Makes the first sections of a report of the results, its summary and its folder; it may add to the summary."""


def write_report(study: Study, cells: Sequence[Cell], results: Results, out: Path, *, lead: Lead | None = None) -> Row:
    """Write the report, its figures and ``summary.json`` into the study's folder.

    Args:
        study: its settings.
        cells: cells of the grid.
        results: the results that exist.
        out: folder of the study.
        lead: makes the sections below the title; None: a sentence for each arm, and what room there is.

    Returns:
        The content of ``summary.json``.
    """
    present = {curve.arm for curve in results.curves}
    made = figures_of(study, cells, results)
    rows, bounds = made["comparisons"], made["bounds"]
    figures, maps = draw(study, cells, results, rows, out), heat_maps(study, cells, results, out)
    summary = {
        "question": study.question, **made,
        "figures": [part.path for part in [*figures, *maps] if isinstance(part, Figure)],
        "versions": results.runs[0]["versions"], "machine": results.runs[0]["machine"],
        "results": {
            each["path"]: hash_of(out / each["path"] / RESULT)
            for each in (*results.bases.values(), *results.trials, *results.runs)
        },
    }  # fmt: skip
    title, *how = _head(study, cells, results, present)
    usual = (*how, *_short(study, rows), *_headroom(study, made["room"]))
    sections = [
        title, *((*lead(results, summary, out), *figures, Heading("How it was compared"), *how) if lead else
                 (*usual, *figures)),
        *_budgets(study, rows), *_bounds(results, bounds), *_costs_section(made["costs"]),
        *_rates(made["rates"], cells[0].judge.tuned_on), *maps, *_runs(results),
    ]  # fmt: skip
    (out / "report.md").write_text(to_markdown(sections), "utf-8")
    (out / "report.html").write_text(to_html(sections, study.question), "utf-8")
    write_json(out / SUMMARY, summary)
    return summary


def figures_of(study: Study, cells: Sequence[Cell], results: Results, *, intervals: bool = True) -> Row:
    """Compute all figures of a report; they follow from the results.

    Args:
        study: its settings.
        cells: cells of the grid.
        results: the results that exist.
        intervals: whether to make the intervals of comparisons, which takes most of the time.

    Returns:
        The figures by name, as ``summary.json`` has them.
    """
    judged = cells[0].judge
    looked_at = judged.tuned_on if len(judged.decoders) > 3 else tuple(judged.decoders)
    return {
        "reference": study.compared_with, "missing_runs": results.missing,
        "room": check_headroom(results.curves, study.room.base, study.room.tuned, looked_at),
        "interval_method": INTERVALS,
        "comparisons": compare(results.curves, study.equal, study.compared_with, intervals=intervals),
        "costs": list(_costs(results)),
        "rates": [
            {"cell": cell, "arm": arm, "chosen": best_rate(found), "at_edge": is_at_edge(found), "trials": found}
            for (cell, arm), found in trials_of(results.trials).items()
        ],
        "bounds": compare_bounds(results.runs, study.compared_with),
    }  # fmt: skip


def _head(study: Study, cells: Sequence[Cell], results: Results, present: set[str]) -> Iterator[Section]:
    yield Heading(study.question, 1)
    judged = cells[0].judge
    versions, machine = results.runs[0]["versions"], results.runs[0]["machine"]
    shown = len({result["cell"] for result in results.runs})
    rates = ", ".join(f"{rate:g}" for rate in study.rates)
    if len(study.rates) <= 1:
        rates = f"the rate {rates}" if study.rates else "the rate of its own recipe"
    else:
        rates = f"the best of the rates {rates}, on validation problems"
    yield Text(
        f"{_count(len(results.runs), 'run')}: {_count(len(present), 'arm')}, {_count(len(study.seeds), 'seed')}, "
        f"{_count(shown, 'cell')}; every arm at {rates}. "
        f"Judged on {results.runs[0]['problems']} test problems, the same for all runs, "
        f"by {len(judged.decoders)} decoders. Intervals are of 95 %, by the {INTERVALS}. Of the two p values, p is "
        "of a paired permutation test over problems, after Holm's correction over the tests of a budget: it speaks of "
        f"these seeds. {_seeds_say(len(study.seeds))}"
    )
    kept = ", ".join(f"{name} {versions[name]}" for name in ("unmask", "torch", "transformers"))
    yield Text(f"{kept}, {machine['machine']}, {machine['threads']} thread a run. [Recipe and settings](study.json), "
               "[all figures as JSON](summary.json).")  # fmt: skip
    if results.missing:
        yield Text(
            f"**{results.missing} runs of this study are missing**; what follows is of those that are there.", True
        )


def _seeds_say(seeds: int) -> str:
    """Return a sentence on what the test over seeds can show with so many."""
    if seeds < 2:
        return "One seed says nothing of other seeds, so that there is no p over seeds."
    return (
        "p over seeds flips the signs of the seeds' mean differences and speaks of seeds in general, uncorrected; with "
        f"{seeds} seeds it is at least 2/2^{seeds} = {_p(2 / 2**seeds)}."
    )


def _short(study: Study, rows: Sequence[Row]) -> Iterator[Section]:
    """Yield a sentence for each arm: what the first budget showed under the first two decoders."""
    budget = next(iter(study.equal))
    told = [row for row in rows if row["budget"] == budget and row["difference"] is not None]
    shown = list(dict.fromkeys(row["decoder"] for row in told))[:2]
    if not told:
        return
    yield Heading(f"In short, {HEADS[budget]}")
    yield Items([_sentence(row, study.compared_with) for row in told if row["decoder"] in shown])


def _sentence(row: Row, reference: str) -> str:
    low, high = row["difference_interval"]
    points = row["difference"] * 100
    found = f"no clear difference from {reference}: {points:+.1f} points"
    if row["p_holm"] <= 0.05 and not low <= 0 <= high:
        found = f"{abs(points):.1f} points {'above' if points > 0 else 'below'} {reference}"
    where = "" if row["cell"] == ALL else f" ({row['cell']})"
    score = f"{low * 100:+.1f} to {high * 100:+.1f}; {_both_p(row)}; above in {row['above']} seeds"
    return f"**{row['arm']}** under {row['decoder']}{where}: {found} ({score})"


def _headroom(study: Study, rows: Sequence[Row]) -> Iterator[Section]:
    yield Heading("Is there room for differences?")
    for row in rows:
        if row["faults"]:
            yield Text(f"**No room** in {row['cell']} under {row['decoder']}: {'; '.join(row['faults'])}.", True)
    if not any(row["faults"] for row in rows):
        low, high = study.room.base
        yield Text(
            f"Yes: every base stands between {low:.0%} and {high:.0%}, and no arm reaches {study.room.tuned:.0%}."
        )
    yield Table(
        ("cell", "decoder", "base", "best arm", "its accuracy"),
        [(row["cell"], row["decoder"], f"{row['base']:.3f}", row["arm"], f"{row['best']:.3f}") for row in rows],
    )


def _budgets(study: Study, rows: Sequence[Row]) -> Iterator[Section]:
    for budget, group in groupby(rows, key=lambda row: row["budget"]):
        yield Heading(HEADS[budget].capitalize() if budget == "run" else f"At equal {NAMES[budget]}")
        for cell, inside in groupby(group, key=lambda row: row["cell"]):
            mine = list(inside)
            if budget != "run":
                yield Text(f"{'' if cell == ALL else f'**{cell}**, '}at {_amount(mine[0]['amount'])} {NAMES[budget]}")
            elif cell != ALL:
                yield Text(f"**{cell}**")
            yield _table(study, mine)


def _table(study: Study, rows: Sequence[Row]) -> Table:
    """Return a row for each arm: for each decoder the accuracy, the difference and the seeds, linked to their runs."""
    decoders = list(dict.fromkeys(row["decoder"] for row in rows))
    by_arm: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_arm.setdefault(row["arm"], {})[row["decoder"]] = row
    if len(decoders) > 3:
        lines = [(arm, *(_brief(mine[d]) for d in decoders)) for arm, mine in by_arm.items()]
        return Table(("", *decoders), lines)
    reference = study.compared_with
    heads = [f"{what}{decoder}" for decoder in decoders for what in ("", f"against {reference}: ", "seeds: ")]
    lines = [(arm, *(text for d in decoders for text in _cells(mine[d], reference))) for arm, mine in by_arm.items()]
    return Table(("", *heads), lines)


def _brief(row: Row) -> str:
    if row["difference"] is None:
        return f"{row['accuracy']:.3f}"
    star = "\\*" if row["p_holm"] <= 0.05 else ""
    return f"{row['accuracy']:.3f} ({row['difference'] * 100:+.1f}{star})"


def _cells(row: Row, reference: str) -> tuple[str, str, str]:
    low, high = row["interval"]
    seeds = " ".join(
        f"[{accuracy:.3f}]({row['paths'][seed]}/result.json)" for seed, accuracy in row["seeds"].items()
    )  # fmt: skip
    difference = "reference" if row["arm"] == reference else "no run to pair with"
    if row["difference"] is not None:
        least, most = row["difference_interval"]
        difference = (
            f"{row['difference'] * 100:+.1f} ({least * 100:+.1f} to {most * 100:+.1f}), {_both_p(row)}, "
            f"above in {row['above']}"
        )
    return f"{row['accuracy']:.3f} ({low:.3f} to {high:.3f})", difference, seeds


def _costs(results: Results) -> Iterator[Row]:
    """Yield what a whole run of each arm cost, and what decoding its model costs; means over seeds."""
    for (cell, arm), group in groupby(
        sorted(results.runs, key=lambda r: (r["cell"], r["arm"])), key=lambda r: (r["cell"], r["arm"])
    ):
        last = [(result["points"][-1], result["problems"]) for result in group]
        row = {"cell": cell, "arm": arm, **{name: fmean(point[name] for point, _ in last) for name in NAMES}}
        row["decoding"] = {
            decoder: {
                "tokens_per_forward": fmean(point["decoders"][decoder]["tokens_per_forward"] for point, _ in last),
                "forwards": fmean(point["decoders"][decoder]["forwards"] for point, _ in last),
                "seconds_per_problem": fmean(point["decoders"][decoder]["seconds"] / count for point, count in last),
            }
            for decoder in last[0][0]["decoders"]
        }
        yield row


def _costs_section(costs: Sequence[Row]) -> Iterator[Section]:
    yield Heading("What a whole run cost")
    yield Table(
        ("cell", "arm", *NAMES.values()), [(c["cell"], c["arm"], *(_amount(c[name]) for name in NAMES)) for c in costs]
    )
    yield Heading("What decoding cost, after the whole run")
    yield Table(
        ("cell", "arm", "decoder", "tokens per forward", "forwards a problem", "milliseconds a problem"),
        [
            (c["cell"], c["arm"], name, f"{d['tokens_per_forward']:.2f}", f"{d['forwards']:.1f}",
             f"{d['seconds_per_problem'] * 1e3:.1f}")
            for c in costs for name, d in c["decoding"].items()
        ],
    )  # fmt: skip


def _rates(trials: Sequence[Row], tuned_on: Sequence[str]) -> Iterator[Section]:
    if not trials:
        return
    yield Heading("Learning rates")
    yield Text(
        f"Accuracy on validation problems ({' and '.join(tuned_on)}), by a seed that is not reported; the best is bold."
    )
    rates = [trial["rate"] for trial in trials[0]["trials"]]
    lines = []
    for row in trials:
        shown = [f"[{t['accuracy']:.3f}]({t['path']}/result.json)" for t in row["trials"]]
        shown = [f"**{s}**" if t["rate"] == row["chosen"] else s for s, t in zip(shown, row["trials"], strict=True)]
        lines.append((row["cell"], row["arm"], *shown))
    yield Table(("cell", "arm", *(f"{rate:g}" for rate in rates)), lines)
    edge = [f"{row['arm']} ({row['cell']}, {row['chosen']:g})" for row in trials if row["at_edge"]]
    if edge:
        yield Text(f"At the edge of the grid, so that a better rate may lie outside: {', '.join(edge)}.")


def _bounds(results: Results, compared: Sequence[Row]) -> Iterator[Section]:
    """Yield the likelihood bounds after the whole run, where they were measured, and how arms differ in them."""
    lines = []
    for cell, base in results.bases.items():
        if "bounds" in base:
            lines.append((cell, "base", "", *_nats(base["bounds"]), f"[result]({base['path']}/result.json)"))
    for result in results.runs:
        found = result["points"][-1].get("bounds")
        if found:
            link = f"[result]({result['path']}/result.json)"
            lines.append((result["cell"], result["arm"], str(result["seed"]), *_nats(found), link))
    if lines:
        yield Heading("Likelihood of held-out solutions")
        yield Text(
            "Upper bounds on nats per token, in any order and as block decoding writes; ± one standard error. They "
            "compare between arms; losses of different objectives do not, and are not shown."
        )
        yield Table(("cell", "arm", "seed", "any order", "by blocks", "run"), lines)
    if compared:
        yield Text("Differences from the reference on the same examples, averaged over seeds; ± one standard error.")
        yield Table(
            ("cell", "arm", "order", "nats per token", "examples", "seeds"),
            [
                (r["cell"], r["arm"], r["order"].replace("_", " "),
                 f"{r['difference']:+.3f} ± {r['standard_error'] or 0:.3f}", str(r["examples"]), str(r["seeds"]))
                for r in compared
            ],
        )  # fmt: skip


def _nats(found: Row) -> tuple[str, str]:
    rows = (found["any_order"], found["by_block"])
    return tuple("" if row is None else f"{row['nats_per_token']:.3f} ± {row['standard_error']:.3f}" for row in rows)  # type: ignore[return-value]


def _runs(results: Results) -> Iterator[Section]:
    yield Heading("Runs")
    lines = []
    for result in results.runs:
        path = result["path"]
        link = f"[recipe and outcomes]({path}/result.json)"
        lines.append((result["cell"], result["arm"], str(result["seed"]), f"{result['rate']:g}", link))
    yield Table(("cell", "arm", "seed", "rate", "run"), lines)
    bases = [f"[{cell}]({base['path']}/result.json)" for cell, base in results.bases.items()]
    yield Text(f"Bases: {', '.join(bases)}.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}"


def _both_p(row: Row) -> str:
    over_seeds = "unknown" if row["p_seeds"] is None else _p(row["p_seeds"])
    return f"p {_p(row['p_holm'])}, over seeds {over_seeds}"


def _amount(value: float) -> str:
    return f"{value:.3g}" if value >= 1e7 else f"{value:,.0f}"
