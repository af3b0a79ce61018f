"""SIGKILL at random moments: no checkpoint is lost, and what comes out in the end is what it would have been."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import done, kill, make_model, start, wait, write_recipe

from unmask.runtime.sealed import fault_of
from unmask.train import checkpoints

KILLS = 10  # of each kind


@dataclass(frozen=True)
class Kind:
    """A command that is killed.

    Args:
        name: of it.
        begin: its arguments in a new folder.
        go_on: its arguments in a folder where it was killed.
        result: what came out, to be compared.
    """

    name: str
    begin: Callable[[Path], list[object]]
    go_on: Callable[[Path], list[object]]
    result: Callable[[Path], Any]


def trial(folder: Path, *, seed: int, minutes: float) -> list[dict[str, object]]:
    """Kill each kind ten times, then let it end."""
    del minutes
    rows = []
    for kind in _kinds(folder):
        lost, same = _killed(kind, folder, random.Random(f"{seed}/{kind.name}"))
        rows += [
            {"tried": f"SIGKILL of {kind.name}: nothing lost", "held": KILLS - lost, "of": KILLS},
            {"tried": f"{kind.name} after {KILLS} kills: result as without", "held": int(same), "of": 1},
        ]
    return rows


def _kinds(folder: Path) -> list[Kind]:
    full = write_recipe(folder / "full.yaml")
    model = make_model(folder / "base")
    lora = write_recipe(folder / "lora.yaml", model={"path": str(model), "lora": {"rank": 2}})
    evaluate = ["eval", str(model), "--task", "sorting", "--problems", 200, "--max-new-tokens", 32, "--batch-size", 10]
    study = ["study", "blockwise-vs-vanilla", "--size", "smoke", "--jobs", 1, "--json", "--out"]
    return [
        Kind("sft", *_sft(full), _weights),
        Kind("sft with adapters", *_sft(lora), _weights),
        Kind(
            "eval",
            lambda out: [*evaluate, "--out", out],
            lambda out: [*evaluate, "--out", out, *(["--resume"] if (out / "run.json").exists() else [])],
            _answers,
        ),
        Kind(
            "study",
            lambda out: [*study, out],
            lambda out: [*study, out],
            _outcomes,
        ),
    ]


def _sft(recipe: Path) -> tuple[Callable[[Path], list[object]], Callable[[Path], list[object]]]:
    def go_on(out: Path) -> list[object]:
        if not (out / "run.json").exists():
            return ["sft", recipe, "--out", out]
        whole = checkpoints.newest(out / "checkpoints")
        return ["sft", recipe, "--out", out, "--resume" if whole else "--restart"]

    return lambda out: ["sft", recipe, "--out", out], go_on


def _killed(kind: Kind, folder: Path, rng: random.Random) -> tuple[int, bool]:
    """Return how many kills lost something, and whether the end is the one without kills."""
    name, log = kind.name.replace(" ", "-"), folder / "log.txt"
    began = time.monotonic()
    done(kind.begin(folder / f"{name}-whole"), log)
    length = time.monotonic() - began
    out, lost, furthest = folder / f"{name}-killed", 0, -1
    for _ in range(KILLS):
        pid = start(kind.go_on(out), log)
        if wait(pid, rng.uniform(0.05, 0.5) * length) is None:
            kill(pid)
        published = [each for each in out.rglob("checkpoint-*") if each.parent.name == "checkpoints"]
        newest = max(map(checkpoints.step_of, published), default=-1)
        is_behind = kind.name.startswith("sft") and newest < furthest
        lost += is_behind or any(map(fault_of, published)) or "Traceback" in log.read_text(errors="replace")
        furthest = max(furthest, newest)
    done(kind.go_on(out), log)
    return lost, kind.result(out) == kind.result(folder / f"{name}-whole")


def _weights(out: Path) -> Any:
    files = sorted((out / "model").glob("*.safetensors"))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    told = [[line.get(name) for name in ("step", "loss", "held_out_loss", "forward_tokens")] for line in lines]
    return [(file.name, file.read_bytes()) for file in files], told


def _answers(out: Path) -> Any:
    lines = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    results = json.loads((out / "run.json").read_text())["results"]
    kept = {name: results[name] for name in results if not name.endswith("seconds")}
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines], kept


def _outcomes(out: Path) -> Any:
    found = {}
    for file in sorted((out / "runs").rglob("result.json")):
        result = json.loads(file.read_text())
        points = result.get("points") or [result]
        found[str(file.relative_to(out))] = [
            {name: row["right"] for name, row in point["decoders"].items()} for point in points
        ]
    return found
