"""Opening the model or tokenizer that a command is given."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unmask.analyze import Findings as Findings
    from unmask.analyze import Study as Study
    from unmask.analyze import Subject as Subject
    from unmask.core.attention import Grid as Grid
    from unmask.data import Record as Record
    from unmask.decoding import Decoder as Decoder
    from unmask.decoding import Step as Step
    from unmask.evaluate.answers import Answer as Answer
    from unmask.evaluate.likelihood import Likelihoods as Likelihoods
    from unmask.evaluate.repeat import Repetition as Repetition
    from unmask.generate import Answering as Answering
    from unmask.generate import FileReport as FileReport
    from unmask.generate import Generation as Generation
    from unmask.generate.prompt_files import Prompts as Prompts
    from unmask.models import LoadedModel as LoadedModel
    from unmask.models.facts import Facts as Facts
    from unmask.models.tokens import Ends as Ends
    from unmask.recipes.recipe import Recipe as Recipe
    from unmask.recipes.sections import DataSection as DataSection
    from unmask.recipes.sections import EvaluateSection as EvaluateSection
    from unmask.runtime.transformers_api import Tokenizer as Tokenizer
    from unmask.study.recipes import Comparison as Comparison
else:  # they load torch: at run time the names mean any object
    Answer = Comparison = Findings = Study = Subject = Record = Decoder = Step = Likelihoods = Repetition = (
        Generation
    ) = object
    Answering = FileReport = Prompts = object
    LoadedModel = Facts = Ends = DataSection = EvaluateSection = Recipe = Tokenizer = Grid = object


def open_model(name: str, *, live: bool = False, **options: Any) -> LoadedModel:
    """Load the model that the user named: by a path, an asset, or a name on the hub.

    Args:
        name: of the model.
        live: whether to show meanwhile, where stderr is a terminal, what is read.
        **options: of ``load``.

    Returns:
        The model.
    """
    with _shown_while_loading(name, live=live):
        from unmask.models import load
        from unmask.runtime.third_party_logging import silence_libraries

        silence_libraries()
        return load(name, **options)


@contextmanager
def _shown_while_loading(name: str, *, live: bool) -> Iterator[None]:
    """Show a model's name, the size of its weights and the time on stderr, and take the line away in the end."""
    import sys

    if not (live and sys.stderr.isatty()):
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from unmask.runtime.paths import resolve_path

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task(f"reading {name}{_size_of(resolve_path(name))}", total=None)
        yield


def _size_of(path: Path) -> str:
    """Return the size of a model's weights in brackets; empty where it is not on this machine yet."""
    files = [path] if path.is_file() else [*path.glob("*.safetensors"), *path.glob("model/*.safetensors")]
    size = sum(file.stat().st_size for file in files)
    return f" ({size / 1e9:.1f} GB)" if size >= 10**9 else f" ({size / 1e6:.1f} MB)" if size else ""


def describe_without_weights(model: str, *, device: str | None) -> dict[str, Any] | None:
    """Return the facts of a gguf file from its head; None for any other model, and where the head does not suffice."""
    from unmask.models.checkpoints import locate
    from unmask.models.inspect import describe_gguf
    from unmask.runtime.paths import resolve_path
    from unmask.runtime.third_party_logging import silence_libraries

    path = resolve_path(model)
    if not path.is_file():
        return None
    silence_libraries()
    return describe_gguf(locate(path), device=device)


def family_named(model: str) -> str | None:
    """Return the family of a model by name, if possible without reading its weights; None if it has none."""
    from unmask.models.checkpoints import locate
    from unmask.models.preflight import preflight
    from unmask.runtime.paths import resolve_path

    path = resolve_path(model)
    where = locate(path) if path.exists() else None
    if where is None or where.kind == "adapter":
        return open_model(model, device="cpu").facts.family
    return preflight(where).family


def open_for_export(name: str, **options: Any) -> LoadedModel:
    """Load the model that the user named without rounding its weights, adapters merged."""
    from unmask.models import export
    from unmask.runtime.third_party_logging import silence_libraries

    silence_libraries()
    return export.open_for_export(name, device="cpu", **options)


def open_tokenizer(name: str) -> tuple[Tokenizer, Ends | Facts, int | None, int | None, Grid | None]:
    """Return a model's tokenizer, ends of an answer, mask token, block size and grid, if possible without its weights.

    A ``UserError`` is raised where there is no tokenizer.
    """
    from unmask.errors import UserError
    from unmask.models.checkpoints import locate
    from unmask.models.preflight import preflight
    from unmask.runtime.paths import resolve_path

    path = resolve_path(name)
    where = locate(path) if path.exists() else None
    ends: Ends | Facts | None
    mask_id: int | None
    size: int | None
    grid: Grid | None
    if where is None or where.kind == "adapter":
        lm = open_model(name, device="cpu")
        tokenizer, mask_id, size, ends, grid = lm.tokenizer, lm.mask_id, lm.facts.block_size, lm.facts, lm.facts.grid
    else:
        seen = preflight(where)
        if seen.problems:
            raise UserError(f"{name}: {seen.problems[0]}")
        tokenizer, mask_id, size, ends, grid = seen.tokenizer, seen.mask_id, seen.block_size, seen.ends, seen.grid
    if tokenizer is None:
        raise UserError(f"{name}: expected a model with a tokenizer, found none; write --model with another")
    assert ends is not None  # a tokenizer without problems has some
    return tokenizer, ends, mask_id, size, grid
