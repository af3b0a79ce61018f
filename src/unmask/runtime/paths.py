"""Resolves names in recipes and on the command line: a path here, an asset, or a name on the hub."""

import os
import re
from pathlib import Path

from unmask.errors import UserError, did_you_mean, shorten

ASSETS = Path(__file__).parents[1] / "assets"
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def resolve_path(path: str) -> Path:
    """Return the path that a user's text stands for; ``~`` and ``asset:NAME`` are expanded.

    Args:
        path: what the user wrote.

    Returns:
        A path, which need not exist.

    Raises:
        UserError: there is no such asset, or the text cannot be a path.
    """
    if not path.startswith("asset:"):
        # Path("./x") forgets its dot, and "x" might be a name on the hub.
        try:
            found = Path(path).expanduser().absolute() if path.startswith((".", "~")) else Path(path)
            found.lstat()
        except (FileNotFoundError, NotADirectoryError):
            pass  # the reader of the file reports it
        except OSError as error:
            raise UserError(f"'{shorten(path, 160)}' cannot be read: {error.strerror}; check the path") from None
        except (ValueError, RuntimeError) as error:  # a NUL, a home of nobody
            raise UserError(f"{shorten(repr(path), 160)} is no path: {error}; check it") from None
        if not path:
            raise UserError("expected a path, found an empty one; write it")
        return found
    name = path.removeprefix("asset:")
    models = [f.parent for f in ASSETS.rglob("config.json")]
    known = sorted(str(f.relative_to(ASSETS)) for f in [*models, *ASSETS.rglob("*.yaml")])
    if name not in known:
        raise UserError(f"unknown asset '{name}'; {did_you_mean(name, known)}")
    return ASSETS / name


def is_hub_name(path: str) -> bool:
    """Return whether a text can be a name on the hub (``owner/name``) and is no path of a file or folder here.

    >>> is_hub_name("GSAI-ML/LLaDA-1.5"), is_hub_name("./models/mine"), is_hub_name("mine.gguf")
    (True, False, False)
    """
    is_path = path.startswith((".", "~", "/", "asset:")) or path.endswith(".gguf")
    return not is_path and len(path) < 200 and _HUB_NAME.fullmatch(path) is not None and not os.path.lexists(path)
