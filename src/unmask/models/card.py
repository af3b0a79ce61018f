"""The model card of a saved folder: what the model is, how it was made, what was measured, and how it is decoded.

The text of a card is Markdown under front matter that model hubs read. Commands change single sections of it, each
between two comments, so that whatever people write around them stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from unmask.models.facts import Facts
from unmask.runtime.foreign import foreign
from unmask.runtime.paths import is_hub_name

MARK = "<!-- written by unmask -->"
CARD = "README.md"
_TASK, _TAG = "text-generation", "diffusion-language-model"


def model_card(facts: Facts, *, stock: str, name: str, is_adapter: bool = False, is_guarded: bool = True) -> str:
    """Return the text of a ``README.md`` that tells people what a model is and how to decode it.

    Args:
        facts: of the model.
        stock: name of the transformers class that computes it.
        name: of the folder.
        is_adapter: whether the folder holds adapters only.
        is_guarded: whether other programs refuse the folder.

    Returns:
        Markdown, with the front matter that model hubs read.
    """
    source = Path(facts.source or "not recorded")
    front = ModelCardData(library_name="unmask", pipeline_tag=_TASK, tags=[_TAG], base_model=_on_hub(facts.source))
    blocks = f"{facts.block_size}, counted from the {facts.grid}" if facts.block_size else "none"
    rows: dict[str, Any] = {
        "computed by": f"`{stock}` of transformers, {facts.attention.replace('_', '-')} attention",
        "family": facts.family or "none: converted or new",
        "came from": shown_source(str(source)),
        "block size": blocks,
        "canvas, in columns of an answer": facts.canvas or "not recorded",
        "mask token": facts.mask_id,
        "ends of an answer": ", ".join(map(str, facts.eos_ids)),
        "predictions": "shifted: the state before a column predicts it"
        if facts.shift
        else "of a column, at the column",
    }
    kind = "Adapters of a masked" if is_adapter else "A masked"
    others = (
        "Programs for ordinary\nlanguage models refuse this folder, for their answers would be wrong."
        if is_guarded and not is_adapter
        else "Programs for ordinary\nlanguage models load this folder, but what they write from left to right is wrong."
    )
    return f"""{_front_matter(front)}
{MARK}
# {name}

{kind} diffusion language model: it fills in hidden tokens, and does not write from left to right. {others}

{_section("decode", _how_to_decode(name))}

## The model

{table(rows)}
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
        Markdown, with the front matter that model hubs read.
    """
    lines = "\n\n".join(f"{engine}:\n\n```sh\n{line.replace('OUT', name)}\n```" for engine, line in commands.items())
    needs = f"\nStill missing, for {missing}.\n" if missing else ""
    blocks = f"blocks of {facts.block_size} counted from the {facts.grid}" if facts.block_size else "no blocks"
    front = ModelCardData(pipeline_tag=_TASK, tags=[_TAG, "unmask"], base_model=_on_hub(facts.source))
    return f"""{_front_matter(front)}
{MARK}
# {name}

A masked diffusion language model in the layout of {title}: {facts.attention.replace("_", "-")} attention, {blocks},
mask token {facts.mask_id}, predictions {"shifted" if facts.shift else "not shifted"}. It does not write from left to
right: serve it by an engine's mode for diffusion language models. vLLM and a plain `transformers` pipeline would answer
wrongly.

{lines}
{needs}"""


def with_name(text: str, name: str | None, *, command: str) -> str:
    """Return a card with another title, and with commands that name the model anew.

    Args:
        text: of the card.
        name: the title; None: the title stays.
        command: how commands name the model, a path or a hub name.

    Returns:
        The card; one that unmask did not write is returned unchanged.
    """
    if MARK not in text:
        return text
    before, after = text.split(MARK, 1)
    lines = after.split("\n")
    titles = [number for number, line in enumerate(lines) if line.startswith("# ")]
    if titles and name is not None:
        lines[titles[0]] = f"# {name}"
    card = f"{before}{MARK}" + "\n".join(lines)
    return with_section(card, "decode", _how_to_decode(command)) if _start("decode") in card else card


def with_download(text: str, name: str, hub_name: str) -> str:
    """Return the card of an exported folder with the line that brings it from a hub; other cards unchanged.

    Args:
        text: of the card.
        name: of the folder, by which its commands call it.
        hub_name: of the repository on the hub, ``owner/name``.

    Returns:
        The card.
    """
    if MARK not in text or _start("decode") in text:
        return text
    body = (
        f"The commands above are for a folder on your machine:\n\n```sh\nhf download {hub_name} --local-dir {name}\n```"
    )
    return with_section(text, "download", body)


def with_training(text: str, *, rows: Mapping[str, Any], recipe: str, base: str | None, **front: Any) -> str:
    """Return a card that also says how the model was trained.

    Args:
        text: of the card.
        rows: facts of the run by name, a line of the table each.
        recipe: YAML that trains such a model again; empty if there is none.
        base: hub name of the model that was trained; None where it has none.
        **front: further entries of the front matter; those that are None are left out.

    Returns:
        The card.
    """
    body = f"## How it was trained\n\n{table(rows)}"
    if recipe:
        body += f"\n\nThe recipe, for `unmask sft recipe.yaml --out OUT`:\n\n```yaml\n{recipe.rstrip()}\n```"
    with _edited(text) as card:
        for name, value in {"base_model": base, **front}.items():
            if value is not None:
                card.data[name] = value
        card.text = with_section(card.text, "training", body)
    return _joined(card)


def with_results(text: str, results: Sequence[EvalResult], *, name: str) -> str:
    """Return a card with these results, in its front matter (``model-index``) and as a table.

    Results that the card has already stay, unless a new one is of the same metric on the same data, with the same
    settings (``metric_args``, but for what was found: ``interval``).

    Args:
        text: of the card.
        results: what was measured.
        name: of the model, if the card names none in its front matter.

    Returns:
        The card.
    """
    with _edited(text) as card:
        data = cast("ModelCardData", card.data)
        kept = {_identity(each): each for each in [*(data.eval_results or []), *results]}
        data.model_name = data.model_name or name
        data.eval_results = list(kept.values())
        if kept:
            body = f"## Results\n\n{_results_table(list(kept.values()))}"
            card.text = with_section(card.text, "results", body)
    return _joined(card)


def table(rows: Mapping[str, Any]) -> str:
    """Return names and values as a Markdown table without a head."""
    return "| | |\n|---|---|\n" + "\n".join(f"| {key} | {value} |" for key, value in rows.items())


def shown_source(source: str) -> str:
    """Return how a card names a checkpoint: a hub name as it is, of a path the last names only.

    >>> shown_source("owner/name"), shown_source("/home/ann/runs/mine/model"), shown_source("/home/ann/base")
    ('owner/name', 'mine/model', 'base')
    """
    path = Path(source)
    if not path.is_absolute():
        return source
    return "/".join(path.parts[-2:]) if path.name == "model" else path.name


def with_section(text: str, name: str, body: str) -> str:
    """Return a text with a section of it replaced; a new one is put at its end.

    Args:
        text: Markdown.
        name: of the section.
        body: its content from now on.

    Returns:
        The text.
    """
    before, start, rest = text.partition(_start(name))
    inside, end, after = rest.partition(_end(name))
    if not start or not end:
        return f"{text.rstrip()}\n\n{_section(name, body)}\n"
    return f"{before}{_section(name, body)}{after}"


def _on_hub(source: str | None) -> str | None:
    return source if source is not None and is_hub_name(source) else None


def _how_to_decode(name: str) -> str:
    return f"""```sh
pip install unmask
unmask generate {name} --prompt "…"
unmask chat {name}
unmask export {name} OUT --to FAMILY
```

The first two commands load this folder and answer; the third writes it for an engine. From Python:

```python
import unmask

lm = unmask.load("{name}")
print(unmask.generate(lm, ["…"]).texts[0])
```"""


def _results_table(results: Sequence[EvalResult]) -> str:
    lines = ["| data | split | what | value | 95 % interval | measured with |", "|---|---|---|---|---|---|"]
    for each in results:
        told = dict(each.metric_args or {})
        interval = told.pop("interval", None)
        limits = "" if interval is None else " to ".join(f"{limit:.3g}" for limit in interval)
        value = f"{each.metric_value:.4g}" if isinstance(each.metric_value, float) else each.metric_value
        rest = ", ".join(f"{key.replace('_', ' ')} {entry}" for key, entry in told.items())
        lines.append(
            f"| {each.dataset_name} | {each.dataset_split or ''} | {each.metric_name or each.metric_type} | {value} | "
            f"{limits} | {rest} |"
        )
    return "\n".join(lines)


def _identity(result: EvalResult) -> tuple[str, ...]:
    told = {key: value for key, value in (result.metric_args or {}).items() if key != "interval"}
    parts = (result.task_type, result.dataset_type, result.dataset_name, result.dataset_split, result.metric_type, told)
    return tuple(map(str, parts))


@contextmanager
def _edited(text: str) -> Iterator[ModelCard]:
    """Yield a card whose ``data`` and ``text`` may be changed; a ``UserError`` where its front matter is no YAML."""
    with foreign(f"the front matter of {CARD} cannot be read", "mend the lines between its first two ---"):
        card = ModelCard(text, ignore_metadata_errors=False)
        yield card


def _joined(card: ModelCard) -> str:
    return f"{_front_matter(card.data)}\n{card.text.lstrip()}"


def _front_matter(data: Any) -> str:
    return f"---\n{data.to_yaml()}\n---"


def _start(name: str) -> str:
    return f"<!-- unmask: {name} -->"


def _end(name: str) -> str:
    return f"<!-- unmask: end of {name} -->"


def _section(name: str, body: str) -> str:
    return f"{_start(name)}\n{body}\n{_end(name)}"
