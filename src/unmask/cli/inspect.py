"""``unmask inspect``."""

from unmask.cli.options import Device, Json, Model


def inspect(model: Model, device: Device = None, json: Json = False) -> None:
    """Show the facts of a model: mask token, shift, attention, block size, end tokens."""
    from unmask.cli.present import emit, table
    from unmask.models import describe, load
    from unmask.quiet import quiet
    from unmask.recipe import resolve_path

    quiet()
    facts = describe(load(str(resolve_path(model)), device=device))
    emit(facts) if json else table(facts)
