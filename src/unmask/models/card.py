"""The model card of a saved folder: what the model is, and how it is decoded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unmask.models.facts import Facts

MARK = "<!-- written by unmask -->"


def model_card(facts: Facts, *, stock: str, name: str, is_adapter: bool = False, is_guarded: bool = True) -> str:
    """Return the text of a ``README.md`` that tells people how to decode a model.

    Args:
        facts: of the model.
        stock: name of the transformers class that computes it.
        name: of the folder.
        is_adapter: whether the folder holds adapters only.
        is_guarded: whether other programs refuse the folder.

    Returns:
        Markdown, with the front matter that model hubs read.
    """
    front = {"library_name": "unmask", "pipeline_tag": "text-generation", "tags": ["diffusion-language-model"]}
    source = Path(facts.source or "not recorded")
    if facts.source and not source.is_absolute():
        front["base_model"] = facts.source
    blocks = f"{facts.block_size}, counted from the {facts.grid}" if facts.block_size else "none"
    rows: dict[str, Any] = {
        "computed by": f"`{stock}` of transformers, {facts.attention.replace('_', '-')} attention",
        "family": facts.family or "none: converted or new",
        "came from": source.name if source.is_absolute() else str(source),
        "block size": blocks,
        "columns of an answer": facts.canvas or "not recorded",
        "mask token": facts.mask_id,
        "ends of an answer": ", ".join(map(str, facts.eos_ids)),
        "predictions": "shifted: the state before a column predicts it"
        if facts.shift
        else "of a column, at the column",
    }
    head = "\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items())
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    kind = "Adapters of a masked" if is_adapter else "A masked"
    others = (
        "Programs for ordinary\nlanguage models refuse this folder, for their answers would be wrong."
        if is_guarded and not is_adapter
        else "Programs for ordinary\nlanguage models load this folder, but what they write from left to right is wrong."
    )
    return f"""---
{head}
---
{MARK}
# {name}

{kind} diffusion language model: it fills in hidden tokens, and does not write from left to right. {others}

```sh
pip install unmask
unmask generate {name} --prompt "…"
unmask export {name} OUT --to FAMILY
```

The first command loads this folder and answers a prompt; the second writes it for an engine.

| | |
|---|---|
{table}
"""


def export_card(facts: Facts, *, title: str, name: str, commands: Mapping[str, str], missing: str) -> str:
    """Return the text of a ``README.md`` for an exported folder: how each engine serves it.

    Args:
        facts: of the model.
        title: of the family whose layout it has.
        name: of the folder.
        commands: title of an engine -> the line that serves the folder ``OUT``.
        missing: what engines need beside; empty if nothing.

    Returns:
        Markdown.
    """
    lines = "\n\n".join(f"{engine}:\n\n```sh\n{line.replace('OUT', name)}\n```" for engine, line in commands.items())
    needs = f"\nStill missing, for {missing}.\n" if missing else ""
    blocks = f"blocks of {facts.block_size} counted from the {facts.grid}" if facts.block_size else "no blocks"
    return f"""{MARK}
# {name}

A masked diffusion language model in the layout of {title}: {facts.attention.replace("_", "-")} attention, {blocks},
mask token {facts.mask_id}, predictions {"shifted" if facts.shift else "not shifted"}. It does not write from left to
right: serve it by an engine's mode for diffusion language models. vLLM and a plain `transformers` pipeline would answer
wrongly.

{lines}
{needs}"""
