"""The loop: what a step keeps, and that a row is its own affair."""

from dataclasses import replace

import torch
from places import MASK, places

from languages import bound
from toys import Hash
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Change, Decoder, decode
from unmask.decoding.amend import admit_change, shorten
from unmask.decoding.loop import start


def rows(number, length=4):
    examples = [Example(prompt=(1,), answer=(), order=o, canvas=length) for o in range(number)]
    return lay_out(examples, block_size=4, filler_id=9)


class Only:
    """Admits what it is told to."""

    def __init__(self, places):
        self.places = places

    def admit(self, state, candidates, chosen):
        left = chosen & self.places
        return chosen if torch.equal(left, chosen) else left


def test_what_is_refused_in_one_row_leaves_the_revision_of_another_alone():
    """Both rows write one token and take one back. The first is refused its token and writes what was chosen."""
    one = places([0.5, 0.6, 0.7, 0.8], closed=[0], correctness=[0.0] * 4)
    fields = (
        "rows",
        "columns",
        "width",
        "canvas",
        "is_open",
        "is_queried",
        "token",
        "written",
        "log_prob",
        "score",
        "correctness",
    )
    two = {name: getattr(one, name).repeat(2, *[1] * (getattr(one, name).ndim - 1)) for name in fields}
    two["rows"] = torch.tensor([0, 1])
    counts = {name: getattr(one, name).repeat(2) for name in ("block_open", "block_steps")}
    candidates = type(one)(**{**vars(one), **two, **counts})
    state = start(rows(2), MASK)
    chosen = torch.tensor([[False, True, False, False]] * 2)
    revised = Change(
        write=torch.tensor([[False, False, True, False]] * 2), hide=torch.tensor([[True, False, False, False]] * 2)
    )
    allowed = torch.tensor([[True, True, False, True], [True] * 4])
    resolved = replace(Decoder().resolve(), constraint=Only(allowed))
    hidden = replace(state, is_open=state.is_open.clone())
    found = admit_change(hidden, candidates, revised, chosen, decoder=resolved)
    assert found.write.tolist() == [[False, True, False, False], [False, False, True, False]]
    assert found.hide.tolist() == [[False] * 4, [True, False, False, False]]


def test_beyond_the_cut_nothing_is_proposed():
    candidates = places([0.5, 0.6, 0.7, 0.8])
    _, cut = shorten(start(rows(1), MASK), candidates, torch.tensor([2]))
    assert cut.is_open[0].tolist() == [True, True, False, False]
    for values in (cut.score, cut.log_prob):
        assert torch.isneginf(values[0]).tolist() == [False, False, True, True]


def test_steps_keep_no_notes_and_no_graph():
    """A trace that is kept must not keep [places, vocabulary] for every step, nor what a backward pass would need."""
    model = Hash()
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    real = model.predict
    model.predict = lambda query, query_positions: real(query, query_positions) * weight
    resolved = Decoder(block_size=4, selection={"name": "klass", "threshold": 0.1}, stop="never").resolve()
    for step in decode(model, rows(2), resolved, draws=Draws(seed=0)):
        assert step.state.memory == {}
        assert not step.state.log_prob.requires_grad


def test_impossible_tokens_have_a_log_probability_that_can_be_summed():
    """A pattern may ask for a token that the model finds impossible."""

    class Sure(Hash):
        def predict(self, query, query_positions):
            logits = super().predict(query, query_positions) * 0 - 1e9
            logits[:, 7] = 1e9
            return logits

    fields = {"search": {"name": "smc", "particles": 2}, "constraint": bound("c+"), "temperature": 1.0}
    steps = list(decode(Sure(), rows(2, 6), Decoder(block_size=3, **fields).resolve(), draws=Draws(seed=0)))
    assert torch.isfinite(steps[-1].state.log_prob).all()
    assert torch.isfinite(steps[-1].state.log_resampled).all()
