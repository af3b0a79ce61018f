"""Judges a model with every decoder, also during a run, and records each problem's outcome."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.evaluate import Answer, evaluate
from unmask.evaluate.lines import as_row
from unmask.models import LoadedModel
from unmask.study.bounds import bounds
from unmask.study.files import read_json, write_json
from unmask.study.grid import fingerprint
from unmask.study.spec import JudgeSection
from unmask.tasks import Problem
from unmask.train.config import TrainRun
from unmask.train.metrics import MetricsFile

Which = Literal["test", "validation"]
CANDIDATES = 4
COSTS = ("examples", "supervised_tokens", "forward_tokens", "flops")
JUDGING = "judging_seconds"
"""Name under which a run's metrics carry the time that judging took so far: it is no part of the run's budget."""


def problems_of(section: JudgeSection, which: Which) -> Sequence[Problem]:
    """Return the problems that rates are chosen by, or the ones that are reported; they never overlap."""
    size = None if section.problems is None else section.validation + section.problems
    problems: Sequence[Problem] = section.task.problems("test", size, section.seed)
    if section.problems is None and len(problems) <= section.validation:
        raise UserError(
            f"evaluate.validation: expected fewer than the {len(problems)} problems there are, found "
            f"{section.validation}; write 0, and one rate, to use them all for the comparison"
        )
    return problems[: section.validation] if which == "validation" else problems[section.validation :]


def judge(
    lm: LoadedModel, section: JudgeSection, decoders: dict[str, Decoder], problems: Sequence[Problem], out: Path | None
) -> dict[str, dict[str, Any]]:
    """Decode the problems with each decoder.

    Args:
        lm: the model.
        section: canvas, batch and seed.
        decoders: by name.
        problems: what the model is asked.
        out: folder for the texts; None: they are not written.

    Returns:
        By decoder: ``right`` (1 or 0 for each problem), accuracy, forwards a problem, tokens per forward, seconds.
    """
    found = {}
    for number, (name, decoder) in enumerate(decoders.items()):
        done = evaluate(
            lm, section.task, problems, decoder=decoder, max_new_tokens=section.max_new_tokens,
            batch_size=section.batch_size, seed=section.seed,
        )  # fmt: skip
        found[name] = {
            "accuracy": done.accuracy,
            "right": [int(answer.is_right) for answer in done.answers],
            "forwards": done.forwards / len(problems),
            "tokens_per_forward": done.tokens_per_forward,
            "seconds": done.seconds,
        }
        if out is not None:
            _write_answers(out / f"{number}.jsonl", done.answers)
    return found


def general_of(
    lm: LoadedModel, section: JudgeSection, decoders: dict[str, Decoder], out: Path | None
) -> dict[str, Any]:
    """Decode the general problems with the first decoder; empty unless the study has some.

    Args:
        lm: the model.
        section: which problems, canvas, batch and seed.
        decoders: by name.
        out: folder for the texts; None: they are not written.

    Returns:
        ``general``: ``right`` (1 or 0 for each problem), accuracy, the decoder's name, and a hash of the problems.
    """
    task, name = section.general, section.tuned_on[0]
    if task is None:
        return {}
    problems = task.problems("test", section.general_problems or task.default_problems, section.seed)
    done = evaluate(
        lm, task, problems, decoder=decoders[name], max_new_tokens=section.max_new_tokens,
        batch_size=section.batch_size, seed=section.seed,
    )  # fmt: skip
    if out is not None:
        _write_answers(out / "general.jsonl", done.answers)
    right = [int(answer.is_right) for answer in done.answers]
    found = {"decoder": name, "accuracy": done.accuracy, "right": right, "problem_keys": problem_keys(problems)}
    return {"general": found}


def bounds_of(lm: LoadedModel, section: JudgeSection) -> dict[str, Any]:
    """Return the likelihood bounds of solutions beyond the validation problems; empty unless the study wants them."""
    if not section.bound:
        return {}
    wanted = max(section.problems or 0, CANDIDATES * section.bound.examples)  # some solutions are too long
    problems = section.task.problems("test", section.validation + wanted, section.seed)[section.validation :]
    shared = section.decoder.get("block_size")
    return {"bounds": bounds(lm, section.bound, section.task, problems, block_size=shared)}


def _write_answers(path: Path, answers: Sequence[Answer]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(as_row(answer), ensure_ascii=False) + "\n" for answer in answers), "utf-8")


def problem_keys(problems: Sequence[Problem]) -> str:
    """Return a hash of which problems were answered, so that runs are paired over the same ones."""
    return fingerprint([problem.key for problem in problems])


class Judge:
    """Judges the model of a training run whenever the run evaluates; writes ``points/STEP.json``.

    Args:
        section: how models are judged.
        which: validation problems (with the decoders that rates are chosen by) or test problems.
        run: the training run that calls; it decides at which steps.
        metrics: the run's metrics file, which shows at which step a resumed run stands.
        out: folder of the points.
    """

    def __init__(self, section: JudgeSection, which: Which, run: TrainRun, *, metrics: Path, out: Path) -> None:
        self.section, self.which, self.metrics, self.out = section, which, metrics, out
        decoders = section.made(run.objective.block_size)
        self.decoders = decoders if which == "test" else {name: decoders[name] for name in section.tuned_on}
        self.problems = problems_of(section, which)
        self.steps = [*range(0, run.steps, run.eval_every or run.steps), run.steps]

    def __call__(self, lm: LoadedModel) -> dict[str, float]:
        """Judge the model as it is now; return accuracies and the seconds that judging has taken so far."""
        lines = MetricsFile.read(self.metrics)
        before = lines[-1]["step"] if lines else -1
        step = next(step for step in self.steps if step > before)
        if step == 0:  # the base, which is judged once for all runs
            return {JUDGING: 0.0}
        began = time.perf_counter()
        answers = self.out / "answers" if step == self.steps[-1] else None
        found = judge(lm, self.section, self.decoders, self.problems, answers)
        extra: dict[str, Any] = {}
        if answers and self.which == "test":
            extra = bounds_of(lm, self.section) | general_of(lm, self.section, self.decoders, answers)
        write_json(self.out / f"{step:07d}.json", {"step": step, "decoders": found, **extra})
        spent = max((line[JUDGING] for line in lines if JUDGING in line), default=0.0) + time.perf_counter() - began
        return {**{f"accuracy of {name}": row["accuracy"] for name, row in found.items()}, JUDGING: spent}


def read_points(metrics: Path, out: Path) -> dict[str, Any]:
    """Join the costs in a run's metrics file with what was judged.

    Args:
        metrics: the metrics file.
        out: folder of the judged points.

    Returns:
        ``points``, with costs that exclude judging, and the seconds that judging took.
    """
    points, spent = [], 0.0
    for line in MetricsFile.read(metrics):
        if JUDGING in line and line["step"]:
            spent = line[JUDGING]
            judged = read_json(out / f"{line['step']:07d}.json", "delete the run's folder and start the study again")
            point: dict[str, Any] = {name: line[name] for name in COSTS}
            point |= {"steps": line["step"], "seconds": line["seconds"] - spent}
            points.append(point | {name: judged[name] for name in ("decoders", "bounds", "general") if name in judged})
    return {"points": points, JUDGING: spent}
