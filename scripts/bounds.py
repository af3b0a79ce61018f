"""Prints the lower bounds of pyproject.toml as exact versions, a line each: what ``make test-lowest`` installs."""

import re
import sys
import tomllib
from pathlib import Path

_BOUND = re.compile(r"(?P<name>[\w-]+)(?:\[[\w,]+\])?>=(?P<version>[\d.]+)")


def lowest(pyproject: Path) -> list[str]:
    """Return ``name==version`` for every lower bound of the library and its extras; tools for developers have none."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for name in extras if name != "dev" for line in extras[name])]
    bounds = [found for line in wanted if (found := _BOUND.match(line))]
    return sorted(f"{found['name']}=={found['version']}" for found in bounds)


if __name__ == "__main__":
    sys.stdout.write("\n".join(lowest(Path(__file__).parents[1] / "pyproject.toml")) + "\n")
