"""``unmask preview``."""

from typing import Annotated

import typer

from unmask.cli.options import Json


def preview(
    data: Annotated[str, typer.Argument(help="JSON Lines, CSV or Parquet file, or the name of a hub data set.")],
    model: Annotated[str, typer.Option(help="Whose tokenizer and chat template.")] = "asset:quickstart/model",
    count: Annotated[int, typer.Option(help="Examples to show.")] = 3,
    block_size: Annotated[int, typer.Option(help="Block size.")] = 32,
    max_length: Annotated[int, typer.Option(help="Longest prompt plus answer, tokens.")] = 1024,
    split: Annotated[str, typer.Option(help="Of a hub data set.")] = "train",
    json: Json = False,
) -> None:
    """Show examples as the model will see them: prompt, blocks of the answer, end of turn, filler."""
    from rich.console import Console

    from unmask.cli.present import emit
    from unmask.data import encode, read
    from unmask.data import preview as show
    from unmask.models import load
    from unmask.quiet import quiet
    from unmask.recipe import resolve_path

    quiet()
    records = read(data, split=split, limit=count)
    lm = load(str(resolve_path(model)), device="cpu")
    encoded = encode(
        records, lm.tokenizer, max_length=max_length, block_size=block_size, end_ids=lm.eos_ids, mask_id=lm.mask_id
    )
    grid = {"block_size": block_size, "filler_id": lm.filler_id, "count": count}
    shown = show(encoded, lm.tokenizer, **grid)
    if json:
        emit(shown.as_dict())
        return
    Console().print(shown)
