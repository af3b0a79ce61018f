"""``unmask eval --recipe``: presets, and what outranks them."""

import json

RECIPE = """
model: {path: asset:quickstart/model}
data: {task: sorting, size: 10}
decoder: {block_size: 7, threshold: 0.9}
evaluate: {task: sorting, problems: 8, max_new_tokens: 28, batch_size: 4}
"""


def test_a_recipe_says_how_its_model_is_judged(run, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE)
    preset = json.loads(run("eval", "asset:quickstart/model", "--recipe", str(recipe), "--json").stdout)
    by_hand = json.loads(
        run(
            *("eval", "asset:quickstart/model", "--task", "sorting", "--problems", "8", "--max-new-tokens", "28"),
            *("--block-size", "7", "--threshold", "0.9", "--batch-size", "4", "--json"),
        ).stdout
    )
    for values in (preset, by_hand):
        values.pop("seconds")
        values.pop("decoding_seconds")
    assert preset == by_hand
    fewer = json.loads(
        run("eval", "asset:quickstart/model", "--recipe", str(recipe), "--problems", "3", "--json").stdout
    )
    assert fewer["problems"] == 3


def test_without_a_task(run, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.rsplit("\n", 2)[0])
    done = run("eval", "asset:quickstart/model", "--recipe", str(recipe))
    assert done.exit_code == 2
    assert "expected a section 'evaluate' with a task" in done.stderr
    assert "expected a task, found none" in run("eval", "asset:quickstart/model").stderr
