"""The global order of a run, and canvases."""

import pickle
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from unmask.config.defaults import Layout
from unmask.core.random import Draws, RecordedDraws
from unmask.data import Collator, Encoded, OrderedExamples, Shuffled
from unmask.errors import UserError

EXAMPLES = [Encoded(prompt=[1] * (n + 1), answer=[2] * (n + 1), source=str(n)) for n in range(5)]


def test_every_epoch_shows_each_example_once_in_its_own_order():
    stream = OrderedExamples(EXAMPLES, seed=3, length=15)
    places = [stream[n]["source"] for n in range(15)]
    epochs = [tuple(places[i : i + 5]) for i in (0, 5, 10)]
    assert all(sorted(epoch) == list("01234") for epoch in epochs)
    assert len(set(epochs)) == 3
    assert [stream[n]["order"] for n in range(15)] == list(range(15))


def test_order_depends_on_seed_and_place_only():
    stream = OrderedExamples(EXAMPLES, seed=3, length=100)
    assert stream[57] == OrderedExamples(EXAMPLES, seed=3, length=60)[57]
    orders = {tuple(Shuffled(size=5, seed=seed)(n) for n in range(5)) for seed in range(20)}
    assert len(orders) > 10
    before = torch.get_rng_state()
    assert stream[99]["order"] == 99
    assert torch.equal(torch.get_rng_state(), before)


def test_order_is_fixed():
    """Runs must resume under later versions: this order may never change."""
    assert [Shuffled(size=6, seed=0)(n) for n in range(12)] == [4, 3, 5, 1, 0, 2, 4, 1, 5, 2, 0, 3]


def test_shuffling_is_fair():
    """Every example comes first about equally often: 5 places, 2000 epochs, 400 expected, sd 18."""
    sampler = Shuffled(size=5, seed=0)
    first = [sampler(5 * epoch) for epoch in range(2000)]
    assert all(abs(first.count(n) - 400) < 5 * 18 for n in range(5))


def test_permutations_are_kept_for_two_epochs():
    sampler = Shuffled(size=5, seed=0)
    for n in (4, 5, 4, 5, 4):
        sampler(n)
    assert sampler._permutation.cache_info().misses == 2


def test_workers_and_batch_sizes_do_not_matter():
    stream = OrderedExamples(EXAMPLES, seed=3, length=12)
    collate = Collator(layout=Layout(block_size=4), filler_id=0, draws=Draws(seed=1))
    assert pickle.loads(pickle.dumps(stream))[7] == stream[7]
    seen = []
    for size, workers in ((4, 0), (3, 0), (4, 1)):
        batches = list(DataLoader(stream, batch_size=size, num_workers=workers, collate_fn=collate))
        canvas = torch.cat([batch.canvas_length for batch in batches])
        seen.append((torch.cat([batch.order for batch in batches]).tolist(), canvas.tolist()))
    assert seen[0] == seen[1] == seen[2]


def test_a_curriculum_is_a_sampler():
    stream = OrderedExamples(EXAMPLES, seed=3, length=10, sampler=lambda order: order // 2)
    assert [stream[n]["source"] for n in range(10)] == list("0011223344")


def test_no_examples_and_no_more_items():
    with pytest.raises(UserError, match="at least one example"):
        OrderedExamples([], seed=0, length=1)
    with pytest.raises(IndexError):
        OrderedExamples(EXAMPLES, seed=0, length=3)[3]


def item(prompt, answer, order=0):
    return {"prompt": [1] * prompt, "answer": [2] * answer, "order": order, "source": "x:1"}


def tails(values, **options):
    draws = RecordedDraws(seed=0, values={"tail": torch.tensor(values)})
    return Collator(layout=Layout(block_size=4, **{"tail_blocks": 0, **options}), filler_id=0, draws=draws)


def test_a_canvas_by_hand():
    batch = tails([0.0, 0.5], tail_blocks=1)([item(2, 3), item(1, 5)])
    assert batch.ids.tolist() == [
        [1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert batch.canvas_length.tolist() == [4, 12]
    assert batch.filled_length.tolist() == [4, 8]
    assert batch.text_length.tolist() == [3, 5]


def test_tails_are_uniform():
    values = [0.0, 0.33, 0.34, 0.66, 0.67, 0.9999]
    batch = tails(values, tail_blocks=2)([item(1, 4, n) for n in range(6)])
    assert batch.canvas_length.tolist() == [4, 4, 8, 8, 12, 12]
    assert tails([0.99])([item(1, 4)]).canvas_length.tolist() == [4]


def test_tails_belong_to_the_order():
    collate = Collator(layout=Layout(block_size=4, tail_blocks=3), filler_id=0, draws=Draws(seed=5))
    together = collate([item(1, 4, n) for n in range(8)]).canvas_length.tolist()
    assert together == [int(collate([item(1, 4, n)]).canvas_length) for n in range(8)]
    assert len(set(together)) > 1


def test_tails_stay_within_the_length():
    batch = tails([0.99, 0.99, 0.99], tail_blocks=3, max_length=16)([item(1, 4, 0), item(5, 4, 1), item(13, 4, 2)])
    assert batch.canvas_length.tolist() == [12, 8, 4]


def test_a_fixed_canvas():
    collate = tails([0.99, 0.99], canvas=10, tail_blocks=3)
    batch = collate([item(2, 3), item(1, 9)])
    assert batch.canvas_length.tolist() == [10, 10]
    assert batch.filled_length.tolist() == [4, 10]
    with pytest.raises(UserError, match="x:1: expected an answer of at most canvas=10 tokens, found 11"):
        collate([item(2, 3), item(1, 11)])


def test_objects_will_do():
    thing = SimpleNamespace(**item(2, 3))
    assert tails([0.0])([thing]).ids.tolist() == tails([0.0])([item(2, 3)]).ids.tolist()
