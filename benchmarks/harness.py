"""Runs variants of one step side by side: a process each, taking turns, and prints ratios of their medians.

A script defines ``VARIANTS`` (name -> a function that returns a step) and ends with ``main(__file__, VARIANTS, …)``. A
step is called once to warm up, then once a round; it returns how many tokens it supervised. Timing is absolute seconds
on a noisy machine, so only ratios within one run mean something. ``peak`` is memory above a process that has given all
freed memory back; ``growth`` is above one that still holds what the step before has freed.
"""

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Step = Callable[[], float]


def main(
    script: str,
    variants: Mapping[str, Callable[[argparse.Namespace], Step]],
    *,
    baseline: str,
    title: str,
    options: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
) -> None:
    """Drive the variants, or be one of them."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved measurements of each variant")
    parser.add_argument("--only", nargs="*", help="variants to run beside the baseline")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options(parser)
    arguments = parser.parse_args()
    if arguments.worker:
        _work(variants[arguments.worker](arguments))
        return
    names = [n for n in variants if not arguments.only or n in arguments.only or n == baseline]
    rest = [a for a in sys.argv[1:] if a]
    workers = {name: _start(script, name, rest) for name in names}
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for round_ in range(arguments.rounds):
        for name in names if round_ % 2 == 0 else reversed(names):
            measured[name].append(_ask(workers[name]))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    _report(title, measured, baseline, arguments.out)


def _start(script: str, name: str, rest: list[str]) -> Any:
    worker = subprocess.Popen(
        [sys.executable, script, *rest, "--worker", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if worker.stdout.readline() != "ready\n":
        raise SystemExit(f"{script}: the variant '{name}' did not start")
    return worker


def _ask(worker: Any) -> dict[str, float]:
    worker.stdin.write("go\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def _work(step: Step) -> None:
    step()
    print("ready", flush=True)
    for _ in sys.stdin:
        held = _status("VmRSS")
        rest = _rest()
        start = time.perf_counter()
        supervised = step()
        seconds = time.perf_counter() - start
        peak = _status("VmHWM")
        measured = {"seconds": seconds, "supervised": supervised, "peak": peak - rest, "growth": max(peak - held, 0.0)}
        print(json.dumps(measured), flush=True)


def _rest() -> float:
    """Give freed memory back, forget the old peak, and return what the process holds, bytes."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _report(title: str, measured: Mapping[str, list[dict[str, float]]], baseline: str, out: Path | None) -> None:
    """Print medians and ratios to the baseline, with the range over the interleaved pairs."""
    base = measured[baseline]
    figures = {}
    for name, rounds in measured.items():
        ratios = [r["seconds"] / b["seconds"] for r, b in zip(rounds, base, strict=True)]
        rates = [
            r["supervised"] / r["seconds"] * b["seconds"] / max(b["supervised"], 1)
            for r, b in zip(rounds, base, strict=True)
        ]
        peaks = [r["peak"] / max(b["peak"], 1.0) for r, b in zip(rounds, base, strict=True)]
        figures[name] = {
            "seconds": statistics.median(r["seconds"] for r in rounds),
            "time_ratio": statistics.median(ratios),
            "time_ratio_range": [min(ratios), max(ratios)],
            "peak_ratio": statistics.median(peaks),
            "growth_mib": statistics.median(r["growth"] for r in rounds) / 2**20,
            "peak_mib": statistics.median(r["peak"] for r in rounds) / 2**20,
            "supervised_rate_ratio": statistics.median(rates),
        }
    print(f"{title}\n{len(base)} interleaved rounds on {os.cpu_count()} cores; ratios to '{baseline}'\n")
    print(f"{'variant':24}{'seconds':>9}{'time':>8}{'range':>14}{'peak':>8}{'MiB':>8}{'growth':>8}{'supervised/s':>14}")
    for name, f in figures.items():
        low, high = f["time_ratio_range"]
        print(
            f"{name:24}{f['seconds']:9.2f}{f['time_ratio']:8.3f}{f'{low:.2f} to {high:.2f}':>14}"
            f"{f['peak_ratio']:8.3f}{f['peak_mib']:8.0f}{f['growth_mib']:8.0f}{f['supervised_rate_ratio']:14.2f}"
        )
    if out:
        out.write_text(json.dumps({"title": title, "rounds": len(base), "variants": figures}, indent=1) + "\n")
