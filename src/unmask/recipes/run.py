"""Runs a recipe: from its settings to a trained model."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unmask.config.components import InvalidConfigError
from unmask.models import LoadedModel
from unmask.recipes.along import Along
from unmask.recipes.check import check
from unmask.recipes.inputs import load_examples, load_model
from unmask.recipes.recipe import Recipe, build, read_recipe
from unmask.runtime.runlock import owned
from unmask.train import TrainResult, train
from unmask.train.final import trained_canvas
from unmask.train.record import refuse_changes, refuse_extension, settings_of_run
from unmask.train.run_folder import check_folder
from unmask.train.view import View


def sft(recipe: str | Path | Mapping[str, Any], out: str | Path, **options: Any) -> TrainResult:
    """Check a recipe, load its model, encode its data, train and save, as the command ``unmask sft`` does.

    Args:
        recipe: a YAML file, or the sections that such a file holds.
        out: folder of the run.
        **options: ``resume``, ``restart``, ``show``, ``tell``, ``evaluate``, as for ``run_recipe``.

    Returns:
        The folders of the run and the model, and what was spent.

    Raises:
        InvalidConfigError: every problem that ``unmask.check`` finds in the recipe, its model folder and its data.
        UserError: the folder is in use, or holds another run; nothing to resume; a full disk.
    """  # noqa: DOC503
    values = read_recipe(recipe) if isinstance(recipe, (str, Path)) else recipe
    if problems := check(values).problems:
        raise InvalidConfigError(problems)
    return run_recipe(build(values), out, **options)


def run_recipe(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    restart: bool = False,
    show: bool | View = True,
    tell: Callable[[str], None] | None = None,
    evaluate: Callable[[LoadedModel], dict[str, float]] | None = None,
) -> TrainResult:
    """Load the model of a recipe, encode its data, train, and save the result.

    Args:
        recipe: checked.
        out: folder of the run.
        resume: continue from its newest whole checkpoint.
        restart: begin again in the folder of a run that has none.
        show: draw a progress bar; or what draws instead.
        tell: called with a line on what a user should know: rows of the data that are left out or cut short, columns
            that matter and are not used, a block size that is not the model's, damaged checkpoints.
        evaluate: returns further named values of the current model, called when the held-out loss is computed; then
            the held-out bound is measured only if ``run.eval_bound`` is set.

    Returns:
        The folders of the run and the model, and what was spent.
    """
    out, data = Path(out), recipe.data
    with owned(out, "unmask sft"):
        # train() checks this again, but only after minutes of loading.
        record = check_folder(out, resume=resume, restart=restart)
        if record:
            before = record["settings"]
            run = recipe.fitted(before.get("block_size")).run  # the model's size is not known yet
            if run.epochs is not None:  # nor how many examples there are
                run = replace(run, steps=before["steps"], epochs=None)
            layout = data.layout(recipe.block_size(before.get("block_size")))  # nor its grid
            refuse_changes(str(out), before, settings_of_run(run, layout, data.curriculum))
            refuse_extension(str(out), before, run, data.curriculum)
        lm = load_model(recipe.model)
        size = recipe.block_size(lm.facts.block_size)
        grid = recipe.grid(lm.facts.grid)
        examples = load_examples(data, lm, block_size=size, grid=grid, first=_took_first(record))
        if tell is not None:
            for remark in examples.remarks:
                tell(remark)
        recipe, layout = recipe.fitted(lm.facts.block_size), data.layout(size, grid)
        lengths = [(len(each.prompt), len(each.answer)) for each in examples.training]
        canvas = trained_canvas(layout, lengths, size, grid) if lengths else 0  # train() says that there are none
        along = Along(recipe, lm, examples.held_out, canvas=canvas, is_alone=evaluate is None)
        return train(
            lm,
            examples.training,
            recipe.run,
            out=out,
            held_out=examples.held_out,
            blend=examples.blend,
            facts=examples.facts,
            layout=layout,
            curriculum=data.curriculum,
            recipe=recipe.values,
            resume=resume,
            restart=restart,
            evaluate=lambda: along.evaluate() | (dict(evaluate(lm)) if evaluate else {}),
            sample=along.sample if along.prompts else None,
            show=show,
            tell=tell,
        )


def _took_first(record: Mapping[str, Any] | None) -> bool:
    """Return whether a run held the first examples of its file out: its record is older than facts of the data."""
    if record is None or "data" not in record:
        return record is not None
    return ((record["data"] or {}).get("held_out") or {}).get("drawn") == "first"
