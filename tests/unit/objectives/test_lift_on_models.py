"""LIFT through real models: the logit shift, and what a trained model is taught at each noise level."""

import pytest
import torch
from texts import ask, lay, tiny

from unmask.core.batch import Example, lay_out
from unmask.models import load
from unmask.objectives import Lift
from unmask.tasks import choose_task


def aligned(lm, ids):
    """Log-probabilities by column, from the stock module: the state of the column before predicts a column."""
    everyone = torch.ones(len(ids), 1, ids.shape[1], ids.shape[1], dtype=torch.bool)
    logits = lm.model(input_ids=ids, attention_mask=everyone, use_cache=False).logits
    return torch.cat([logits[:, :1], logits[:, :-1]], dim=1).log_softmax(-1)


@pytest.mark.parametrize("t", [0.2, 0.8])
def test_shifted_models_choose_and_learn_by_aligned_logits(t):
    """The released code forgets the shift; here selection and loss are recomputed from the stock module."""
    lm, b = tiny("llama-shifted"), lay((2, 12), block=12)
    draws = {"t": [t], "rho": [0.4], "mask": [[0.05 * i for i in range(14)]]}
    n = ask(Lift(components=2, eps=1e-12), b, lm, **draws)
    rho = 0.1 + (1 - t - 0.1) * 0.4
    columns = [c for c in range(2, 14) if 0.05 * c < t + rho]
    k = round(len(columns) * t / (t + rho))
    ids = b.ids.clone()
    ids[0, columns] = lm.mask_id
    c = aligned(lm, ids)[0, columns, b.ids[0, columns]].tolist()
    ranked = sorted(range(len(columns)), key=lambda i: c[i], reverse=t > 0.5)
    kept = sorted(columns[i] for i in ranked[:k])
    assert n.query_positions.tolist() == [[0, column] for column in kept]
    ids = b.ids.clone()
    ids[0, kept] = lm.mask_id
    loss = -aligned(lm, ids)[0, kept, b.ids[0, kept]].sum() / t / 12
    mine = Lift().loss(lm.score(n.query, n.query_positions, n.targets), n) / n.count
    torch.testing.assert_close(mine, loss, rtol=1e-5, atol=1e-6)


def test_a_trained_model_learns_easy_tokens_at_high_t_and_hard_ones_at_low_t():
    """The quick start's model on its own task: mean gold log-probability of kept against rejected tokens."""
    lm = load("asset:quickstart/model")
    examples = []
    for order, problem in enumerate(choose_task("sorting").problems("train", 64, 0)):
        prompt, answer = (lm.tokenizer.encode(s, add_special_tokens=False) for s in (problem.prompt, problem.solution))
        examples.append(Example(prompt=prompt, answer=[*answer, lm.filler_id], order=order, canvas=28))
    b = lay_out(examples, block_size=7, filler_id=lm.filler_id)
    gap = {"informed": ([], []), "reversed": ([], []), "random": ([], [])}
    for order, (low, high) in gap.items():
        n = ask(Lift(order=order, tail="hidden"), b, lm)
        near = ask(Lift(order=order, approximate=True, tail="hidden"), b, lm)
        superset = near.query_positions
        with torch.no_grad():
            c = -lm.score(near.query, superset, near.targets).nll
        kept = (superset[:, None] == n.query_positions[None]).all(-1).any(1)
        for example in range(len(b.order)):
            mine = superset[:, 0] == example
            t = n.noise_level[n.example == example][:1]
            if len(t) and bool((mine & ~kept).any()) and not 1 / 3 <= float(t) <= 2 / 3:
                difference = float(c[mine & kept].mean() - c[mine & ~kept].mean())
                (high if float(t) > 0.5 else low).append(difference)
    mean = {order: [sum(x) / len(x) for x in found] for order, found in gap.items()}
    assert mean["informed"][0] < -0.3
    assert mean["informed"][1] > 0.3
    assert mean["reversed"][0] > 0.05
    assert mean["reversed"][1] < -0.05
    assert all(abs(x) < 0.05 for x in mean["random"])
