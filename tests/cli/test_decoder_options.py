"""``--selection``, ``--blocks`` and the other parts as options of the commands that decode."""

import json

import pytest

from unmask.decoding import BLOCK_RULES, CACHES, PROPOSALS, REVISIONS, SELECTIONS, STOPS, VIEWS


def answer(run, model, *options):
    result = run(
        "generate", model, "--prompt", "12=", "--max-new-tokens", "16", "--block-size", "8", "--json", *options
    )
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    "options",
    [
        ("--selection", "factor"),
        ("--selection", "{name: entropy_bound, bound: 0.5}"),
        ("--selection", "dilated", "--view", "{name: cfg, scale: 0.5}"),
        ("--selection", "prefix", "--proposal", "late_eos"),
        ("--blocks", "whole", "--steps", "4", "--selection", "dream"),
        ("--blocks", "{name: adablock, delimiters: [3, 4]}", "--threshold", "0.2"),
        ("--blocks", "adablock", "--threshold", "0.2"),
        ("--blocks", "swordsman", "--selection", "swordsman"),
        ("--revision", "edit", "--threshold", "0.5"),
        ("--proposal", "{name: no_eos, inner: {name: nucleus, top_p: 0.9}}"),
    ],
    ids=" ".join,
)
def test_parts_by_name_or_yaml(run, models, options):
    assert answer(run, models.digits, *options)["forwards"] > 0


def test_the_options_reach_the_decoder(run, models):
    one = answer(run, models.digits, "--selection", "{name: factor, factor: 0}", "--proposal", "no_eos")
    block = answer(run, models.digits, "--selection", "{name: factor, factor: .inf}", "--proposal", "no_eos")
    assert (one["forwards"], block["forwards"]) == (16, 2)


REFUSED = {
    ("--selection", "factr"): "--selection: unknown selection 'factr'; did you mean 'factor'?",
    ("--selection", "{name: factor, factor: -1}"): "--selection.factor: expected at least 0, found -1",
    ("--selection", "{name: factor, tau: 1}"): "--selection.tau: unknown key; known: factor",
    ("--selection", "["): "--selection:1:2: not valid YAML",
    ("--selection", "0.9"): "--selection: expected a name, found 0.9",
    ("--selection", "factor", "--threshold", "0.9"): "threshold=0.9 needs the selection 'threshold', found 'factor'",
    ("--blocks", "adablok"): "--blocks: unknown block rule 'adablok'; did you mean 'adablock'?",
    ("--blocks", "adablock", "--steps", "8"): "steps: blocks that are cut as decoding goes cannot share them out",
    ("--proposal", "nucleus", "--temperature", "0.5"): "temperature=0.5 beside a proposal: expected one of them",
    ("--proposal", "{name: nucleus, top_p: 0}"): "--proposal.top_p: expected more than 0, found 0",
    ("--revision", "remedi"): "the revision 'remedi' needs a model with the head 'confidence', found none",
    ("--revision", "{name: edit, threshold: .nan}"): "--revision.threshold: expected",
    ("--view", "soft_mask"): "the view 'soft_mask' needs a model with the head 'soft_mask', found none",
    ("--view", "{name: cfg, scale: -1}"): "--view.scale: expected at least 0, found -1",
}


@pytest.mark.parametrize(("options", "says"), REFUSED.items(), ids=map(" ".join, REFUSED))
def test_mistakes_are_told_in_a_line(run, models, options, says):
    result = run("generate", models.digits, "--prompt", "12=", "--max-new-tokens", "16", *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {says}")
    assert result.stderr.count("\n") == 1


def test_eval_and_chat_take_them_too(run, models, recipe):
    path = recipe(evaluate={"task": "sorting", "problems": 2, "max_new_tokens": 8}, decoder={"threshold": 0.9})
    result = run("eval", models.digits, "--recipe", path, "--selection", "{name: factor, factor: 0}", "--json")
    assert result.exit_code == 0, result.stderr
    both = ("--full-canvas", "--blocks", "whole")
    refused = run("eval", models.digits, "--task", "sorting", *both)
    assert refused.exit_code == 2
    assert "leave out --blocks, or leave out --full-canvas" in refused.stderr
    chat = run("chat", models.digits, "--max-new-tokens", "8", "--selection", "dilated", stdin="12=\n\n")
    assert chat.exit_code == 0, chat.stderr


def test_methods_lists_every_part(run):
    listing = json.loads(run("methods", "--json").stdout)
    registries = (BLOCK_RULES, CACHES, PROPOSALS, REVISIONS, SELECTIONS, STOPS, VIEWS)
    for registry in registries:
        assert set(listing[registry.kind]) == set(registry)
    assert {"quota", "threshold", "dream"} < set(listing["selection"])
    assert listing["selection"]["dream"]["fields"] == ["alg", "alg_temp", "eps"]
