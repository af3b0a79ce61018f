"""From the options of the commands that decode to a decoder."""

import json
import re
from collections.abc import Mapping
from typing import Any

import typer

from unmask.cli.opening import Decoder, LoadedModel
from unmask.config.defaults import CANVAS
from unmask.errors import UserError, shorten
from unmask.runtime.foreign import read_text
from unmask.runtime.paths import resolve_path

SHORTCUTS = {"selection": "threshold", "proposal": "temperature"}  # a component, and the field that is short for one


def decoder_of(
    chosen: Mapping[str, Any],
    *,
    whole: bool = False,
    preset: Mapping[str, Any] | None = None,
    model: str = "",
    regex: str | None = None,
    json_schema: str | None = None,
) -> Decoder:
    """Make the decoder that the options describe, before a model is loaded.

    Args:
        chosen: what ``unmask.cli.options.decodes`` gives a command; components are names or YAML.
        whole: decode without blocks.
        preset: fields of a decoder, which the options outrank.
        model: the model that the user named, whose family ``--released`` means.
        regex: a pattern that the answer must match.
        json_schema: a schema that the answer must follow, or a file with one.

    Returns:
        A ``Decoder``.

    Raises:
        UserError: options that exclude each other, or a canvas without columns.
        InvalidConfigError: a field that no model could be decoded with.
    """
    from unmask.config.components import InvalidConfigError, fill
    from unmask.config.yaml import read_value
    from unmask.decoding import Decoder

    fields = {name: value for name, value in chosen.items() if value is not None}
    if fields.pop("released", False):
        preset = {**(preset or {}), **released_decoder(model)}
    canvas = fields.pop("max_new_tokens", 1)
    if canvas < 1:
        raise UserError(
            f"--max-new-tokens: expected at least 1, found {canvas}; the default is the model's, or {CANVAS}"
        )
    if whole and "block_size" in fields:
        raise UserError("--full-canvas: decodes without blocks; leave out --block-size, or leave out --full-canvas")
    if whole and "blocks" in fields:
        raise UserError("--full-canvas: says how the canvas is cut; leave out --blocks, or leave out --full-canvas")
    fields |= {name: read_value(text, f"--{name}") for name, text in fields.items() if isinstance(text, str)}
    if regex is not None or json_schema is not None:
        fields["constraint"] = _constraint(regex, json_schema)
    outranked = {SHORTCUTS[name] for name in fields if name in SHORTCUTS}
    kept = {name: value for name, value in (preset or {}).items() if name not in outranked}
    try:
        return fill(Decoder, {**kept, **fields, **({"blocks": "whole"} if whole else {})})
    except InvalidConfigError as error:
        raise InvalidConfigError([_as_option(problem) for problem in error.problems]) from None


def released_decoder(model: str) -> Mapping[str, Any]:
    """Return the fields of a decoder that decodes as the released sampler of a model's family does.

    Args:
        model: a folder, an adapter, a gguf file or a hub name; of a folder only the configuration is read.

    Returns:
        The fields by name.

    Raises:
        UserError: the model is of no family whose sampler is known.
    """
    from unmask.cli.opening import family_named
    from unmask.models.families import FAMILIES

    name = family_named(model)
    if name is None or not FAMILIES[name].decoding:
        known = ", ".join(sorted(each for each in FAMILIES if FAMILIES[each].decoding))
        raise UserError(f"--released: expected a model of a family whose sampler is known ({known}), found {name}")
    return FAMILIES[name].decoding


def _constraint(regex: str | None, json_schema: str | None) -> object:
    """Return the checked constraint of a pattern, or of a schema or the file that holds one; None without either."""
    from unmask.constraints.compile import check_pattern, constraint_of

    schema = None
    if json_schema is not None:
        is_text = json_schema.lstrip().startswith("{")
        try:
            schema = json.loads(json_schema if is_text else read_text(resolve_path(json_schema)))
        except (UserError, OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"--json-schema: expected a JSON object or a file with one, found {json_schema[:60]!r} "
                f"({shorten(error, 160)})"
            ) from error
    found = constraint_of(regex=regex, json_schema=schema)
    check_pattern(found)
    return found


def _as_option(problem: str) -> str:
    """Return a problem with the field that it starts with written as its option; fields below it keep their names."""
    field = re.match(r"\w*", problem).group()  # type: ignore[union-attr]  # it matches the empty string, too
    return f"--{field.replace('_', '-')}{problem[len(field) :]}"


def check_decoder(decoder: Decoder, lm: LoadedModel, canvas: int | None) -> None:
    """Refuse steps that do not divide into the blocks of a canvas, and warn of blocks that the model was not made for.

    Args:
        decoder: how the canvas is filled.
        lm: the model.
        canvas: its columns; None where they are not known yet.
    """
    trained = lm.facts.block_size
    resolved = decoder.resolve(trained_block_size=trained)
    if canvas is not None:
        resolved.steps_per_block(canvas)
    if trained and decoder.block_size and decoder.block_size > trained:
        typer.echo(
            f"warning: block size {decoder.block_size} is larger than the {trained} that the model was trained with; "
            f"expect worse answers, or write --block-size {trained}",
            err=True,
        )
