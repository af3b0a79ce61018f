"""A recipe to a trained model."""

from collections.abc import Callable
from pathlib import Path

from unmask.models import LoadedModel
from unmask.recipe import Recipe, load_examples, load_model
from unmask.train import Layout, TrainResult, train
from unmask.train.folder import check_folder


def run_recipe(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    show: bool = True,
    tell: Callable[[str], None] | None = None,
    evaluate: Callable[[LoadedModel], dict[str, float]] | None = None,
) -> TrainResult:
    """Load the model, encode the data, train, save.

    Args:
        recipe: checked.
        out: folder of the run.
        resume: go on from its newest whole checkpoint.
        show: draw a progress bar.
        tell: called with a line on rows of the data that are left out or cut short, or on columns that matter unused.
        evaluate: further named values of the model as it is, computed when the held-out loss is.
    """
    check_folder(Path(out), resume=resume)  # train() would ask too, but only after minutes of loading
    run, data = recipe.run, recipe.data
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
        layout=Layout(
            block_size=size,
            canvas=data.canvas,
            tail_blocks=data.tail_blocks,
            max_length=data.max_length,
            pack=data.pack,
        ),
        curriculum=data.curriculum,
        recipe=recipe.values,
        resume=resume,
        evaluate=(lambda: evaluate(lm)) if evaluate else None,
        show=show,
    )
