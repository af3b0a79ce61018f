"""A recipe to a trained model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from unmask.models import LoadedModel
from unmask.recipe import Recipe, load_examples, load_model
from unmask.runlock import owned
from unmask.train import Layout, TrainResult, train
from unmask.train.folder import check_folder
from unmask.train.record import refuse_changes, refuse_extension, settings_of_run


def run_recipe(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    restart: bool = False,
    show: bool = True,
    tell: Callable[[str], None] | None = None,
    evaluate: Callable[[LoadedModel], dict[str, float]] | None = None,
) -> TrainResult:
    """Load the model, encode the data, train, save.

    Args:
        recipe: checked.
        out: folder of the run.
        resume: go on from its newest whole checkpoint.
        restart: begin again in the folder of a run that has none.
        show: draw a progress bar.
        tell: called with a line on what a user should know: rows of the data that are left out or cut short, columns
            that matter and are not used, damaged checkpoints.
        evaluate: further named values of the model as it is, computed when the held-out loss is.
    """
    out, run, data = Path(out), recipe.run, recipe.data
    layout = Layout(canvas=data.canvas, tail_blocks=data.tail_blocks, max_length=data.max_length, pack=data.pack)
    with owned(out, "unmask sft"):
        # train() will ask again; here it costs nothing, there minutes of loading.
        if record := check_folder(out, resume=resume, restart=restart):
            refuse_changes(str(out), record["settings"], settings_of_run(run, layout, data.curriculum))
            refuse_extension(str(out), record["settings"], run, data.curriculum)
        lm = load_model(recipe.model)
        size = run.objective.block_size or recipe.decoder.block_size or lm.facts.block_size or 32
        examples, held_out = load_examples(data, lm, block_size=size)
        for note in examples.report.notes() if tell else ():
            tell(note)
        return train(
            lm,
            examples,
            run,
            out=out,
            held_out=held_out,
            layout=replace(layout, block_size=size),
            curriculum=data.curriculum,
            recipe=recipe.values,
            resume=resume,
            restart=restart,
            evaluate=(lambda: evaluate(lm)) if evaluate else None,
            show=show,
            tell=tell,
        )
