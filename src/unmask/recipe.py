"""A recipe: model, data, objective, decoder and run, checked as a whole before any weight is loaded."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from unmask.config import InvalidConfigError, assign, choose, fill, part, read_yaml, resolver
from unmask.data import Encoded, encode, read
from unmask.decoding import Decoder
from unmask.errors import UserError, did_you_mean
from unmask.models import LoadedModel, LoraSpec, ScratchSpec, add_lora, from_scratch, load
from unmask.objectives import OBJECTIVES
from unmask.tasks import TASKS
from unmask.train.run import TrainRun

SECTIONS = ("model", "data", "objective", "decoder", "run")
BUILTIN = Path(__file__).parent / "assets"


@part
class ModelSection:
    """Which model. Either ``path`` or ``from_scratch``.

    Args:
        path: hub name, folder, adapter folder, ``.gguf`` file, or ``asset:NAME`` for a model that ships with unmask.
        from_scratch: shape of a random model.
        tokenizer: of a random model: built-in name or folder.
        lora: adapters instead of full fine-tuning.
        mask_token: spelling of the mask token, where the checkpoint does not tell.
        shift: whether logits are shifted; None: by the checkpoint.
        dtype: of the weights; None: float32 on a CPU, the checkpoint's on a GPU.
        device: None: a GPU if there is one.
    """

    path: str | None = None
    from_scratch: Annotated[Any, BeforeValidator(lambda v: _maybe(ScratchSpec, v))] = None
    tokenizer: str = "digits"
    lora: Annotated[Any, BeforeValidator(lambda v: _maybe(LoraSpec, v))] = None
    mask_token: str | None = None
    shift: bool | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    device: str | None = None


@part
class DataSection:
    """Which examples. Either ``path`` or ``task``.

    Args:
        path: JSON Lines, CSV or Parquet file, or the name of a hub data set.
        task: problems with solutions: a name, or ``{name: …, fields}``.
        split: of a hub data set or a task.
        size: problems to make of a task; examples to take of a file (None: all).
        seed: of a task's problems.
        columns: roles of a file's columns where their names do not tell, ``{prompt: question, completion: answer}``.
        chat: put prompt/completion rows into the chat template; None: if the tokenizer has one.
        max_length: longest prompt plus answer, tokens.
        canvas: columns of every canvas; None: fit each answer, with a drawn tail.
        tail_blocks: longest drawn tail, blocks.
        on_bad: ``error`` or ``skip`` rows that cannot be used.
        too_long: ``error``, ``skip`` or ``truncate`` rows beyond ``max_length``.
        held_out: examples kept aside for the held-out loss.
    """

    path: str | None = None
    task: Annotated[Any, BeforeValidator(lambda v: v if v is None else resolver(TASKS)(v))] = None
    split: str = "train"
    size: Annotated[int, Field(ge=1)] | None = None
    seed: int = 0
    columns: dict[str, str] | None = None
    chat: bool | None = None
    max_length: Annotated[int, Field(ge=2)] = 1024
    canvas: Annotated[int, Field(ge=1)] | None = None
    tail_blocks: Annotated[int, Field(ge=0)] = 2
    on_bad: Literal["error", "skip"] = "error"
    too_long: Literal["error", "skip", "truncate"] | None = None
    held_out: Annotated[int, Field(ge=0)] = 0


def _maybe(cls: type[Any], value: Any) -> Any:
    return fill(cls, value) if isinstance(value, Mapping) else value


@part
class Recipe:
    """A whole run. ``run`` carries the objective."""

    model: Any
    data: Any
    decoder: Any
    run: Any


def read_recipe(path: str | Path, assignments: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a recipe file and apply ``--set`` assignments; nothing is checked yet."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such recipe; expected a YAML file")
    try:
        values = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise UserError(f"{path}: expected a YAML text file, found binary data") from None
    for assignment in assignments:
        assign(values, assignment)
    return values


def build(values: Mapping[str, Any]) -> Recipe:
    """Check every section and how they fit together.

    Raises:
        InvalidConfigError: all problems at once.
    """
    problems = [f"{key}: unknown section; {did_you_mean(key, SECTIONS)}" for key in values if key not in SECTIONS]

    def section(make: Callable[[], Any]) -> Any:
        try:
            return make()
        except InvalidConfigError as error:
            problems.extend(error.problems)
            return None

    model = section(lambda: fill(ModelSection, values.get("model") or {}, "model"))
    data = section(lambda: fill(DataSection, values.get("data") or {}, "data"))
    decoder = section(lambda: fill(Decoder, values.get("decoder") or {}, "decoder"))
    objective = section(lambda: choose(OBJECTIVES, values.get("objective") or "vanilla", "objective"))
    settings = dict(values.get("run") or {})
    if "objective" in settings:
        problems.append("run.objective: stands beside run, not in it; write 'objective: …' at the top level")
        settings.pop("objective")
    run = section(lambda: fill(TrainRun, {**settings, **({"objective": objective} if objective else {})}, "run"))
    problems += _source_problems(model, data) + _fit_problems(model, data, objective, decoder)
    if problems:
        raise InvalidConfigError(problems)
    return Recipe(model=model, data=data, decoder=decoder, run=run)


def _source_problems(model: ModelSection | None, data: DataSection | None) -> list[str]:
    problems = []
    if model and (model.path is None) == (model.from_scratch is None):
        problems.append("model: expected either path or from_scratch; for example model: {path: GSAI-ML/LLaDA-8B-Base}")
    if model and model.path and _looks_local(model.path) and not resolve_path(model.path).exists():
        problems.append(f"model.path: no such file or folder: {model.path}")
    if data and (data.path is None) == (data.task is None):
        problems.append("data: expected either path or task; for example data: {path: my_chats.jsonl}")
    if data and data.path and _looks_local(data.path) and not Path(data.path).expanduser().exists():
        problems.append(f"data.path: no such file: {data.path}")
    return problems


def _fit_problems(model: Any, data: Any, objective: Any, decoder: Any) -> list[str]:
    problems = []
    size = getattr(objective, "block_size", None)
    if size and decoder and decoder.block_size and decoder.block_size > size:
        problems.append(
            f"decoder.block_size: {decoder.block_size} is larger than the objective's {size}; a model decodes well "
            f"with blocks up to the size that it was trained with; write {size}"
        )
    if data and data.canvas and size and data.canvas % size:
        problems.append(
            f"data.canvas: expected a multiple of objective.block_size={size}, found {data.canvas}; "
            f"write {-(-data.canvas // size) * size}"
        )
    if model and model.lora and model.from_scratch:
        problems.append("model.lora: adapters on random weights cannot learn; leave out lora or give model.path")
    return problems


def _looks_local(path: str) -> bool:
    """Tell a path from a hub name (``owner/name``)."""
    is_hub_name = path.count("/") == 1 and not path.startswith((".", "~", "/")) and not Path(path).suffix
    return not is_hub_name or Path(path).exists()


def resolve_path(path: str) -> Path:
    """Expand ``~`` and ``asset:NAME``."""
    if path.startswith("asset:"):
        return BUILTIN / path.removeprefix("asset:")
    return Path(path).expanduser()


def load_model(section: ModelSection, *, block_size: int | None = None) -> LoadedModel:
    """Load or make the model of a recipe, with adapters if it asks for them."""
    if section.from_scratch is not None:
        lm = from_scratch(section.from_scratch, section.tokenizer, shift=bool(section.shift), device=section.device)
    else:
        path = resolve_path(section.path) if section.path.startswith(("asset:", "~")) else section.path
        lm = load(
            str(path), device=section.device, dtype=section.dtype, mask_token=section.mask_token, shift=section.shift
        )
    del block_size
    return add_lora(lm, section.lora) if section.lora else lm


def load_examples(section: DataSection, lm: LoadedModel, *, block_size: int) -> tuple[list[Encoded], list[Encoded]]:
    """Read and encode the examples of a recipe; returns (training, held out)."""
    if section.task is not None:
        problems = section.task.problems(section.split, section.size, section.seed)
        records = [problem.record for problem in problems]
        chat = section.task.chat if section.chat is None else section.chat
    else:
        records = read(section.path, split=section.split, limit=section.size, columns=section.columns)
        chat = section.chat
    encoded = encode(
        records, lm.tokenizer, end_ids=lm.eos_ids, mask_id=lm.mask_id, max_length=section.max_length,
        canvas=section.canvas, block_size=block_size, chat=chat, on_bad=section.on_bad, too_long=section.too_long,
    )  # fmt: skip
    if section.held_out >= len(encoded):
        raise UserError(f"data.held_out={section.held_out}: expected fewer than the {len(encoded)} examples there are")
    return encoded[section.held_out :], encoded[: section.held_out]
