"""Damaged and hostile copies of small real folders and files, from a seed, and what a command makes of them.

``build(folder, app)`` writes the originals once; its ``cases(count, seed)`` yields damaged copies, each with the
command that reads it; ``verdict(app, case)`` runs the command and returns what is wrong with how it ended, or None. It
is right if it ends in time with exit code 0 (the damage is none that matters) or 2 (one short line for each problem).
"""

import errno
import json
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

SECONDS = 5.0
LONGEST_LINE = 420
ODD: list[Any] = [
    None, True, False, -1, 0, 1, 3, 2**31, 10**9, 10**12, 10**30, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", "64", "../../etc/passwd", "/etc/passwd", "http://localhost:9/x", "a" * 9999,
    "\ud83d", "nul\0", "kernels-community/flash-attn", "{{ 'x' * 10**9 }}",
    [], [1], [[]], ["a"] * 99, [None], {}, {"a": 1}, {"": {}}, [-1, 10**15],
]  # fmt: skip
HOSTILE: dict[str, Any] = {
    "_attn_implementation": "kernels-community/flash-attn3", "attn_implementation": "owner/kernel:name",
    "_experts_implementation": "owner/kernel", "quantization_config": {"quant_method": "bitsandbytes"},
    "auto_map": {"AutoConfig": "code.Config", "AutoTokenizer": ["code.Tokenizer", None]}, "use_kernels": True,
    "_name_or_path": "owner/name", "custom_pipelines": {"x": {"impl": "code.Pipe"}}, "trust_remote_code": True,
    "transformers_weights": "../../other.safetensors", "dtype": "load", "torch_dtype": "os", "num_labels": 10**9,
    "vocab_file": "/dev/zero", "tokenizer_file": "/dev/stdin", "tokenizer_class": "os.system", "unheard_of": [1],
    "megatron_config": {"x": 1}, "megatron_core": "code", "layer_replication": [[0, 10**6]], "peft_type": "IA3",
    "rank_pattern": {"(a+)+$": 4}, "target_modules": "(.*)*(.*)*x", "layer_types": ["full_attention"] * 10**5,
    "chat_template": "{% for a in range(9**9) %}{{ a }}{% endfor %}", "architectures": ["os.system"],
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A damaged copy.

    Args:
        name: what was done to which file.
        arguments: of the command that reads it.
    """

    name: str
    arguments: tuple[str, ...]


class Corpus:
    """Originals under a folder, and damaged copies of them beside."""

    def __init__(self, root: Path, originals: dict[str, Path], commands: dict[str, Callable[[Path], tuple[str, ...]]]):
        self.root, self.originals, self.commands = root, originals, commands

    def cases(self, count: int, seed: int = 0) -> Iterator[Case]:
        """Yield damaged copies, one at a time: the last one is removed."""
        draw = random.Random(seed)
        place = self.root / "damaged"
        names = sorted(self.originals)
        for number in range(count):
            remove(place)
            name = names[number % len(names)]
            original = self.originals[name]
            place.mkdir(parents=True)
            copy = place / original.name
            if original.is_dir():
                shutil.copytree(original, copy)
                file = draw.choice(sorted(f for f in copy.rglob("*") if f.is_file()))
            else:
                shutil.copy(original, copy)
                file = copy
            what = damage(file, draw)
            yield Case(f"{number} {name} {file.relative_to(place)}: {what}", self.commands[name](copy))
        remove(place)


def verdict(app: Any, case: Case) -> str | None:
    """Run the command of a case in this process, and say what is wrong with how it ended."""
    began = time.monotonic()
    result = CliRunner().invoke(app, list(case.arguments))
    took = time.monotonic() - began
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"{type(result.exception).__name__}: {str(result.exception)[:200]}"
    if result.exit_code not in (0, 2):
        return f"exit code {result.exit_code}: {result.stderr[-300:]}"
    if result.exit_code == 2 and not lines:
        return f"no line says why: {result.stderr[-300:]}"
    if long := [line for line in lines if len(line) > LONGEST_LINE]:
        return f"a line of {len(long[0])} characters: {long[0][:200]}"
    if "Traceback (most recent" in result.output:
        return f"a traceback: {result.output[-300:]}"
    return f"{took:.1f} s" if took > SECONDS else None


# What is done to a file


def damage(file: Path, draw: random.Random) -> str:
    """Damage a file in place, and say how."""
    is_json = file.suffix in (".json", ".jsonl")
    if file.suffix == ".safetensors" and draw.random() < 0.3:
        return _header(file, draw)
    kinds = [*([_value] * 6 if is_json else []), _flip, _cut, _fill, _insert, _double, _replace, _kind_of_file]
    return draw.choice(kinds)(file, draw)


def _flip(file: Path, draw: random.Random) -> str:
    raw = bytearray(file.read_bytes())
    first = min(len(raw), draw.choice((64, 4096, len(raw))))
    for _ in range(count := draw.choice((1, 3, 40))):
        if first:
            raw[draw.randrange(first)] ^= 1 << draw.randrange(8)
    file.write_bytes(raw)
    return f"{count} bits in the first {first} bytes flipped"


def _cut(file: Path, draw: random.Random) -> str:
    raw = file.read_bytes()
    keep = draw.choice((0, 1, 7, 8, 9, len(raw) // 2, max(0, len(raw) - 1), draw.randrange(len(raw) + 1)))
    file.write_bytes(raw[:keep])
    return f"cut to {keep} bytes"


def _fill(file: Path, draw: random.Random) -> str:
    raw = bytearray(file.read_bytes())
    at, byte = draw.randrange(len(raw) + 1), draw.choice((b"\0", b"\xff", b"[", b'"'))
    length = draw.choice((1, 8, 200))
    raw[at : at + length] = byte * length
    file.write_bytes(raw)
    return f"{length} bytes at {at} are {byte!r}"


def _insert(file: Path, draw: random.Random) -> str:
    raw = file.read_bytes()
    at = draw.randrange(len(raw) + 1)
    file.write_bytes(raw[:at] + draw.randbytes(draw.choice((1, 9, 300))) + raw[at:])
    return f"noise put in at {at}"


def _double(file: Path, draw: random.Random) -> str:
    raw = file.read_bytes()
    at = draw.randrange(len(raw) + 1)
    file.write_bytes(raw[:at] + raw[at // 2 :])
    return f"a part before {at} stands there twice"


def _replace(file: Path, draw: random.Random) -> str:
    texts = {
        "brackets": "[" * 200_000, "objects": '{"a":' * 100_000, "a list": "[1, 2]", "null": "null", "text": '"text"',
        "an object": "{}", "half a pair": '{"a": "\\ud83d"}', "a long number": '{"a": ' + "9" * 9999 + "}",
        "NaN": "NaN", "a long line": '{"a": "' + "b" * 2**21 + '"}', "a page": "<html>404</html>", "noise": "\x01\x02",
    }  # fmt: skip
    name = draw.choice(sorted(texts))
    file.write_text(texts[name])
    return f"replaced by {name}"


def _kind_of_file(file: Path, draw: random.Random) -> str:
    """Make it something else than a file, or swap it with its neighbour."""
    kind = draw.choice(("folder", "pipe", "loop", "gone", "dangling", "swapped", "locked"))
    others = sorted(f for f in file.parent.iterdir() if f.is_file() and f != file)
    if kind == "swapped" and others:
        shutil.copy(draw.choice(others), file)
        return kind
    if kind == "locked":
        file.chmod(0)
        return kind
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind in ("loop", "dangling"):
        file.symlink_to(file.name if kind == "loop" else "nowhere")
    return kind


def _value(file: Path, draw: random.Random) -> str:
    """Replace, remove, rename or add a value of a JSON file."""
    lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    number = draw.choice((0, draw.randrange(len(lines))))
    value = json.loads(lines[number])
    spots = list(_spots(value))
    owner, key = draw.choice(spots[: draw.choice((12, len(spots)))])
    kind = draw.choice(("odd", "odd", "odd", "gone", "renamed", "hostile", "grown"))
    said = f"{kind} {key!r}"
    if kind == "hostile" and isinstance(value, dict):
        name = draw.choice(sorted(HOSTILE))
        value[name], said = HOSTILE[name], f"{name} put in"
    elif kind == "gone":
        del owner[key]
    elif kind == "renamed" and isinstance(owner, dict):
        owner[f"{key}_"] = owner.pop(key)
    elif kind == "grown" and type(owner[key]) is int:
        owner[key] *= draw.choice((-1, 2, 1000, 10**6, 10**10))
        said += f" = {owner[key]}"
    else:
        owner[key] = draw.choice(ODD)
        said += f" = {str(owner[key])[:40]!r}"
    lines[number] = json.dumps(value)
    file.write_text("\n".join(lines))
    return said


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in list(entries)[:40]:
        yield value, key
        yield from _spots(entry)


def _header(file: Path, draw: random.Random) -> str:
    """Change what a safetensors file says of its tensors."""
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    name = draw.choice(sorted(header.keys() - {"__metadata__"}))
    kind = draw.choice(("length", "shape", "dtype", "offsets", "gone", "renamed", "twice", "notes", "odd"))
    claimed = None
    if kind == "length":
        claimed = draw.choice((0, 1, 2**20, 2**60, 2**64 - 1))
    elif kind == "shape":
        header[name]["shape"] = draw.choice(([10**9, 10**9], [-1], [], [0], header[name]["shape"][::-1] + [1]))
    elif kind == "dtype":
        header[name]["dtype"] = draw.choice(("I32", "F8_E4M3", "X", 7, "BF16"))
    elif kind == "offsets":
        header[name]["data_offsets"] = draw.choice(([0, 2**60], [8, 0], [0], [-4, 4], header[name]["data_offsets"]))
    elif kind == "gone":
        del header[name]
    elif kind == "renamed":
        header[draw.choice(("../x", "", "a" * 9999, "\ud83d"))] = header.pop(name)
    elif kind == "notes":
        header["__metadata__"] = draw.choice(({}, None, {"format": "tf"}, {"format": 7}, [], {"heads": "x"}))
    elif kind == "odd":
        header[name] = draw.choice(ODD)
    text = json.dumps(header).encode()
    if kind == "twice":
        text = re.sub(rb"^\{", b"{" + json.dumps({name: header[name]}).encode()[1:-1] + b", ", text)
    size = len(text) if claimed is None else claimed
    file.write_bytes(size.to_bytes(8, "little") + text + raw[8 + length :])
    return f"header: {kind} of {name}"


def remove(folder: Path) -> None:
    """Remove a folder, whatever was done to it."""
    for attempt in range(3):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM) or attempt == 2:
                raise
            for path in folder.rglob("*"):
                if not path.is_symlink():
                    path.chmod(0o700)
        else:
            return


# The originals

HERE = Path(__file__).parent
RECIPE = """
model: {path: MODEL}
data: {path: ROWS, max_length: 64, columns: {prompt: question, completion: answer}}
objective: {name: blockwise, block_size: 8}
decoder: {selection: quota, block_size: 8}
run: {steps: 2, batch_size: 2, lr: 1e-3}
"""
CHATS = [
    {"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"It is {n}."}]}
    for n in range(6)
]


def build(root: Path, app: Any) -> Corpus:
    """Write small real models, an adapter, a gguf file, a trace, data and a recipe under a new folder."""
    sys.path += [str(HERE / "unit" / "data"), str(HERE / "unit" / "models")]
    import torch
    from chat_templates import tokenizer_for
    from small_checkpoints import llada_folder, llama_config, random_model
    from test_models_gguf import TOKENS, write_gguf

    from unmask.models import LoraSpec, ScratchSpec, add_lora, from_scratch, load

    root.mkdir(parents=True)
    shape = ScratchSpec(hidden_size=16, layers=1, heads=2)
    from_scratch(shape).save(root / "digits")
    from_scratch(shape, tokenizer_for("chatml")).save(root / "chat")
    llada_folder(root / "llada", shards=2)
    adapted = add_lora(load(root / "digits"), LoraSpec(rank=2))
    adapted.attach("confidence", {})
    adapted.save(root / "adapter")
    with torch.random.fork_rng(devices=[]):
        write_gguf(root / "small.gguf", random_model(llama_config(len(TOKENS), num_key_value_heads=2)))
    (root / "chats.jsonl").write_text("\n".join(map(json.dumps, CHATS)))
    (root / "rows.csv").write_text("question,answer\n" + "".join(f"{n}=,{n}\n" for n in range(9)))
    (root / "rows.json").write_text(json.dumps([{"question": f"{n}=", "answer": str(n)} for n in range(9)], indent=1))
    recipe = RECIPE.replace("MODEL", str(root / "digits")).replace("ROWS", str(root / "rows.json"))
    (root / "recipe.yaml").write_text(recipe)
    short = ("--max-new-tokens", "8", "--block-size", "8")
    trace = ("generate", str(root / "digits"), "--prompt", "12=", *short, "--save-trace", str(root / "trace.jsonl"))
    assert CliRunner().invoke(app, list(trace)).exit_code == 0
    (root / "out").mkdir()

    def inspected(path: Path) -> tuple[str, ...]:
        return ("inspect", str(path))

    def checked(path: Path) -> tuple[str, ...]:
        return ("check", str(root / "recipe.yaml"), "--set", f"model.path={json.dumps(str(path))}")

    def previewed(path: Path) -> tuple[str, ...]:
        return ("preview", str(path), "--model", str(root / "chat"))

    def plotted(path: Path) -> tuple[str, ...]:
        return ("plot", str(path), "--out", str(path.parent / "drawn.html"))

    commands = {
        "digits": inspected, "chat": lambda path: ("generate", str(path), "--prompt", "a", *short), "llada": inspected,
        "adapter": inspected, "small.gguf": inspected, "chats.jsonl": previewed, "rows.csv": previewed,
        "rows.json": previewed, "recipe.yaml": lambda path: ("check", str(path)), "trace.jsonl": plotted,
    }  # fmt: skip
    for name, command in commands.items():  # what is imported on the way is no part of any case
        assert CliRunner().invoke(app, list(command(root / name))).exit_code == 0, name
    (root / "drawn.html").unlink()
    originals = {name: root / name for name in commands} | {"digits in a recipe": root / "digits"}
    return Corpus(root, originals, {**commands, "digits in a recipe": checked})
