"""Packing against padding to the longest row of 8, lengths of real answers: supervised tokens per second."""

import argparse
import json
from pathlib import Path

import torch
from harness import Step, main
from shape import END, MASK, model, step

from unmask.core.batch import Example, fill_to_block, lay_out
from unmask.core.random import Draws
from unmask.objectives import Vanilla

BLOCK = 32


def _examples(path: Path, count: int, first: int) -> list[Example]:
    """Random tokens in the lengths of a JSON Lines file with question and answer; a token is about four characters."""
    lines = path.read_text(encoding="utf-8").splitlines()[first : first + count]
    generator = torch.Generator().manual_seed(first)
    examples = []
    for i, line in enumerate(map(json.loads, lines)):
        prompt, answer = len(line["question"]) // 4 + 1, len(line["answer"]) // 4 + 1
        text = torch.randint(1, MASK, (prompt + answer,), generator=generator).tolist()
        canvas = fill_to_block(answer + 1, BLOCK)
        examples.append(Example(prompt=text[:prompt], answer=[*text[prompt:], END], order=first + i, canvas=canvas))
    return examples


def _variant(pack: bool, arguments: argparse.Namespace) -> Step:
    lm, calls = model(), [0]

    def run() -> float:
        examples = _examples(arguments.data, 8, calls[0] * 8)
        calls[0] += 1
        row = max(max(e.columns for e in examples), 512) if pack else None
        batch = lay_out(examples, block_size=BLOCK, filler_id=END, row_length=row)
        return step(lm, Vanilla(), batch, Draws(seed=0))

    return run


VARIANTS = {
    "padded": lambda arguments: _variant(False, arguments),
    "packed": lambda arguments: _variant(True, arguments),
}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines with question and answer, such as GSM8K's")


if __name__ == "__main__":
    main(__file__, VARIANTS, baseline="padded", title="packing against padding, 8 examples", options=_options)
