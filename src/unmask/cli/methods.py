"""``unmask methods``."""

import typer

from unmask.cli.options import Json


def methods(json: Json = False) -> None:
    """List every objective, decoder part and task by the name that recipes use."""
    from unmask.cli.present import emit
    from unmask.config import field_names
    from unmask.decoding import BLOCK_RULES, CACHES, PROPOSALS, REVISIONS, SELECTIONS, STOPS, VIEWS
    from unmask.objectives import OBJECTIVES
    from unmask.tasks import TASKS

    registries = (OBJECTIVES, SELECTIONS, BLOCK_RULES, PROPOSALS, REVISIONS, VIEWS, CACHES, STOPS, TASKS)
    listing = {
        registry.kind: {
            name: {"summary": summary(registry[name]), "fields": field_names(registry[name])} for name in registry
        }
        for registry in registries
    }
    if json:
        emit(listing)
        return
    for kind, entries in listing.items():
        typer.secho(kind, bold=True)
        for name, entry in entries.items():
            typer.echo(f"  {name:<14} {entry['summary']}")


def summary(cls: type[object]) -> str:
    """Return the first line of a docstring."""
    return (cls.__doc__ or "").strip().splitlines()[0]
