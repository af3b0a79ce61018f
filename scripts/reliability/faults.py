"""Forty kinds of faults of recipes and data: each is one line, and no traceback."""

import json
from collections.abc import Callable
from pathlib import Path

from commands import RECIPE, make_model, start, wait, write_recipe

GOOD = {"prompt": "12=", "completion": "12"}
# Changes of the recipe by --set.
SETTINGS = (
    "run.steps=0", "run.steps=many", "run.batch_size=-1", "run.lr=0", "run.lr=.nan", "run.warmup=2", "run.seed=-1",
    "run.betas=[0.9,1.5]", "run.schedule=sawtooth", "run.report_to=[nothing]", "run.keep=0", "objective=blokwise",
    "objective.block_size=0", "data.task=sortin", "data.held_out=64", "data.size=0", "data.max_length=1",
    "data.canvas=2048", "decoder.selection=nothing", "model.from_scratch.heads=3", "model.device=toaster",
    "model.from_scratch.hidden_size=10000000", "model.path=nowhere", "modle=x", "run.colour=red",
)  # fmt: skip
# Content of a file of data.
FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no JSON": lambda: b"prompt: 12=\n",
    "cut line": lambda: b'{"prompt": "12=", "comple\n',
    "binary": lambda: bytes(range(256)),
    "UTF-16": lambda: json.dumps(GOOD).encode("utf-16"),
    "wrong columns": lambda: b'{"a": 1, "b": 2}\n',
    "numbers for text": lambda: b'{"prompt": 1, "completion": 2}\n',
    "lists of lists": lambda: b"[[1], [2]]\n",
    "deep brackets": lambda: b"[" * 50_000,
    "half a surrogate": lambda: b'{"prompt": "12=", "completion": "\\ud83d"}\n',
    "a long number": lambda: b'{"prompt": "12=", "completion": ' + b"9" * 6000 + b"}\n",
    "empty answer": lambda: b'{"prompt": "12=", "completion": ""}\n',
    "too long": lambda: json.dumps({"prompt": "1" * 3000, "completion": "1"}).encode(),
    "an unknown role": lambda: b'{"messages": [{"role": "oracle", "content": "1"}]}\n',
    "no answer": lambda: b'{"messages": [{"role": "user", "content": "1"}]}\n',
}


def trial(folder: Path, *, seed: int, minutes: float) -> list[dict[str, object]]:
    """Run sft and check on each."""
    del seed, minutes
    recipe, model = write_recipe(folder / "recipe.yaml"), make_model(folder / "base")
    cases = [["check", recipe, "--set", each] for each in SETTINGS]
    for name, content in FILES.items():
        file = folder / f"{name.replace(' ', '-')}.jsonl"
        file.write_bytes(content())
        data = {"path": str(file)}
        made = write_recipe(folder / f"{file.stem}.yaml", model={"path": str(model)}, data=data, run=RECIPE["run"])
        cases.append(["sft", made, "--out", folder / "out"])
    held, log = 0, folder / "log.txt"
    for case in cases:
        code = wait(start(case, log), 60)
        lines = [line for line in log.read_text(errors="replace").splitlines() if not line.startswith("note: ")]
        is_one_line = code == 2 and len(lines) == 1 and lines[0].startswith("error: ")
        if not is_one_line:
            print(f"{' '.join(map(str, case))}: exit code {code}: {lines[:3]}", flush=True)
        held += is_one_line
    return [{"tried": "faults of recipes and data told in one line", "held": held, "of": len(cases)}]
