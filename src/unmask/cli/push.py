"""The command ``unmask push``."""

from typing import Annotated

import typer

from unmask.cli.options import Json


def push(
    model: Annotated[str, typer.Argument(help="Folder of a model, an adapter, an export, or a run.")],
    name: Annotated[str, typer.Argument(help="Of the repository on the hub: owner/name. It is made if it is new.")],
    private: Annotated[bool, typer.Option("--private", help="Make a repository that only its owner sees.")] = False,
    revision: Annotated[str | None, typer.Option(help="Branch to write to (default: main).")] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Address of the hub (default: HF_ENDPOINT, or https://huggingface.co).")
    ] = None,
    json: Json = False,
) -> None:
    """Upload a model to a hub, with the token of HF_TOKEN or of hf auth login; a damaged folder is refused."""
    from unmask.cli.present import emit, say
    from unmask.models.hub import push_to_hub

    done = push_to_hub(
        model, name, private=private, revision=revision, commit_message=message, endpoint=endpoint, tell=say
    )
    if json:
        emit(
            {"name": done.name, "url": done.url, "commit": done.commit, "revision": done.revision, "files": done.files}
        )
        return
    typer.echo(f"{done.name} holds it now: {done.url}")
    typer.echo(f"load it with: unmask generate {done.name} --prompt '…'")
