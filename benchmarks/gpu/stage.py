"""The checks, one after the other, until the time is up; ``run`` starts this with the right packages."""

import argparse
import json
import math
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from findings import Finding, Setting

CHECKS = {
    "draws": "check_numbers",
    "logits": "check_numbers",
    "experts": "check_numbers",
    "masks": "check_numbers",
    "sampling": "check_decoding",
    "caches": "check_decoding",
    "loss": "check_training",
    "recomputing": "check_training",
    "resume": "check_training",
    "training": "check_training",
    "waits": "check_decoding",
    "speed": "check_speed",
    "pace": "check_speed",
}
"""Name of a check -> the module with the function of that name; imported within the budget, as it takes a while."""


class TimeIsUpError(Exception):
    """The budget of the stage is spent."""


def main() -> int:
    """Run what was asked for, print a line for each finding, and write the file after every check."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--began", type=float, default=time.time(), help="when the clock started, as time.time() says")
    parser.add_argument("--wheels", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.only) - CHECKS.keys())
    if unknown:
        print(f"error: --only: expected names among {', '.join(CHECKS)}; found {', '.join(unknown)}", file=sys.stderr)
        return 2
    names = [name for name in CHECKS if name in arguments.only or not arguments.only]
    report: dict[str, Any] = {"ok": False, "budget_seconds": arguments.seconds, "not_run": names, "checks": []}
    write(report, arguments.out)
    if not prepare(arguments.device):
        print("error: torch finds no CUDA device; write --device cpu for a rehearsal", file=sys.stderr)
        return 2
    report = about(arguments) | report
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(device=arguments.device, small=arguments.device == "cpu", folder=Path(folder))
        for index, name in enumerate(names):
            left = arguments.seconds - (time.time() - arguments.began)
            is_done = left > 0 and check(name, setting, left, report["checks"])
            report["not_run"] = names[index + is_done :]
            report["ok"] = not report["not_run"] and all(each["ok"] is not False for each in report["checks"])
            report["seconds"] = time.time() - arguments.began
            write(report, arguments.out)
            if not is_done:
                break
    failed = sum(each["ok"] is False for each in report["checks"])
    print(f"{len(report['checks'])} findings, {failed} failed, {report['seconds']:.0f} s", end="; ")
    print(f"NOT RUN: {', '.join(report['not_run'])}" if report["not_run"] else "all checks were run")
    return 0 if report["ok"] else 1


def prepare(device: str) -> bool:
    """Set torch up, and say whether it has the device."""
    import torch

    if device == "cpu":
        torch.set_num_threads(1)  # small shapes: more threads wait for one another
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return device == "cpu" or torch.cuda.is_available()


def write(report: dict[str, Any], out: Path | None) -> None:
    """Write what is known by now."""
    if out:
        out.write_text(json.dumps(report, indent=1) + "\n")


def about(arguments: argparse.Namespace) -> dict[str, Any]:
    """Say what was measured with what."""
    import torch

    from unmask.runtime.environment import versions

    device: dict[str, Any] = {"kind": arguments.device, "name": platform.processor() or platform.machine()}
    if arguments.device == "cuda":
        made = torch.cuda.get_device_properties(0)
        device |= {"name": made.name, "memory_gib": made.total_memory / 2**30, "cuda": torch.version.cuda}
        device |= {"capability": f"{made.major}.{made.minor}", "driver": driver()}
    return {
        "device": device, "platform": platform.platform(), "versions": versions(), "wheels": arguments.wheels,
        "budget_seconds": arguments.seconds,
    }  # fmt: skip


def driver() -> str | None:
    """Ask nvidia-smi for the version of the driver; None where there is none to ask."""
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None


def check(name: str, setting: Setting, seconds: float, found: list[dict[str, Any]]) -> bool:
    """Run one check and add what it finds. Whatever it raises is a finding; False: the time was up before its end."""
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    began = time.perf_counter()
    try:
        for finding in getattr(import_module(CHECKS[name]), name)(setting):
            _add(name, finding, time.perf_counter() - began, found)
            began = time.perf_counter()
    except TimeIsUpError:
        return False
    except Exception as error:  # a check that breaks says so, and the next one is run
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        broken = Finding(name="runs to its end", ok=False, measured=said, bound=None, because="it raised this")
        _add(name, broken, time.perf_counter() - began, found)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


def _time_is_up(number: int, frame: FrameType | None) -> None:
    raise TimeIsUpError


def _add(check_name: str, finding: Finding, seconds: float, found: list[dict[str, Any]]) -> None:
    values = asdict(finding)
    for key in ("measured", "bound"):
        if isinstance(values[key], float) and not math.isfinite(values[key]):
            values[key] = str(values[key])  # JSON has no name for these
    found.append({"check": check_name, **values, "seconds": round(seconds, 3)})
    mark = {True: "ok    ", False: "FAILED", None: "      "}[finding.ok]
    most = "" if finding.bound is None else f"  (at most {finding.bound:.3g})"
    shown = f"{finding.measured:.3g}" if isinstance(finding.measured, float) else finding.measured
    print(f"{mark} {check_name}: {finding.name}: {shown}{most}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
