"""Learnability of the base and of each arm's model: what tokens can teach at each noise level, before and after."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unmask.analyze import Study as Measured
from unmask.analyze import Subject, analyze
from unmask.models import load
from unmask.plots.learnability import plot_heat_map
from unmask.recipes.inputs import load_examples
from unmask.recipes.recipe import build
from unmask.runtime.paths import resolve_path
from unmask.study.document import Figure, Heading, Section, Text
from unmask.study.files import read_json
from unmask.study.grid import ALL, Cell, Run, folder_name
from unmask.study.results import Results
from unmask.study.spec import Study
from unmask.study.worker import JOB


def heat_maps(study: Study, cells: Sequence[Cell], results: Results, out: Path) -> list[Section]:
    """Draw heat maps, for each cell and arm whose first seed's model is on disk.

    Args:
        study: its settings.
        cells: cells of the grid.
        results: the results that exist.
        out: folder of the study.

    Returns:
        The sections of the report that show them; none if the study wants none.
    """
    if not study.learnability:
        return []
    parts: list[Section] = []
    by_name = {cell.name: cell for cell in cells}
    for result in results.runs:
        model = out / result["path"] / "train" / "model"
        if result["seed"] == study.seeds[0] and model.exists():
            name = f"learnability-{result['cell']}-{folder_name(result['arm'])}"
            if not (out / "figures" / f"{name}.png").exists():
                _draw(study, by_name[result["cell"]], result, model, out / "figures" / name)
            where = "" if result["cell"] == ALL else f" ({result['cell']})"
            caption = f"Gold confidence before and after {result['arm']}{where}, of [this run]({result['path']})"
            parts.append(Figure(f"figures/{name}.png", caption))
    if not parts:
        return []
    lead = Text(
        f"Confidence in the right token by how often it occurs and how much of the answer is hidden, on "
        f"{study.learnability} training examples: the base, the tuned model of seed {study.seeds[0]}, and the change."
    )
    return [Heading("Learnability before and after"), lead, *parts]


def _draw(study: Study, cell: Cell, result: dict[str, Any], model: Path, path: Path) -> None:
    job = read_json(model.parents[1] / JOB, "delete its folder and start the study again")
    base = job["recipe"]["model"]["path"]
    recipe = build(Run(cell=cell, arm=result["arm"], seed=result["seed"]).recipe(base))
    subjects, size, grid = [], 0, None
    for name, source in (("before", str(resolve_path(base))), (result["arm"], str(model))):
        lm = load(source)
        size = size or recipe.block_size(lm.facts.block_size)  # as the run was trained, from the base
        grid = grid or recipe.grid(lm.facts.grid)
        examples = load_examples(recipe.data, lm, block_size=size, grid=grid).training
        subjects.append(Subject(name=name, lm=lm, examples=examples[: study.learnability]))
    found = analyze(subjects, Measured(passes=2), block_size=size, grid=grid, canvas=recipe.data.canvas)
    plot_heat_map(found.cells, path, changes=found.changes)
