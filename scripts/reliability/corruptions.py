"""Random damage to checkpoints: each is found by its manifest, and a run goes on from the one before."""

import json
import random
import shutil
from pathlib import Path

from commands import done, write_recipe

from unmask.train import checkpoints

TRIES = 30
WAYS = ("flip", "truncate", "append", "delete", "swap", "zero", "empty manifest", "manifest of a list", "extra file")


def trial(folder: Path, *, seed: int, minutes: float) -> list[dict[str, object]]:
    """Damage copies of the newest checkpoint of a run."""
    del minutes
    out = folder / "run"
    done(["sft", write_recipe(folder / "recipe.yaml"), "--out", out], folder / "log.txt")
    root = out / "checkpoints"
    first, last = sorted(root.glob("checkpoint-*"), key=checkpoints.step_of)[-2:]
    kept, rng, found = folder / "kept", random.Random(seed), 0
    shutil.copytree(last, kept)
    for number in range(TRIES):
        shutil.rmtree(last)
        shutil.copytree(kept, last)
        damage(last, WAYS[number % len(WAYS)], rng)
        said: list[str] = []
        found += checkpoints.newest(root, said.append) == first and last.name in said[0]
    return [{"tried": "damaged checkpoints found and passed over", "held": found, "of": TRIES}]


def damage(folder: Path, way: str, rng: random.Random) -> None:
    """Change something in a folder of files."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size)
    file = rng.choice(files)
    content = bytearray(file.read_bytes())
    place = rng.randrange(len(content))
    if way == "flip":
        content[place] ^= 1 << rng.randrange(8)
    elif way == "truncate":
        del content[place:]
    elif way == "append":
        content.append(rng.randrange(256))
    elif way == "zero":
        content[place : place + 64] = bytes(b ^ 0xFF for b in content[place : place + 64])
    elif way == "delete":
        file.unlink()
        return
    elif way == "swap":
        other = rng.choice([each for each in files if each.read_bytes() != bytes(content)])
        theirs = other.read_bytes()
        other.write_bytes(content)
        file.write_bytes(theirs)
        return
    elif way == "extra file":
        (folder / f"extra-{place}.bin").write_bytes(b"x")
        return
    else:
        (folder / "manifest.json").write_text(json.dumps({} if way == "empty manifest" else []))
        return
    file.write_bytes(content)
