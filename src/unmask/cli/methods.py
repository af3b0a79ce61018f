"""``unmask methods``."""

from unmask.cli.options import Json


def methods(json: Json = False) -> None:
    """List every objective, curriculum, decoder part and task by the name that recipes use, with its fields."""
    from rich.console import Console

    from unmask.cli.present import emit
    from unmask.config import field_names
    from unmask.data import CURRICULA
    from unmask.decoding import (
        BLOCK_RULES,
        CACHES,
        CONSTRAINTS,
        PROPOSALS,
        REVISIONS,
        SEARCHES,
        SELECTIONS,
        STOPS,
        VIEWS,
    )
    from unmask.objectives import OBJECTIVES
    from unmask.tasks import TASKS

    parts = (SELECTIONS, BLOCK_RULES, PROPOSALS, REVISIONS, VIEWS, CACHES, SEARCHES, CONSTRAINTS, STOPS)
    registries = (OBJECTIVES, CURRICULA, *parts, TASKS)
    listing = {
        registry.kind: {
            name: {"summary": summary(registry[name]), "fields": field_names(registry[name])} for name in registry
        }
        for registry in registries
    }
    emit(listing) if json else Console().print(_table(listing))


def _table(listing: dict[str, dict[str, dict[str, object]]]) -> object:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for index, (kind, entries) in enumerate(listing.items()):
        if index:
            grid.add_row()
        grid.add_row(Text(kind, "bold"))
        for name, entry in entries.items():
            text = Text(str(entry["summary"]))
            if entry["fields"]:
                text.append(f"\n{', '.join(entry['fields'])}", "dim")  # type: ignore[call-overload]
            grid.add_row(Text(f"  {name}", "cyan"), text)
    return grid


def summary(cls: type[object]) -> str:
    """Return the first line of a docstring."""
    return (cls.__doc__ or "").strip().splitlines()[0].replace("``", "")
