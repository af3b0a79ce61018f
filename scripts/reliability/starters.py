"""Two processes that start in one folder: one runs, the other is refused in one line and changes nothing."""

from pathlib import Path

from commands import make_model, start, wait, write_recipe

TRIES = 20


def trial(folder: Path, *, seed: int, minutes: float) -> list[dict[str, object]]:
    """Start pairs of sft, of sft --resume and of eval."""
    del seed, minutes
    recipe, model = write_recipe(folder / "recipe.yaml"), make_model(folder / "base")
    evaluate = ["eval", model, "--task", "sorting", "--problems", 60, "--max-new-tokens", 32, "--out"]
    held = 0
    for number in range(TRIES):
        out = folder / f"run-{number}"
        command = ["sft", recipe, "--out", out] if number % 2 else [*evaluate, out]
        held += _one_runs(command, folder)
    return [{"tried": "two starters in one folder: the second is refused", "held": held, "of": TRIES}]


def _one_runs(command: list[object], folder: Path) -> bool:
    logs = [folder / "one.txt", folder / "two.txt"]
    codes = [wait(pid) for pid in [start(command, log) for log in logs]]
    refused = logs[codes.index(2)].read_text() if 2 in codes else ""
    lines = [line for line in refused.splitlines() if line.startswith("error:")]
    if sorted(map(str, codes)) == ["0", "2"] and len(lines) == 1 and "Traceback" not in refused:
        return True
    print(f"{command[0]}: exit codes {codes}: {[log.read_text()[-300:] for log in logs]}", flush=True)
    return False
