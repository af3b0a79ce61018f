"""The command ``unmask inspect``."""

from typing import Any

from unmask.cli.options import Device, Json, Model


def inspect(model: Model, device: Device = None, json: Json = False) -> None:
    """Show the facts of a model: mask token, shift, attention, block size, end tokens."""
    from unmask.cli.opening import describe_without_weights, open_model
    from unmask.cli.present import emit, table
    from unmask.models import describe

    facts = describe_without_weights(model, device=device) or describe(open_model(model, device=device))
    emit(facts) if json else table(readable(facts))


def readable(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts with tokens as they are spelt, with their ids."""

    def token(value: dict[str, Any]) -> str:
        return f"{value['id']}" if value["token"] is None else f"{value['token']} ({value['id']})"

    spelt = {name: token(facts[name]) for name in ("mask", "filler")}
    return {**facts, **spelt, "eos": [token(value) for value in facts["eos"]]}
