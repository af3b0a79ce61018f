"""Opening the model or tokenizer that a command is given."""

from typing import Any


def open_model(name: str, **options: Any) -> Any:
    """Load the model that the user named: by a path, an asset, or a name on the hub. ``options`` go to ``load``."""
    from unmask.models import load
    from unmask.runtime.third_party_logging import silence_libraries

    silence_libraries()
    return load(name, **options)


def open_tokenizer(name: str) -> tuple[Any, Any, int | None, int | None]:
    """Return a model's tokenizer, ends of an answer, mask token and block size, if possible without its weights.

    A ``UserError`` is raised where there is no tokenizer.
    """
    from unmask.errors import UserError
    from unmask.models.checkpoints import locate
    from unmask.models.preflight import preflight
    from unmask.runtime.paths import resolve_path

    path = resolve_path(name)
    where = locate(path) if path.exists() else None
    if where is None or where.kind != "folder":
        lm = open_model(name, device="cpu")
        return lm.tokenizer, lm.facts, lm.mask_id, lm.facts.block_size
    seen = preflight(where)
    if seen.problems:
        raise UserError(f"{name}: {seen.problems[0]}")
    if seen.tokenizer is None:
        raise UserError(f"{name}: expected a model with a tokenizer, found none; write --model with another")
    return seen.tokenizer, seen.ends, seen.mask_id, seen.block_size
