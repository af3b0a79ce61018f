"""Components from outside: installed packages, modules named in a recipe or on the command line, files of one's own.

An installed package names its modules under the entry-point group ``unmask.components``. They, and the modules of the
environment variable ``UNMASK_PLUGINS``, are imported when a name is looked up that unmask itself does not have. What a
recipe names in ``plugins:``, and ``unmask --plugin``, is imported at once. Importing a module runs it: name only what
you trust.
"""

import functools
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from types import ModuleType

from unmask.errors import UserError, shorten

GROUP = "unmask.components"
VARIABLE = "UNMASK_PLUGINS"
"""Modules to import, separated as in ``PATH``: what child processes are told."""

_named: dict[str, ModuleType] = {}
_installed: dict[str, str] = {}
"""Distribution -> version, of the entry points that were imported."""
_state = {"installed": False}


def named_plugins() -> list[str]:
    """Return the modules and files that were imported because somebody named them, in that order."""
    return list(_named)


def environment() -> dict[str, str]:
    """Return the variables of this process with ``UNMASK_PLUGINS`` set, so that a child imports the same plugins."""
    return {**os.environ, VARIABLE: os.pathsep.join(_named)} if _named else dict(os.environ)


def plugin_versions() -> dict[str, str]:
    """Return what each plugin was: the version of an installed package, a hash of the file of a named module."""
    files = {name: getattr(module, "__file__", None) for name, module in _named.items()}
    hashes = {
        f"plugin {Path(name).name}": hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
        for name, file in files.items()
        if file
    }
    return {**_installed, **hashes}


def resolve(names: object, folder: Path) -> list[str]:
    """Return the value of ``plugins:`` as a list, with files as absolute paths.

    Args:
        names: a module (``my_module``), a file (``mine.py``), or a list of them.
        folder: that files are relative to.

    Returns:
        Modules and files, in the order given.

    Raises:
        UserError: it is something else.
    """
    given = [names] if isinstance(names, str) else names
    if not isinstance(given, list) or not all(isinstance(name, str) and name for name in given):
        raise UserError(f"plugins: expected names of modules, found {shorten(repr(names), 80)}; write [my_module]")
    return [str((folder / name).resolve()) if name.endswith(".py") else name for name in given]


def load_plugins(names: Iterable[str]) -> None:
    """Import modules and files that register components; those that were imported before are left alone.

    A UserError is raised if one cannot be imported, or registers a name that is taken.

    Args:
        names: importable modules, and paths that end in ``.py``.
    """
    for name in names:
        if name not in _named:
            read = _read_file if name.endswith(".py") else importlib.import_module
            _named[name] = _import(f"plugin '{name}'", functools.partial(read, name), name)


def imported(name: str) -> ModuleType | None:
    """Return the module of a plugin that somebody named and that is imported; None for another name."""
    return _named.get(name)


def load_recorded(names: object, record: str) -> None:
    """Import the plugins that a record names, unless they are files: a record may come from anybody.

    Args:
        names: what the record holds as ``plugins``; None where it holds none.
        record: its path, for messages.

    Raises:
        UserError: a file was not named by the person who runs this, or a module cannot be imported.
    """
    found = resolve(names or [], Path())
    for name in found:
        if name.endswith(".py") and name not in _named:
            raise UserError(
                f"{record}: was made with the plugin {shorten(name, 160)}, which is not run unasked; "
                f"write unmask --plugin {shorten(name, 160)} … if you trust that file"
            )
    load_plugins(found)


def load_installed() -> None:
    """Import the plugins of installed packages and those of ``UNMASK_PLUGINS``, once.

    Raises:
        UserError: one cannot be imported, or registers a name that is taken.
    """
    if _state["installed"]:
        return
    _state["installed"] = True
    try:
        load_plugins(name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name)
        for point in metadata.entry_points(group=GROUP):
            package = point.dist.name if point.dist is not None else point.value
            _import(f"plugin '{point.name}' of the package {package}", point.load, point.module)
            _installed[package] = point.dist.version if point.dist is not None else "unknown"
    except UserError:
        _state["installed"] = False  # the next look-up complains again, instead of missing a name
        raise


def _read_file(name: str) -> ModuleType:
    """Return a file as a module, imported under a name that no module has."""
    path = Path(name).resolve()
    if not path.is_file():
        raise UserError("no such file; write the path of a Python file, relative to the recipe or to where you are")
    title = f"unmask_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(title, path)
    assert spec is not None  # a path that ends in .py has one
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module  # where dataclasses look their annotations up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[title]
        raise
    return module


def _import(what: str, work: Callable[[], ModuleType], module: str) -> ModuleType:
    """Return an imported plugin; the error in one line names it, why it failed and what to do."""
    try:
        return work()
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            remedy = "install the package that has it, or write the path of a file, ./my_module.py"
            raise UserError(f"{what}: no module '{error.name}'; {remedy}") from error
        raise UserError(f"{what}: needs the module '{error.name}', which is not installed; install it") from error
    except Exception as error:
        said = shorten(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{what}: importing it failed: {said}; mend or uninstall it") from error
