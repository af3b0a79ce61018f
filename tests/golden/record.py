"""Runs what the golden tests hold: ``python tests/golden/record.py`` writes it down anew.

A change that moves a number on purpose does so in a commit of its own, which says why. See README.md.
"""

import hashlib
import itertools
import json
import math
import sys
import tempfile
from pathlib import Path

import torch

HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    torch.set_num_threads(1)

from golden import adapter, cases  # noqa: E402  # after the path is set

STEPS, ROWS, LR = 20, 4, 0.05
CANVASES = json.loads((HERE / "canvases.json").read_text())
EXACT = ("layout", "read", "asked", "written", "taken_back", "picked", "forwards", "text", "best")
EXACT += ("step", "examples", "supervised_tokens", "forward_tokens")
"""What must be equal; everything else is a real number and may differ by a billionth of itself."""

SINGLE = ("loss of the window",)
"""Real numbers that the trainer sums up in float32, and may differ by a millionth."""


def digest(tensors):
    """Eight digits for whole numbers."""
    tensors = tensors if isinstance(tensors, list) else [tensors]
    text = json.dumps([tensor.tolist() for tensor in tensors])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def told(tensors):
    """Two sums that tell real numbers apart, in their places."""
    values = torch.cat([tensor.detach().double().flatten() for tensor in tensors])
    return [float(values.sum()), float((values * torch.arange(1, len(values) + 1)).sum() / max(len(values), 1))]


def train(name, nudge=0.0):
    """Make 20 steps of gradient descent with an objective, and return what each asked and what came of it."""
    method = adapter.objective(cases.TRAINING[name])
    lm = adapter.for_training(method, shift=name in cases.SHIFTED, ties=name in cases.TIES, nudge=nudge)
    weights = [weight for weight in lm.model.parameters() if weight.requires_grad]
    rows, found = itertools.cycle(CANVASES["training"]), []
    for step in range(STEPS):
        batch = [{**next(rows), "order": ROWS * step + row} for row in range(ROWS)]
        packed = 64 if step % 3 == 2 else None
        queried, loss_of = adapter.question(
            method, lm, batch, row_length=packed, seed=step // 10, progress=step / STEPS
        )
        loss = loss_of() / max(queried["count"], 1.0)
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    weight -= LR * gradient
        found.append(
            {
                "layout": digest(queried["layout"]),
                "read": digest(queried["read"]),
                "asked": queried["asked"].tolist() if step == 0 else [len(queried["asked"]), digest(queried["asked"])],
                "weights": told(queried["weights"]),
                "count": queried["count"],
                "loss": float(loss.detach()),
                "gradient": float(sum((g**2).sum() for g in gradients if g is not None)),
            }
        )
    return found


def decode(name, nudge=0.0):
    """Decode the stored prompts, and return what each step wrote and took back."""
    lm = adapter.model(**cases.MODELS.get(name, {}), nudge=nudge)
    rows = [{**row, "answer": (), "order": order} for order, row in enumerate(CANVASES["decoding"])]
    return list(adapter.decoding(cases.DECODING[name], lm, rows, is_given=cases.INFILLING.get(name)))


def run(name, nudge=0.0):
    """Train by the trainer, and return what it logged of each step."""
    with tempfile.TemporaryDirectory() as folder:
        logged, weights = adapter.trained(
            cases.RUNS[name], cases.LAYOUTS.get(name, {}), CANVASES["training"], Path(folder) / "run", steps=STEPS,
            nudge=nudge,
        )  # fmt: skip
    renamed = [{SINGLE[0] if key == "loss" else key: value for key, value in line.items()} for line in logged]
    return [*renamed, {"weights": told(weights)}]


def first_difference(recorded, found):
    """Return where two records part first: step, component and both values; None if they do not."""
    for step, (before, now) in enumerate(itertools.zip_longest(recorded, found, fillvalue={})):
        for component in dict.fromkeys([*before, *now]):
            one, other = before.get(component), now.get(component)
            if not (one == other if component in EXACT else _is_near(one, other, component)):
                return f"step {step}, {component}: recorded {one}, found {other}"
    return None


def _is_near(one, other, component):
    if one is None or other is None:
        return False
    one, other = (each if isinstance(each, list) else [each] for each in (one, other))
    share = 1e-6 if component in SINGLE else 1e-9
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=share, abs_tol=1e-12) for a, b in zip(one, other, strict=True)
    )


RECORDS = {"training": (train, cases.TRAINING), "decoding": (decode, cases.DECODING), "runs": (run, cases.RUNS)}


def load(kind):
    """Read what was recorded: name of the case -> a record for each step."""
    return json.loads((HERE / f"{kind}.json").read_text())


def write(kind):
    """Run all cases and write them down, a step a line; refuse one whose tokens or draws hang by a thread."""
    make, names = RECORDS[kind]
    lines = []
    for name in names:
        found = json.loads(json.dumps(make(name)))
        nudged = json.loads(json.dumps(make(name, nudge=1e-11)))
        whole, moved = ([{k: v for k, v in s.items() if k in EXACT} for s in r] for r in (found, nudged))
        if difference := first_difference(whole, moved):
            raise SystemExit(f"{kind} {name}: a near tie, choose other canvases or fields; {difference}")
        steps = ",\n".join(json.dumps(step, separators=(",", ":")) for step in found)
        lines.append(f"{json.dumps(name)}: [\n{steps}\n]")
    (HERE / f"{kind}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    for each in RECORDS:
        write(each)
