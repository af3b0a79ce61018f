"""What holds the package to its annotations in the tests: beartype, to which a whole number is a float (PEP 484)."""

import typer
from beartype import BeartypeConf, FrozenDict, beartype

checked = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True,
        hint_overrides=FrozenDict({typer.Context: object}),  # typer hands a base class of it to commands
    )
)
