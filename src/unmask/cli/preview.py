"""``unmask preview``."""

from typing import Annotated

import typer

from unmask.cli.options import Json


def preview(
    data: Annotated[str, typer.Argument(help="JSON Lines, CSV or Parquet file, or the name of a hub data set.")],
    model: Annotated[str, typer.Option(help="Whose tokenizer and chat template.")] = "asset:quickstart/model",
    count: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 3,
    block_size: Annotated[int, typer.Option(min=1, help="Block size.")] = 32,
    max_length: Annotated[int, typer.Option(min=2, help="Longest prompt plus answer, tokens.")] = 1024,
    split: Annotated[str, typer.Option(help="Of a hub data set.")] = "train",
    json: Json = False,
) -> None:
    """Show examples as the model will see them: prompt, blocks of the answer, end of turn, filler."""
    from rich.console import Console

    from unmask.cli.opening import open_tokenizer
    from unmask.cli.present import emit, say
    from unmask.data import encode, read
    from unmask.data import preview as show

    records = read(data, split=split, limit=count)
    tokenizer, ends, mask_id = open_tokenizer(model)
    encoded = encode(
        records, tokenizer, max_length=max_length, block_size=block_size, end_ids=ends.eos_ids, mask_id=mask_id,
        on_bad="skip",
    )  # fmt: skip
    for note in encoded.report.notes(unread=True):
        say(f"note: {note}")
    shown = show(encoded, tokenizer, block_size=block_size, filler_id=ends.filler_id, count=count)
    emit({**shown.as_dict(), "report": encoded.report.as_dict()}) if json else Console().print(shown)
