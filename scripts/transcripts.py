"""Runs the commands of the docs' ``console`` blocks and compares what they print with what the page shows.

A block holds lines ``$ command`` and, below each, its output as it was. ``--write`` puts today's output there. Pages
are run in the order given, in one folder, so that a page may use what an earlier one has made.

Outputs are compared line by line. Numbers and the lengths of bars may differ, as they do between machines, but a
percentage only by 15 points; a line ``…`` stands for any lines.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
DAY = [ROOT / "docs/start" / f"{name}.md" for name in ("index", "train", "compare", "use")]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?:< )?[-+]?\.?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
VERDICT = re.compile(r"\b(?:more|fewer)\b|: not shown at this size.*")  # they follow the numbers
SHARE = re.compile(r"(-?\d+(?:\.\d+)?) ?%")
BAR = re.compile("━+")
POINTS = 15.0
WIDTH = 110


@dataclass
class Command:
    """A command of a page, and the lines that the page shows below it."""

    text: str
    shown: list[str] = field(default_factory=list)


def commands(block: str) -> list[Command]:
    """Return the commands of a block, each with its output; a backslash at a line's end continues it."""
    found: list[Command] = []
    is_open = False
    for line in block.splitlines():
        if is_open or line.startswith("$ "):
            if is_open:
                found[-1].text += "\n" + line
            else:
                found.append(Command(line[2:]))
            is_open = line.endswith("\\")
        else:
            found[-1].shown.append(line)
    return found


def output_of(command: str, folder: Path) -> tuple[int, list[str]]:
    """Return the exit code of a command run by the shell in a folder, and the lines that it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"COLUMNS": str(WIDTH), "NO_COLOR": "1", "TERM": "dumb", "PATH": path}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env={**os.environ, **settings}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.returncode, [line.rstrip() for line in done.stdout.rstrip().splitlines()]


def differences(shown: list[str], found: list[str]) -> Iterator[str]:
    """Yield a line for each line of a page that is not in the output, in order; none if all is as shown."""
    rest = list(found)
    is_gap = False
    for line in shown:
        if line.strip() == "…":
            is_gap = True
            continue
        at = next((n for n, other in enumerate(rest) if _is_same(line, other)), None)
        if at is None or (at and not is_gap):
            yield f"shown: {line}\nfound: {rest[0] if rest else 'the end'}"
            at = at or 0
        rest, is_gap = rest[at + 1 :], False
    if rest and not is_gap:
        yield f"not shown: {rest[0]}"


def _is_same(shown: str, found: str) -> bool:
    """Return whether two lines differ by numbers only, and by no share of more than 15 points."""
    one, other = (" ".join(NUMBER.sub("#", BAR.sub("━", VERDICT.sub("", line))).split()) for line in (shown, found))
    if one != other:
        return False
    shares = zip(SHARE.findall(shown), SHARE.findall(found), strict=False)
    return all(abs(float(before) - float(now)) <= POINTS for before, now in shares)


def follow(page: Path, folder: Path, *, write: bool = False, show: bool = False) -> list[str]:
    """Run the commands of a page in a folder.

    Args:
        page: a Markdown file with ``console`` blocks.
        folder: where the commands are run.
        write: put the output into the page.
        show: print commands and outputs as they come.

    Returns:
        A line for each command that failed or printed something else than the page shows.
    """
    problems: list[str] = []

    def redo(match: re.Match[str]) -> str:
        lines = []
        for command in commands(match[1]):
            if show:
                print(f"$ {command.text}", flush=True)
            code, found = output_of(command.text, folder)
            if show:
                print("\n".join(found) + "\n", flush=True)
            where = f"{page.name}: $ {command.text}"
            if code:
                problems.append(f"{where}\nexit code {code}:\n" + "\n".join(found[-20:]))
            elif not write:
                problems.extend(f"{where}\n{line}" for line in differences(command.shown, found))
            lines += [f"$ {command.text}", *found]
        return "```console\n" + "\n".join(lines) + "\n```"

    text = page.read_text(encoding="utf-8")
    redone = BLOCK.sub(redo, text)
    if write and not problems:
        page.write_text(redone, encoding="utf-8")
    return problems


def main() -> None:
    """Follow pages; exit with 1 if something is not as shown."""
    parser = argparse.ArgumentParser(description="Run the commands of documentation pages and compare their output.")
    parser.add_argument("pages", nargs="*", type=Path, default=DAY, help="default: the walk of docs/start")
    parser.add_argument("--folder", type=Path, help="where the commands are run (default: a new temporary folder)")
    parser.add_argument("--write", action="store_true", help="put the output into the pages")
    parser.add_argument("--quiet", action="store_true", help="print what is not as shown only")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="unmask-day-"))
    folder.mkdir(parents=True, exist_ok=True)
    problems = []
    for page in given.pages:
        problems += follow(page, folder, write=given.write, show=not given.quiet)
    print("\n\n".join(problems) or f"everything came out as the pages show; the files are in {folder}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
