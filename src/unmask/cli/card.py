"""The command ``unmask card``."""

from pathlib import Path
from typing import Annotated

import typer


def card(
    model: Annotated[str, typer.Argument(help="Folder of a model, or of the run that trained it.")],
    results: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of an evaluation (unmask eval --out) to add; may be given several times."),
    ] = None,
) -> None:
    """Print the model card of a folder (README.md), with the results of evaluations written into it by --results."""
    from unmask.cli.present import say
    from unmask.evaluate.card import add_results, card_of
    from unmask.runtime.foreign import read_text
    from unmask.runtime.third_party_logging import silence_libraries

    silence_libraries()
    file = card_of(model)
    text = add_results(model, results) if results else read_text(file)
    typer.echo(text.rstrip("\n"))
    if results:
        say(f"note: {file} tells the results of {', '.join(map(str, results))} now")
