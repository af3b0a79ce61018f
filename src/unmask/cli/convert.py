"""The command ``unmask convert``."""

from pathlib import Path
from typing import Annotated

import typer

from unmask.cli.options import Json, Model


def convert(
    model: Model,
    out: Annotated[Path, typer.Argument(help="New folder for the converted model.")],
    shift: Annotated[bool | None, typer.Option(help="Logits are shifted (default: by the checkpoint).")] = None,
    mask_token: Annotated[str | None, typer.Option(help="Spelling of the mask token.")] = None,
    json: Json = False,
) -> None:
    """Turn a checkpoint into a plain transformers folder with its diffusion facts written down."""
    from unmask.cli.inspect import readable
    from unmask.cli.opening import open_model
    from unmask.cli.present import emit, table
    from unmask.errors import UserError
    from unmask.models import describe

    if out.is_file() or (out.exists() and any(out.iterdir())):
        raise UserError(f"{out}: expected a new or empty folder, found something there; choose another")
    lm = open_model(model, shift=shift, mask_token=mask_token)
    lm.save(out)
    facts = {**describe(lm), "folder": str(out)}
    emit(facts) if json else table(readable(facts))
