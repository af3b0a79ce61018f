from dataclasses import replace

import pytest
import torch
from places import trace

from toys import Hash, Table
from unmask.core.batch import Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, Guidance, decode
from unmask.errors import UserError
from unmask.generate import generate
from unmask.models import ScratchSpec, from_scratch


def test_the_logits_go_beyond_the_conditional_ones():
    conditional, unconditional = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 3.0]])
    found = Guidance(scale=2).read(torch.cat([conditional, unconditional]))
    assert torch.equal(found, torch.tensor([[2.0, 0.0]]))  # .5 + 3 * .5 and 3 + 3 * -1


def test_the_second_half_reads_the_rows_without_their_prompts_and_padding_stays():
    seen = []

    class Spy(Hash):
        def predict(self, query, query_positions):
            seen.append((query, query_positions))
            return super().predict(query, query_positions)

    examples = [Example(prompt=p, answer=(), order=o, canvas=4) for o, p in enumerate(([1, 2, 3], [4]))]
    batch = lay_out(examples, block_size=4, filler_id=9)
    next(decode(Spy(), batch, Decoder(block_size=4, view="cfg").resolve(), draws=Draws(seed=0)))
    (query, at), m = seen[0], 10
    assert query.ids.tolist() == [
        [1, 2, 3, m, m, m, m], [4, m, m, m, m, 9, 9], [m, m, m, m, m, m, m], [m, m, m, m, m, 9, 9],
    ]  # fmt: skip
    assert torch.equal(query.columns.segment[:2], query.columns.segment[2:])
    assert torch.equal(at[:8] + torch.tensor([2, 0]), at[8:])


def test_no_scale_is_no_guidance_and_costs_nothing():
    model = Hash()
    assert trace(model=model, view={"name": "cfg", "scale": 0}) == trace()
    assert max(model.rows) == 2
    guided = Hash()
    assert trace(model=guided, view="cfg") != trace()
    assert max(guided.rows) == 4


def test_a_model_that_does_not_look_at_the_prompt_is_not_guided():
    assert trace(model=Table(), view={"name": "cfg", "scale": 3}) == trace(model=Table())


@pytest.mark.parametrize("attention", ["bidirectional", "block_causal"])
def test_on_a_model_against_two_forwards(attention):
    """The guided logits of the first step are those of two separate reads."""
    lm = from_scratch(ScratchSpec(hidden_size=32, layers=2, heads=2, init_std=0.4), attention=attention)
    prompt, length, scale = [5, 6, 7], 4, 1.5
    masks = [lm.mask_id] * length

    def read(text):
        batch = lay_out([Example(prompt=text, answer=(), order=0, canvas=length)], block_size=4, filler_id=0)
        ids = torch.tensor([[*text, *masks]])
        with torch.inference_mode():
            return lm.logits(batch.query(ids, lm.rule), torch.tensor([[0, len(text) + i] for i in range(length)]))

    conditional, unconditional = read(prompt), read([lm.mask_id] * 3)
    logits = unconditional + (scale + 1) * (conditional - unconditional)
    p = logits.softmax(-1)
    logits[:, lm.mask_id] = -torch.inf
    token = logits.argmax(-1)
    best = p.gather(1, token[:, None]).squeeze(1).argmax()
    decoder = Decoder(block_size=4, view={"name": "cfg", "scale": scale}, stop="never", cache="none")
    out = generate(lm, [prompt], decoder=decoder, max_new_tokens=length, keep_steps=True)
    assert out.steps[0].at.tolist() == [[0, int(best)]]
    assert out.steps[0].tokens.tolist() == [int(token[best])]


@pytest.mark.parametrize("scale", [-0.5, float("nan"), float("inf")])
def test_bad_scales_are_refused(scale):
    with pytest.raises(UserError, match="scale"):
        Guidance(scale=scale)


def test_impossible_tokens_stay_impossible():
    """Infinities have no difference: not even what is impossible only without the prompt becomes anything else."""
    inf = float("inf")
    conditional, unconditional = torch.tensor([[-inf, -inf, 2.0, 1.0]]), torch.tensor([[-inf, 1.0, -inf, 0.0]])
    assert Guidance(scale=1).read(torch.cat([conditional, unconditional])).tolist() == [[-inf, -inf, 2.0, 2.0]]


def test_half_precision_answers_are_guided_in_float32():
    """4 and 4.03125 are neighbours in bfloat16; two and a half times their difference on top is no such number."""

    class Half(Table):
        def predict(self, query, query_positions):
            out = torch.zeros(len(query_positions), self.vocab_size, dtype=torch.bfloat16)
            out[:, 1] = 4.0
            out[: len(query_positions) // 2, 1] = 4.03125
            return out

    seen = []

    class Watching(Guidance):
        def read(self, logits):
            seen.append(super().read(logits))
            return seen[-1]

    batch = lay_out([Example(prompt=[1], answer=(), order=0, canvas=4)], block_size=4, filler_id=9)
    resolved = Decoder(block_size=4).resolve()
    next(decode(Half(), batch, replace(resolved, view=Watching(scale=1.5)), draws=Draws(seed=0)))
    assert seen[0].dtype == torch.float32
    assert float(seen[0][0, 1]) == 4.0 + 2.5 * 0.03125
