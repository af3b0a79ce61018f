"""What is wrong with sections of a recipe that are right each by itself."""

from collections.abc import Mapping
from typing import Any

from unmask.core.protocols import Objective
from unmask.decoding import Decoder
from unmask.errors import UserError
from unmask.recipes.sections import DataSection, EvaluateSection, ModelSection
from unmask.train.best import METRIC, REMEDY
from unmask.train.config import TrainRun


def model_problems(model: ModelSection | None, values: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting of the model that does not go with another; None has none."""
    if model is None:
        return []
    problems = []
    if (model.path is None) == (model.from_scratch is None):
        found = "neither" if model.path is None else "both"
        problems.append(
            f"model: expected either path or from_scratch, found {found}; "
            "write for example model: {path: GSAI-ML/LLaDA-8B-Base}"
        )
    if model.path and "tokenizer" in values["model"]:
        problems.append("model.tokenizer: is for from_scratch, and a checkpoint brings its own; leave it out")
    if model.dtype and model.from_scratch is not None:
        problems.append("model.dtype: random weights are float32; leave it out, or write run.bf16: true for autocast")
    if model.lora and model.from_scratch:
        problems.append("model.lora: adapters on random weights cannot learn; leave out lora or give model.path")
    return problems


def data_problems(data: DataSection | None, objective: Objective | None) -> list[str]:
    """Return a line for each setting of the data that does not go with another, or with the objective's blocks."""
    if data is None:
        return []
    problems = _file_problems(data)
    if data.task is not None and data.curriculum is not None and data.curriculum.column is not None:
        problems.append(f"data.curriculum.by: a task has no columns, found '{data.curriculum.by}'; write by: length")
    if data.task is not None and data.size and data.held_out >= data.size:
        problems.append(
            f"data.held_out: expected fewer than data.size={data.size}, found {data.held_out}; "
            "what is held out is not trained on"
        )
    if data.canvas and data.canvas >= data.max_length:
        problems.append(
            f"data.canvas: expected less than data.max_length={data.max_length}, found {data.canvas}; write less"
        )
    if problem := canvas_problem(data, objective):
        problems.append(problem)
    return problems


def _file_problems(data: DataSection) -> list[str]:
    """Return a line for each setting of the files that does not go with another."""
    given = [name for name in ("path", "sources", "task") if getattr(data, name) is not None]
    problems = []
    if data.sources is not None and len(given) > 1:
        problems.append(f"data: expected one of path, sources and task, found {' and '.join(given)}; keep one")
    elif len(given) != 1:
        found = "both" if given else "neither"
        problems.append(
            f"data: expected either path or task, found {found}; write for example data: {{path: my_chats.jsonl}}"
        )
    files = data.files
    weighted = [file for file in files if file.weight is not None]
    if weighted and len(weighted) < len(files):
        bare = next(file for file in files if file.weight is None)
        problems.append(
            f"data.sources: expected a weight for every file or for none, found none for {bare.path}; write one"
        )
    if weighted and data.curriculum is not None:
        problems.append(
            "data.curriculum: goes by difficulty, and the weights of data.sources by file, so both would say which "
            "example comes next; leave one of the two out"
        )
    if data.size is not None and (data.sources is not None or len(files) > 1):
        problems.append("data.size: is for one file or a task; write a size with each of data.sources")
    if data.validation is not None:
        if data.held_out:
            problems.append("data.validation: expected no data.held_out beside it, found both; leave one of them out")
        if data.task is not None:
            problems.append("data.validation: is for files; with a task, write data.held_out")
        if any(file.weight is not None for file in data.validation):
            problems.append("data.validation: a weight says how often an example is trained on; leave it out")
    return problems


def canvas_problem(data: DataSection, objective: Objective | None) -> str | None:
    """Return why a canvas cannot be cut into the objective's blocks, or None."""
    size = getattr(objective, "block_size", None)
    if not data.canvas or not size or data.canvas % size == 0:
        return None
    return (
        f"data.canvas: expected a multiple of objective.block_size={size}, found {data.canvas}; "
        f"write {-(-data.canvas // size) * size}"
    )


def run_problems(
    run: TrainRun | None, data: DataSection | None, judged: EvaluateSection | None, values: Mapping[str, Any]
) -> list[str]:
    """Return a line for each setting of the run that does not go with another, or with data and evaluation."""
    written = values.get("run")
    problems = []
    has_both = isinstance(written, Mapping) and "steps" in written and written.get("epochs") is not None
    if has_both and run is not None:  # otherwise that is said already
        problems.append("run.epochs: expected either epochs or steps, found both; leave one out")
    if run is None or data is None:
        return problems
    holds_out = data.held_out > 0
    if run.samples and not holds_out:
        problems.append("run.samples: expected held-out prompts to answer, found none; write data.held_out: 50")
    metric = run.best_metric or METRIC
    is_measured = {
        "held_out_loss": holds_out,
        "held_out_bound": holds_out and run.eval_bound != 0,
        "accuracy": judged is not None and judged.while_training is not None,
    }
    if not is_measured[metric] and (run.best_metric or run.save_best or run.patience):
        name = next(name for name in ("best_metric", "save_best", "patience") if getattr(run, name))
        problems.append(f"run.{name}: expected a run that measures {metric}, found none; write {REMEDY[metric]}")
    return problems


def decoder_problems(decoder: Decoder | None, objective: Objective | None) -> list[str]:
    """Return a line for each setting of the decoder that does not go with another, or with the objective's blocks."""
    if decoder is None:
        return []
    size = getattr(objective, "block_size", None)
    problems = []
    if size and decoder.block_size and decoder.block_size > size:
        problems.append(
            f"decoder.block_size: {decoder.block_size} is larger than the objective's {size}; a model decodes well "
            f"with blocks up to the size that it was trained with; write {size}"
        )
    try:
        decoder.resolve(trained_block_size=size)
    except UserError as error:
        problems.append(f"decoder: {error}")
    return problems
