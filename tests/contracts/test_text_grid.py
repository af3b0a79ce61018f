"""On the text grid, too, training shows what decoding shows: the same partly written block, the same logits."""

from dataclasses import replace

import pytest
import torch

from unmask.config.components import choose
from unmask.core.batch import Example, fill_canvas, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, decode
from unmask.models import ScratchSpec, from_scratch
from unmask.objectives import OBJECTIVES

BLOCK, ANSWER = 4, list(range(1, 7))
PROMPTS = list(range(2 * BLOCK + 2))
STREAMS = ("block_diffusion", "fast_dllm_v2", "nbdiff", "wsd")
BY_BLOCK = {
    "blockwise": {"name": "blockwise", "blocks": "all"},
    "blockwise, one block": {"name": "blockwise"},
    "blockwise, by length": {"name": "blockwise", "choose": "length", "weighting": "elbo"},
    "blockwise, two streams": {"name": "blockwise", "blocks": "all", "layout": "two_streams"},
    "blockwise, lift inside": {"name": "blockwise", "inner": {"name": "lift"}},
    "complementary": {"name": "complementary", "inner": {"name": "block_diffusion"}},
    "mixture": {"name": "mixture", "members": [{"name": "block_diffusion"}, {"name": "blockwise", "blocks": "all"}]},
    "nbdiff without next tokens": {"name": "nbdiff", "ar_weight": 0.0},
    "block_diffusion, one t": {"name": "block_diffusion", "t_per": "example", "normaliser": "per_token"},
} | {name: {"name": name} for name in STREAMS}
WHOLE = ("vanilla", "lift", "cart", "gift", "papl")


def sized(spec):
    """Return the spec with blocks of ``BLOCK`` wherever a method has a size."""
    inner = {key: sized(value) for key, value in spec.items() if isinstance(value, dict)}
    members = {key: [sized(each) for each in value] for key, value in spec.items() if isinstance(value, list)}
    own = {"block_size": BLOCK} if spec["name"] in ("blockwise", *STREAMS) else {}
    return spec | inner | members | own


def model(attention, *, shift=False):
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.3), shift=shift, attention=attention)
    lm.facts = replace(lm.facts, grid="text", block_size=BLOCK)
    return lm


def training(lm, prompts, tails=1):
    """Return examples with prompts of these lengths, each with a tail of blocks after the filler."""
    answer = [*ANSWER, lm.filler_id]
    examples = [
        Example(
            prompt=range(20, 20 + prompt), answer=answer, order=order,
            canvas=fill_canvas(len(answer), BLOCK, prompt=prompt, grid="text") + tails * BLOCK,
        )
        for order, prompt in enumerate(prompts)
    ]  # fmt: skip
    return lay_out(examples, block_size=BLOCK, filler_id=lm.filler_id, grid="text")


class Noting:
    """A cache that keeps the logits of the first step."""

    is_exact = True

    def __init__(self, inner):
        self.inner, self.seen = inner, []

    def open(self, model):
        self.reader = self.inner.open(model)
        return self

    @property
    def forwards(self):
        return self.reader.forwards

    def logits(self, query, query_positions, **options):
        self.seen.append(self.reader.logits(query, query_positions, **options))
        return self.seen[-1]


def decoded(lm, batch, example, hidden, cache, **fields):
    """Return the logits of the first step of decoding a row in which the columns from ``hidden`` on are written so."""
    row = batch.rows(torch.tensor([example]))
    prompt = row.ids[0][~row.is_canvas[0] & ~row.is_pad[0]].tolist()
    canvas = int(batch.canvas_length[example])
    empty = lay_out(
        [Example(prompt=prompt, answer=(), order=0, canvas=canvas)], block_size=BLOCK, filler_id=lm.filler_id
    )
    empty.ids[0] = row.ids[0, : empty.ids.shape[1]]
    is_open = torch.zeros_like(empty.is_canvas)
    is_open[0, hidden] = True
    resolved = Decoder(stop="never", cache=cache, **fields).resolve(**lm.decoding)
    noting = Noting(resolved.cache)
    next(decode(lm, empty, replace(resolved, cache=noting), draws=Draws(seed=0), is_open=is_open))
    return noting.seen[0]


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("name", BY_BLOCK)
def test_each_block_is_trained_as_it_is_decoded(name, shift):
    objective = choose(OBJECTIVES, sized(BY_BLOCK[name]))
    if objective.name == "nbdiff" and not shift and objective.ar_weight:
        pytest.skip("next tokens are predicted by shifted models only")
    attention = objective.attention or "block_causal"
    lm = model(attention, shift=shift)
    prompts = [n for n in PROMPTS if n or not shift]
    batch = training(lm, prompts)
    compared = 0
    for seed, cache in enumerate(("none", "block")):
        noised = objective.noise(batch, model=lm, draws=Draws(seed=seed), progress=1.0)
        with torch.no_grad():
            trained = lm.logits(noised.query, noised.query_positions)
        row, column = noised.query_positions.unbind(1)
        position = noised.query.columns.position[row, column]
        view = torch.zeros_like(noised.group) if noised.member is None else noised.member
        for group in noised.group.unique().tolist():
            for member in view.unique().tolist():
                mine = (noised.group == group) & (view == member) & (noised.noise_level > 0)
                if not bool(mine.any()):
                    continue
                (example,) = noised.example[mine].unique().tolist()
                end = (int(position[mine].max()) // BLOCK + 1) * BLOCK
                assert int(position[mine].min()) >= end - BLOCK, "a block crosses a line of the grid"
                columns = int(batch.canvas_length[example]) + prompts[example]
                hidden = [*position[mine].tolist(), *range(end, columns)]
                logits = decoded(lm, batch, example, hidden, cache)
                assert torch.allclose(trained[mine], logits, atol=2e-5), (group, cache)
                compared += 1
    assert compared > len(prompts)


@pytest.mark.parametrize("name", WHOLE)
def test_methods_on_the_whole_response_read_the_text_grid_of_the_model(name):
    lm = model("block_causal")
    batch = training(lm, PROMPTS)
    noised = choose(OBJECTIVES, {"name": name, "tail": "hidden"}).noise(
        batch, model=lm, draws=Draws(seed=1), progress=0.0
    )
    with torch.no_grad():
        trained = lm.logits(noised.query, noised.query_positions)
    for example in noised.example.unique().tolist():
        mine = noised.example == example
        row = int(noised.query_positions[mine][0, 0])
        hidden = (noised.query.ids[row] == lm.mask_id).nonzero().flatten()
        logits = decoded(lm, batch, example, hidden, "none", blocks="whole")
        queried = torch.isin(hidden, noised.query_positions[mine][:, 1])
        assert torch.allclose(trained[mine], logits[queried], atol=2e-5)
