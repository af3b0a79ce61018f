"""Checks a recipe before any weight is loaded: its fields, its files, the first rows of its data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from unmask.core.protocols import Objective, Traits
from unmask.data import EncodedData, Record, difficulties, encode
from unmask.data.split import hold_out
from unmask.data.tails import tail_cycle
from unmask.errors import UserError
from unmask.models.checkpoints import locate, parse_dtype, pick_device
from unmask.models.engines import obstacles, serving_engine
from unmask.models.export import restored
from unmask.models.facts import Facts
from unmask.models.families import FAMILIES
from unmask.models.preflight import Preflight, preflight
from unmask.models.scratch import read_tokenizer
from unmask.recipes.chat_templates import set_template
from unmask.recipes.inputs import file_records, take_first, task_records, validation_records
from unmask.recipes.recipe import Recipe, build_sections, read_recipe
from unmask.recipes.sections import DataSection, EvaluateSection, ModelSection
from unmask.runtime.paths import is_hub_name
from unmask.runtime.third_party_logging import silence_libraries
from unmask.runtime.trackers import check_tracker
from unmask.train.config import announced
from unmask.train.memory import Size, check_training_memory

T = TypeVar("T")
LOOK = 200
"""Rows of the data that are checked: most faults of a data set are in its first rows already."""


@dataclass(kw_only=True)
class Findings:
    """Result of a check.

    Args:
        problems: a line each, with the source and the remedy.
        remarks: a line each on what was not checked and why, and on rows that are left out.
    """

    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def check(recipe: str | Path | Mapping[str, Any], *, engine: str | None = None) -> Findings:
    """Check a recipe as far as possible without loading a model or using the network.

    Args:
        recipe: a YAML file, or the sections that such a file holds.
        engine: that is to serve the trained model, such as ``sglang``; None: all that serve what ``run.export`` names.

    Returns:
        Problems and remarks; no problems if the recipe can be run.

    Raises:
        UserError: there is no such file, or it is no YAML.
    """  # noqa: DOC502
    made, problems = build_sections(read_recipe(recipe) if isinstance(recipe, (str, Path)) else recipe)
    found, seen = Findings(problems=list(problems)), Preflight()
    for tracker in made.run.report_to if made.run is not None else ():
        _ask(partial(check_tracker, tracker), found, "run.report_to")
    if made.model is not None:
        seen, size = _look_at_model(made.model, getattr(made.run, "objective", None), found)
        if size is not None and made.run is not None and made.data is not None:
            _look_at_memory(made, size, found)
    if not problems and (fitted := _ask(lambda: made.fitted(seen.block_size), found)):
        found.remarks += announced(fitted.run.objective, seen.block_size, (seen.grid, fitted.grid(seen.grid)))
        _ask(partial(_look_at_export, fitted, seen, engine, found), found)
    if made.model is not None:
        _ask(partial(set_template, seen.tokenizer, made.model.chat_template), found)
    if made.data is not None and not any(problem.startswith("model.chat_template") for problem in found.problems):
        _look_at_data(made, seen, found)
    if made.evaluate is not None and made.evaluate.task.name == "questions":
        _look_at_questions(made.evaluate, found)
    return found


def _look_at_questions(section: EvaluateSection, found: Findings) -> None:
    """Read the questions that the trained model is to be judged on; add what is wrong with them."""
    if getattr(section.task, "on_hub", False):
        found.remarks.append("evaluate.questions: on the hub, not looked at")
        return
    _ask(lambda: section.task.problems(section.split, section.problems, section.seed), found, "evaluate")


def _look_at_model(
    section: ModelSection, objective: Objective | None, found: Findings
) -> tuple[Preflight, Size | None]:
    """Return the facts of the model that are known without its weights, and its size, or None.

    Why the objective cannot train it is added to ``found``.
    """
    if section.device:
        _ask(lambda: pick_device(section.device), found, "model.device")
    if section.from_scratch is not None:
        _ask_objective(objective, Traits(shift=bool(section.shift), attention="bidirectional"), section, found)
        tokenizer = _ask(lambda: read_tokenizer(section.tokenizer), found, "model.tokenizer")
        spec, rows = section.from_scratch, 0 if tokenizer is None else len(tokenizer)
        size = Size(weights=spec.weights(rows), hidden=spec.hidden_size, layers=spec.layers)
        return Preflight(tokenizer=tokenizer, mask_id=getattr(tokenizer, "mask_token_id", None)), size
    if not section.path:
        return Preflight(), None
    if is_hub_name(section.path):
        found.remarks.append(f"model.path: no '{section.path}' here; as a name on the hub it is not looked at")
        return Preflight(), None
    where = _ask(partial(locate, section.path), found, "model.path")
    if where is None:
        return Preflight(), None
    silence_libraries()
    seen = preflight(where, mask_token=section.mask_token, lora=section.lora)
    found.problems += [f"model: {problem}" for problem in seen.problems]
    found.remarks += [seen.trained] if seen.trained else []
    _ask_objective(objective, seen.traits, section, found)
    if seen.model is None:
        return seen, None
    config, first = seen.model.config.get_text_config(), next(seen.model.parameters())
    size = Size(
        weights=sum(weight.numel() for weight in seen.model.parameters()), hidden=config.hidden_size,
        layers=config.num_hidden_layers, item=(parse_dtype(section.dtype) or first.dtype).itemsize,
    )  # fmt: skip
    return seen, replace(size, trained=0) if section.lora else size


def _look_at_export(recipe: Recipe, seen: Preflight, engine: str | None, found: Findings) -> None:
    """Add why engines would decode the trained model otherwise, as ``unmask export`` would refuse it."""
    target = recipe.run.export or (seen.family if engine else None)
    if engine is not None and target not in FAMILIES:
        families = ", ".join(sorted(serving_engine(engine).serves))
        raise UserError(f"--for {engine}: expected run.export, one of {families}, found {target or 'none'}")
    if target is None or target not in FAMILIES or seen.traits is None or seen.model is None:
        return
    family, objective = FAMILIES[target], recipe.run.objective
    _ask(partial(restored, family, seen.model.config), found, "run.export")
    shift = recipe.model.shift if recipe.model.shift is not None else seen.traits.shift
    facts = Facts(
        mask_id=-1 if seen.mask_id is None else seen.mask_id,
        eos_ids=(0,),
        filler_id=0,
        vocab_size=seen.model.get_input_embeddings().weight.shape[0],
        shift=shift,
        attention=objective.attention or seen.traits.attention,
        block_size=recipe.block_size(seen.block_size),
        grid=recipe.grid(seen.grid),
    )
    is_own = seen.family == family.name
    faults = obstacles(
        facts, family, engine=engine, heads=list(objective.heads), mask_id=seen.mask_id if is_own else None,
        block_size=seen.block_size if is_own else None,
    )  # fmt: skip
    found.problems += [f"run.export: {fault}" for fault in faults]


def _look_at_memory(recipe: Recipe, size: Size, found: Findings) -> None:
    """Add a problem if the least memory of the run is more than is free."""
    section, run = recipe.model, recipe.run
    if any(problem.startswith("model.device") for problem in found.problems):
        return
    columns = run.batch_size * (recipe.data.canvas or 1)
    _ask(
        lambda: check_training_memory(
            size,
            pick_device(section.device),
            columns=columns,
            recomputed=run.gradient_checkpointing,
            averaged=run.ema is not None,
            copied=run.master_weights,
        ),
        found,
    )


def _ask_objective(objective: Objective | None, traits: Traits | None, section: ModelSection, found: Findings) -> None:
    """Add a problem if the objective cannot train this model."""
    if objective is None or traits is None:
        return
    shift = traits.shift if section.shift is None else section.shift
    traits = replace(traits, shift=shift, attention=objective.attention or traits.attention)
    if reason := objective.refuses(traits):
        found.problems.append(f"objective: {reason}")


def _look_at_data(recipe: Recipe, seen: Preflight, found: Findings) -> None:
    """Read the first rows, and encode them if there is a tokenizer; add what is wrong with them."""
    data = recipe.data
    if remote := _remote(data):
        found.remarks.append(remote)
        return
    if (data.task is None) == (not data.files):
        return
    # Only the whole file shows whether examples are left beside the held-out ones.
    size = max(LOOK, int(data.held_out) + 1)
    of_files = _ask(lambda: _first_rows(data, size), found)
    validation = _ask(lambda: validation_records(data, size), found)
    if of_files is None or validation is None or any(problem.startswith("data.") for problem in found.problems):
        return
    records = [record for rows in of_files for record in rows]
    if seen.tokenizer is None:  # the model section is wrong; faults of the rows are reported all the same
        faults = [(record.source, record.fault) for record in records if record.fault is not None]
        if faults and data.on_bad == "error":
            found.problems.append(f"{faults[0][0]}: {faults[0][1].detail} ({len(faults)} of {len(records)} rows)")
        return
    taken = {seen.mask_id, *(seen.ends.eos_ids if seen.ends else ())}
    _ask(lambda: tail_cycle(data, seen.tokenizer, taken=taken), found)
    encode_rows = partial(
        encode, tokenizer=seen.tokenizer, mask_id=seen.mask_id, max_length=data.max_length, canvas=data.canvas,
        block_size=recipe.block_size(seen.block_size), grid=recipe.grid(seen.grid), chat=data.uses_chat,
        on_bad=data.on_bad, too_long=data.too_long,
    )  # fmt: skip
    encoded = _ask(partial(encode_rows, records), found)
    if validation:
        _ask(partial(encode_rows, validation), found, "data.validation")
    if encoded is None:
        return
    is_whole = all(len(rows) < size or len(rows) == file.size for rows, file in zip(of_files, data.files, strict=False))
    _ask(partial(_hold_out, encoded, records, data, is_whole=is_whole), found)
    found.remarks += [f"first rows of the data: {note}" for note in encoded.report.remarks()]
    if data.curriculum is not None:
        _ask(partial(difficulties, encoded, data.curriculum), found)


def _remote(data: DataSection) -> str | None:
    """Return which of the data cannot be looked at without the network, in a line; None if all can."""
    if getattr(data.task, "on_hub", False):
        return "data.task: on the hub, not looked at"
    key = "path" if data.sources is None else "sources"
    for name, files in ((key, data.files), ("validation", data.validation_files)):
        for file in files:
            if is_hub_name(file.path) and not Path(file.path).suffix:
                return f"data.{name}: no '{file.path}' here; as a name on the hub it is not looked at"
    return None


def _hold_out(encoded: EncodedData, records: list[Record], data: DataSection, *, is_whole: bool) -> None:
    """Hold rows out as the run will; of files that were not read to their ends, only the number of rows is checked."""
    if data.task is not None:
        take_first(encoded, data.held_out)
    elif is_whole or data.held_out >= len(set(encoded.rows)):
        hold_out(encoded, records, data.held_out, data.seed)


def _first_rows(data: DataSection, size: int) -> list[list[Record]]:
    """Return at most ``size`` rows of each file, or as many problems of the task."""
    if data.task is not None:
        return [task_records(data, min(data.size or size, size))]
    return file_records(data, size)


def _ask(question: Callable[[], T], found: Findings, source: str = "") -> T | None:
    """Return the result of ``question``; None if it raises, with the message added to the problems."""
    try:
        return question()
    except UserError as error:
        found.problems.append(f"{source}: {error}" if source else str(error))
        return None
