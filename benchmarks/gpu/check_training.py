"""Losses and gradients, recomputed activations, training against the CPU's, and resuming."""

import contextlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from check_numbers import BECAUSE16, BECAUSE32, BFLOAT16, FLOAT32, LEAST16, LEAST32
from findings import Finding, Setting, none_differs, told, within
from small import apart, rows, scratch, twin
from torch import Tensor

from unmask.core.random import Draws
from unmask.data import Encoded
from unmask.models import LoadedModel
from unmask.objectives import BlockDiffusion, Blockwise, Lift, Vanilla
from unmask.train import Layout, TrainRun, train

OBJECTIVES = {
    "vanilla": Vanilla(),
    "blockwise": Blockwise(block_size=4),
    "block_diffusion": BlockDiffusion(block_size=4),
    "lift": Lift(approximate=True),
}
STEPS, STOP_AFTER, SAVE_EVERY = 6, 5, 3


def slope(lm: LoadedModel, objective: Any, setting: Setting) -> tuple[Tensor, Tensor]:
    """One loss, and its gradient as one long vector."""
    noised = objective.noise(rows(lm, setting), model=lm, draws=Draws(seed=0), progress=0.5)
    scored = lm.score(noised.query, noised.query_positions, noised.targets, want=objective.want)
    loss = objective.loss(scored, noised) / noised.count
    lm.model.zero_grad(set_to_none=True)
    loss.backward()
    return loss[None], torch.cat([p.grad.flatten().float() for p in lm.model.parameters() if p.grad is not None])


def loss(setting: Setting) -> Iterator[Finding]:
    """Losses and gradients, judged by float64 on the CPU."""
    for name, objective in OBJECTIVES.items():
        lm = scratch(setting, attention=objective.attention or "bidirectional")
        exact = slope(twin(lm, "cpu", torch.float64), objective, setting)
        for dtype, times, least, why in (
            (torch.float32, FLOAT32, LEAST32, BECAUSE32),
            (torch.bfloat16, BFLOAT16, LEAST16, BECAUSE16),
        ):
            here, there = (slope(twin(lm, where, dtype), objective, setting) for where in ("cpu", setting.device))
            for what, wanted, own, found in zip(("loss", "gradient"), exact, here, there, strict=True):
                title = f"{name}, {what}, {str(dtype).removeprefix('torch.')}"
                # A single number may be right by luck; the gradient tells how far rounding leads.
                own = max(apart(own, wanted), apart(here[1], exact[1]))
                yield within(title, apart(found, wanted), times * max(own, least), why)


def recomputing(setting: Setting) -> Iterator[Finding]:
    """Gradient checkpointing: the same gradient for less memory."""
    gradients, peaks = [], []
    for is_recomputed in (False, True):
        lm = twin(scratch(setting), setting.device)
        lm.model.train()
        if is_recomputed:
            lm.checkpoint_gradients()
        if setting.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        gradients.append(slope(lm, OBJECTIVES["vanilla"], setting)[1])
        if setting.on_gpu:
            peaks.append(torch.cuda.max_memory_allocated() / 2**20)
    because = "the same operators on the same numbers; only the order of a GPU's atomic sums is free"
    yield within("gradient with and without", apart(*gradients), 1e-6, because)
    if peaks:
        yield told("peak memory without, with", peaks, "MiB")


def examples() -> list[Encoded]:
    """Digits to sort, of uneven lengths, in the tokens of ``digits``."""
    rng = random.Random(0)
    found = []
    for number in range(32):
        digits = [rng.randrange(10) for _ in range(rng.randint(2, 7))]
        found.append(Encoded(prompt=[*digits, 15], answer=[*sorted(digits), END], source=f"row {number}"))
    return found


END = 64  # end of text in the tokens of ``digits``


def trained(setting: Setting, name: str, device: str, *, nudge: float = 0.0, **more: Any) -> tuple[list[float], Path]:
    """Train for some steps; return the losses and the folder of the model. ``nudge``: relative, of every weight."""
    lm = twin(scratch(setting), device)
    generator = torch.Generator().manual_seed(0)
    for weight in lm.model.parameters():
        weight.data.mul_(1 + nudge * torch.randn(weight.shape, generator=generator).to(device))
    fields = {"bf16": False, **{key: more.pop(key) for key in ("bf16", "eval_every") if key in more}}
    run = TrainRun(
        objective=Blockwise(block_size=4), steps=STEPS, batch_size=4, accumulate=2, lr=1e-3, save_every=SAVE_EVERY,
        warmup=0.25, **fields,
    )  # fmt: skip
    out = setting.folder / name
    result = train(lm, examples(), run, out=out, layout=Layout(block_size=4), show=False, **more)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line], result.model


def training(setting: Setting) -> Iterator[Finding]:
    """The losses of a few steps in float32, against the CPU's."""
    wanted, _ = trained(setting, "cpu", "cpu")
    nudged, _ = trained(setting, "nudged", "cpu", nudge=1e-6)
    found, _ = trained(setting, "device", setting.device)
    sensitive = max(abs(a - b) / abs(a) for a, b in zip(wanted, nudged, strict=True))
    worst = max(abs(a - b) / abs(a) for a, b in zip(wanted, found, strict=True))
    because = f"10 times how far {STEPS} steps on the CPU move if every weight is moved by a millionth"
    yield within("losses, largest relative difference", worst, 10 * max(sensitive, 1e-7), because)
    if setting.on_gpu:
        loose, _ = trained(setting, "autocast", setting.device, bf16=None)
        worst = max(abs(a - b) / abs(a) for a, b in zip(wanted, loose, strict=True))
        yield told("losses with bfloat16 autocast", worst, "largest relative difference")


class _StoppedError(Exception):
    """As if the machine went away."""


def resume(setting: Setting) -> Iterator[Finding]:
    """Stopped between two checkpoints and resumed, a run ends in the very bits of one that was not stopped."""
    calls: list[int] = []

    def stop() -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:  # the first is before the first step
            raise _StoppedError
        return {}

    torch.use_deterministic_algorithms(setting.on_gpu)
    try:
        wanted, whole = trained(setting, "whole", setting.device, eval_every=STOP_AFTER, evaluate=dict)
        with contextlib.suppress(_StoppedError):
            trained(setting, "cut", setting.device, eval_every=STOP_AFTER, evaluate=stop)
        found, again = trained(setting, "cut", setting.device, eval_every=STOP_AFTER, evaluate=stop, resume=True)
    finally:
        torch.use_deterministic_algorithms(False)
    because = "noise belongs to examples, and checkpoints hold the whole state"
    yield none_differs("losses", sum(a != b for a, b in zip(wanted, found, strict=True)), because)
    yield none_differs("weights", _differing(whole, again), because)
    stopped_short = abs(len(calls) - 4)  # before the first step, at the stop, there again, after the last step
    yield none_differs("evaluations beyond those of one stop", stopped_short, "it went on from its own checkpoint")


def _differing(one: Path, two: Path) -> int:
    from safetensors.torch import load_file

    a, b = (load_file(folder / "model.safetensors") for folder in (one, two))
    return sum(int((a[name] != b[name]).sum()) for name in a) if a.keys() == b.keys() else -1
