"""Methods that do not go together are refused before anything is loaded, each with its reason."""

import pytest

REFUSED = {
    "{name: blockwise, inner: block_diffusion}": "inner: expected a method that chooses or weighs tokens",
    "{name: blockwise, inner: {name: lift, normaliser: per_token}}": "inner.normaliser: blockwise decides this",
    "{name: blockwise, inner: {name: gift, tail: hidden}}": "inner.tail: blockwise decides this",
    "{name: blockwise, inner: lift, eps: 0.1}": "eps: the inner method draws t; write inner.eps",
    "{name: blockwise, inner: lfit}": "unknown objective 'lfit'; did you mean 'lift'",
    "{name: blockwise, layout: two_streams}": "write blocks: all beside it",
    "{name: blockwise, blocks: all, choose: length}": "choose: says how one block is drawn",
    "{name: blockwise, blocks: all, layout: two_streams, inner: cart}": "write layout: views",
    "{name: blockwise, blocks: all, layout: two_streams, prefix_noise: 0.5}": "need layout: views",
    "{name: complementary, inner: sdlm}": "inner: expected a method that hides tokens",
    "{name: soft_masked, inner: mixture}": "inner: expected a method that hides tokens",
    "{name: mixture, members: [vanilla]}": "members: expected at least two objectives, found 1",
    "{name: mixture, members: vanilla}": "expected a list of objectives",
    "{name: mixture, members: [vanilla, mixture]}": "a mixture inside a mixture",
    "{name: mixture, weights: [1.0]}": "weights: expected 2",
    "{name: mixture, members: [vanilla, {name: lift, normaliser: per_token}]}": "divided by different things",
    "{name: mixture, members: [{name: blockwise, block_size: 32}, {name: blockwise, block_size: 8}]}": (
        "expected one block_size, found 8, 32"
    ),
    "{name: mixture, members: [{name: block_diffusion}, {name: nbdiff}]}": "expected one attention",
    "{name: block_diffusion, clip: [0.8, 0.3]}": "clip: expected 0 <= low < high <= 1",
    "{name: nbdiff, block_size: 24, first_block: 1}": "expected first_block=1 times a power of 2, found 24",
    "{name: wsd, warmup: 0.8, decay: 0.5}": "expected shares of at most 1 together",
    "{name: wsd, warmup_blocks: [4, 1]}": "warmup_blocks: expected growing sizes",
    "{name: wsd, decay_blocks: [8, 16]}": "decay_blocks: expected sizes that shrink",
    "{name: nbdiff, block_size: 4}": "nbdiff's auxiliary loss predicts the next token",
}


@pytest.mark.parametrize("objective", REFUSED)
def test_refused(run, recipe, objective):
    done = run("check", recipe(), "--set", f"objective={objective}", "--set", "decoder={}")
    assert done.exit_code == 2, done.output
    lines = [line for line in done.stderr.splitlines() if "objective" in line]
    assert len(lines) == 1, done.stderr
    assert REFUSED[objective] in lines[0]
    assert lines[0].startswith("error: objective")


def test_going_together(run, recipe):
    for objective in (
        "{name: blockwise, block_size: 8, inner: {name: lift, components: 2}}",
        "{name: complementary, inner: {name: blockwise, block_size: 8, inner: gift}}",
        "{name: mixture, members: [lift, {name: blockwise, block_size: 8}, {name: complementary}], weights: [2, 1, 1]}",
        "{name: soft_masked, inner: {name: blockwise, block_size: 8}}",
    ):
        done = run("check", recipe(), "--set", f"objective={objective}", "--set", "decoder={}")
        assert done.exit_code == 0, done.stderr
