"""The wheels that a machine without a network is given: downloaded here, checked, installed there beside its torch."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / "bundle"
LOCK = HERE.parents[1] / "requirements" / "locked.txt"
LARGEST, TOTAL = 50 * 10**6, 60 * 10**6  # bytes of a wheel, and of all of them
GLIBC = (28, 27, 24, 17, 12, 5)  # pip takes manylinux_2_N for the very N that it is told
MACHINE = ("torch", "numpy")  # what the machine has itself; its torch belongs to its driver


class BundleError(Exception):
    """The bundle cannot be made or used; one line says why, and what to do."""


def make(python: str) -> list[Path]:
    """Download the wheels for a Python version on Linux x86_64.

    Args:
        python: such as ``3.12``.

    Returns:
        The wheels, in ``benchmarks/gpu/bundle``.

    Raises:
        BundleError: a wheel is not to be had, or they are too large.
    """
    pins = pinned(wanted())
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.whl"):
        old.unlink()
    platforms = [f"manylinux_2_{n}_x86_64" for n in GLIBC] + ["manylinux2014_x86_64", "manylinux1_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", python, "--dest", str(FOLDER)]
    command += [part for name in platforms for part in ("--platform", name)]
    if subprocess.run([*command, *pins], check=False).returncode:
        raise BundleError(f"pip could not download all wheels for Python {python}; its message is above")
    return checked(FOLDER)


def wanted() -> list[str]:
    """Read the names of ``wheels.txt``."""
    lines = (HERE / "wheels.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pinned(names: list[str]) -> list[str]:
    """Give every name its version: that of ``requirements/locked.txt``, else the one that is installed here.

    Raises:
        BundleError: neither knows it.
    """
    lines = LOCK.read_text().splitlines() if LOCK.exists() else []
    found = [re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", line) for line in lines]
    locked = {plain(match[1]): match[2] for match in found if match}
    pins = []
    for name in names:
        try:
            pins.append(f"{name}=={locked.get(plain(name)) or metadata.version(name)}")
        except metadata.PackageNotFoundError:
            raise BundleError(
                f"{name}: neither in {LOCK.name} nor installed; run this with the project's Python"
            ) from None
    return pins


def plain(name: str) -> str:
    """Spell a package as PyPI compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def checked(folder: Path) -> list[Path]:
    """Return the wheels of a folder, if they fit.

    Raises:
        BundleError: a file or all of them are larger than what can be carried.
    """
    wheels = sorted(folder.glob("*.whl"))
    for wheel in wheels:
        if wheel.stat().st_size > LARGEST:
            size = wheel.stat().st_size / 10**6
            raise BundleError(
                f"{wheel.name}: expected at most {LARGEST // 10**6} MB, found {size:.1f} MB; leave it out"
            )
    total = sum(wheel.stat().st_size for wheel in wheels)
    if total >= TOTAL:
        largest = max(wheels, key=lambda wheel: wheel.stat().st_size).name
        raise BundleError(
            f"bundle: expected less than {TOTAL // 10**6} MB in all, found {total / 10**6:.1f} MB; leave wheels out "
            f"(the largest is {largest})"
        )
    return wheels


def install(wheels: list[Path], target: Path) -> None:
    """Unpack wheels into a folder for ``PYTHONPATH``: no network, no dependencies, nothing of the machine changed.

    Not a virtual environment: made from inside another one it would not see that one's torch.

    Raises:
        BundleError: pip refuses a wheel, mostly one that was made for another Python.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--target", str(target), *map(str, wheels)]
    if subprocess.run(command, check=False).returncode:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BundleError(
            f"pip could not install the bundle; make it with: benchmarks/gpu/run --bundle --python {version}"
        )
