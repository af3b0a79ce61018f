"""The command ``unmask methods``."""

from unmask.cli.options import Json
from unmask.config.registry import Entry


def methods(json: Json = False) -> None:
    """List every component by the name that recipes use, with its fields; those of plugins, too."""
    from rich.console import Console

    from unmask.cli.present import emit
    from unmask.config.registry import listings

    listing = listings()
    emit(listing) if json else Console().print(_table(listing))


def _table(listing: dict[str, dict[str, Entry]]) -> object:
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
            text = Text(entry["summary"])
            if entry["fields"]:
                text.append(f"\n{', '.join(entry['fields'])}", "dim")
            grid.add_row(Text(f"  {name}", "cyan"), text)
    return grid
