"""Quality against forwards for every decoder, on the models that the quick start leaves behind.

`unmask quickstart --out runs/q` first, then `python benchmarks/decoders.py runs/q`. Accuracy on held-out lists of 8
digits, decoded in the quick start's canvas and blocks; how often a problem's canvas is read (which counts particles,
look-ahead and guidance); answer tokens per forward that reads their row; seconds. The Pareto front is that of accuracy
and readings.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch

from unmask.decoding import Decoder
from unmask.evaluate import evaluate
from unmask.models import load
from unmask.recipes.recipe import build, read_recipe
from unmask.study.quickstart import ASSET

SAMPLED = {"temperature": 0.7, "threshold": 0.9}
SETTINGS: dict[str, dict[str, Any]] = {
    "quota": {},
    "quota, 2 tokens a step": {"steps": -2},
    "quota, entropy": {"selection": {"name": "quota", "score": "entropy"}},
    "quota, margin": {"selection": {"name": "quota", "score": "margin"}},
    "quota, random": {"selection": {"name": "quota", "score": "random"}},
    "threshold .5": {"threshold": 0.5},
    "threshold .7": {"threshold": 0.7},
    "threshold .9": {"threshold": 0.9},
    "threshold .95": {"threshold": 0.95},
    "factor .5": {"selection": {"name": "factor", "factor": 0.5}},
    "factor 1": {"selection": "factor"},
    "factor 2": {"selection": {"name": "factor", "factor": 2.0}},
    "entropy_bound .1": {"selection": {"name": "entropy_bound", "bound": 0.1}},
    "entropy_bound .5": {"selection": {"name": "entropy_bound", "bound": 0.5}},
    "dilated": {"selection": "dilated"},
    "prefix .9": {"selection": {"name": "prefix", "threshold": 0.9}},
    "dream, 16 steps": {"selection": "dream", "blocks": "whole", "steps": 16},
    "dream, 32 steps": {"selection": "dream", "blocks": "whole", "steps": 32},
    "klass": {"selection": "klass"},
    "hierarchical": {"selection": "hierarchical"},
    "credit": {"selection": "credit"},
    "pc_sampler": {"selection": "pc_sampler"},
    "info_gain": {"selection": "info_gain"},
    "wedlm": {"selection": "wedlm", "blocks": "sliding"},
    "spaced": {"selection": {"name": "spaced", "inner": {"name": "threshold", "threshold": 0.9}}},
    "threshold .9, sliding": {"threshold": 0.9, "blocks": "sliding"},
    "threshold .9, whole canvas": {"threshold": 0.9, "blocks": "whole"},
    "threshold .9, adablock": {"threshold": 0.9, "blocks": {"name": "adablock", "delimiters": "merge"}},
    "swordsman": {"selection": "swordsman", "blocks": "swordsman"},
    "threshold .7, edit": {"threshold": 0.7, "revision": "edit"},
    "wino": {"selection": "wino", "revision": "wino", "view": "shadow"},
    "saber": {"selection": "saber", "revision": "saber"},
    "remdm": {"selection": "remdm", "revision": "remdm"},
    "threshold .9, cfg .5": {"threshold": 0.9, "view": {"name": "cfg", "scale": 0.5}},
    "sampled at .7": SAMPLED,
    "best_of 4": {**SAMPLED, "search": "best_of"},
    "smc 4": {**SAMPLED, "search": "smc"},
    "threshold .9, prefix cache": {"threshold": 0.9, "cache": "prefix"},
    "threshold .9, dual cache": {"threshold": 0.9, "cache": "dual"},
    "threshold .9, dkv cache": {"threshold": 0.9, "cache": "dkv"},
}


def filled_in(fields: dict[str, Any], lm: Any, canvas: int, size: int) -> dict[str, Any]:
    """Fill in what depends on the model: delimiter tokens, and steps for so many tokens each."""
    fields = dict(fields)
    if fields.get("steps", 0) < 0:
        blocks = -(-canvas // size)
        fields["steps"] = blocks * -(-size // -fields["steps"])
    blocks = fields.get("blocks")
    if isinstance(blocks, dict) and blocks.get("delimiters") == "merge":
        fields["blocks"] = {**blocks, "delimiters": [lm.tokenizer.convert_tokens_to_ids(mark) for mark in ":;"]}
    return fields


def measure(lm: Any, recipe: Any, problems: int, only: list[str]) -> dict[str, Any]:
    """Evaluate every setting on one model."""
    task, canvas, size = recipe.data.task, recipe.data.canvas, recipe.decoder.block_size
    chosen = task.problems("test", problems, 0)
    found = {}
    for name, fields in SETTINGS.items():
        if only and name not in only:
            continue
        decoder = Decoder(block_size=size, **filled_in(fields, lm, canvas, size))
        lm.flops.forwards = lm.flops.tokens = 0
        result = evaluate(lm, task, chosen, decoder=decoder, max_new_tokens=canvas, batch_size=100)
        low, high = result.interval
        found[name] = {
            "accuracy": result.accuracy,
            "interval": [low, high],
            "forwards": lm.flops.tokens / read_once(lm, task, chosen, canvas),
            "tokens_per_forward": result.tokens_per_forward,
            "seconds": result.seconds,
        }
        print(f"{name:28}{result.accuracy:8.3f}{found[name]['forwards']:10.2f}"
              f"{result.tokens_per_forward:8.2f}{result.seconds:8.1f}", flush=True)  # fmt: skip
    return found


def read_once(lm: Any, task: Any, problems: Any, canvas: int) -> float:
    """Columns that a model reads when it reads each problem with its canvas once."""
    return sum(len(lm.tokenizer(each.prompt)["input_ids"]) + canvas for each in problems)


def front(points: dict[str, Any]) -> list[str]:
    """Name the settings that no other beats in both accuracy and forwards."""

    def beats(a: dict[str, float], b: dict[str, float]) -> bool:
        better = a["accuracy"] > b["accuracy"] or a["forwards"] < b["forwards"]
        return better and a["accuracy"] >= b["accuracy"] and a["forwards"] <= b["forwards"]

    return [name for name, own in points.items() if not any(beats(other, own) for other in points.values())]


def draw(figures: dict[str, Any], path: Path) -> None:
    """Plot accuracy against readings, a panel for each model; the front of the decoders that go block by block."""
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, len(figures), figsize=(6.2 * len(figures), 5), layout="constrained", sharey=True
    )
    for axes, (model, points) in zip(panels, figures.items(), strict=True):
        in_blocks = {name: point for name, point in points.items() if not is_whole(name)}
        for chosen, marker, colour, label in (
            (in_blocks, "o", "#9aa0a6", "block by block"),
            ({name: point for name, point in points.items() if is_whole(name)}, "s", "#e4a07a", "whole canvas"),
        ):
            x, y = ([each[key] for each in chosen.values()] for key in ("forwards", "accuracy"))
            axes.scatter(x, y, s=22, marker=marker, color=colour, linewidths=0, label=label)
        best = sorted(front(in_blocks), key=lambda name: points[name]["forwards"])
        x, y = ([points[name][key] for name in best] for key in ("forwards", "accuracy"))
        axes.plot(x, y, "o-", color="#4c78a8", markersize=5, linewidth=1.2, label="front, block by block")
        listed = [f"{number}  {name}" for number, name in enumerate(best, 1)]
        for number, name in enumerate(best, 1):
            place = (points[name]["forwards"], points[name]["accuracy"])
            axes.annotate(str(number), place, fontsize=8, color="#33506e", textcoords="offset points", xytext=(-3, 6))
        axes.text(0.97, 0.2, "\n".join(listed), transform=axes.transAxes, fontsize=8.5, color="#33506e",
                  ha="right", va="bottom", linespacing=1.5)  # fmt: skip
        axes.set(xscale="log", xlabel="readings of the canvas for a problem (log)", title=f"{model}-tuned")
        axes.set_xticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set(ylabel="accuracy")
    panels[0].legend(frameon=False, loc="lower left", fontsize=8.5)
    figure.savefig(path, dpi=150)


def is_whole(name: str) -> bool:
    """Whether a setting decodes the whole canvas at once."""
    return SETTINGS[name].get("blocks") == "whole"


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("quickstart", type=Path, help="what `unmask quickstart --out` wrote")
    parser.add_argument("--arms", nargs="*", default=["vanilla", "blockwise"])
    parser.add_argument("--problems", type=int, default=400)
    parser.add_argument("--only", nargs="*", default=[], help="names of settings")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--plot", type=Path, help="draw them here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a model this small is slower on two
    figures = {}
    for arm in arguments.arms:
        print(f"\n{arm + '-tuned':28}{'right':>8}{'readings':>10}{'tok/f':>8}{'s':>8}")
        recipe = build(read_recipe(ASSET / f"{arm}.yaml"))
        recipe = replace(recipe, decoder=replace(recipe.decoder, threshold=None))
        figures[arm] = measure(
            load(str(arguments.quickstart / arm / "model")), recipe, arguments.problems, arguments.only
        )
        print("front:", ", ".join(front(figures[arm])))
    if arguments.out:
        arguments.out.write_text(json.dumps({"problems": arguments.problems, "models": figures}, indent=1) + "\n")
    if arguments.plot:
        draw(figures, arguments.plot)


if __name__ == "__main__":
    main()
