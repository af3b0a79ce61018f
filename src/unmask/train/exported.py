"""What ``run.export`` names: the layout in which a model is to be exported, and how engines count blocks there."""

from unmask.config.components import InvalidConfigError
from unmask.core.attention import Grid
from unmask.errors import did_you_mean
from unmask.models.export import targets
from unmask.models.families import FAMILIES


def check_export(name: str | None) -> str | None:
    """Return the name of a family of released checkpoints, ``gguf`` or ``transformers``; None for None.

    Args:
        name: value of ``run.export``.

    Returns:
        The name, unchanged.

    Raises:
        InvalidConfigError: nothing of that name can be exported to.
    """
    if name is None or name in targets():
        return name
    hint = did_you_mean(name, targets())
    raise InvalidConfigError(
        [f": expected the name of a family of checkpoints, gguf or transformers, found '{name}'; {hint}"]
    )


def export_grid(name: str | None) -> Grid | None:
    """Return ``text`` where engines count the blocks of such a model from the first token of the text, else None."""
    return "text" if name is not None and name in FAMILIES and FAMILIES[name].grid == "text" else None


def export_block_size(name: str | None) -> int | None:
    """Return the block size of a family as released, columns; None where it has none, and for None."""
    return FAMILIES[name].block_size if name is not None and name in FAMILIES else None
