"""What every decoder promises, checked on toy models; a component is checked within a decoder."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from unmask.config.registry import Registry, name_of
from unmask.core.attention import BlockCausal
from unmask.core.batch import Batch, Example, lay_out
from unmask.core.random import Draws
from unmask.decoding import Decoder, Step, decode
from unmask.decoding.interfaces import (
    BLOCK_RULES,
    CACHES,
    CONSTRAINTS,
    PROPOSALS,
    REVISIONS,
    SEARCHES,
    SELECTIONS,
    STOPS,
    VIEWS,
    Selection,
)
from unmask.heads.soft_mask import SoftMask
from unmask.testing.toys import AlwaysMask, Barred, Doubts, EndFirst, Fickle, Flat, Half, Hash, Slots, Toy

PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 1]]
CANVAS = 12  # columns of the canvases: three blocks
FIELDS: Mapping[str, Registry[Any]] = {
    "selection": SELECTIONS,
    "proposal": PROPOSALS,
    "blocks": BLOCK_RULES,
    "revision": REVISIONS,
    "stop": STOPS,
    "cache": CACHES,
    "view": VIEWS,
    "constraint": CONSTRAINTS,
    "search": SEARCHES,
}
"""Field of a decoder -> the registry of the components that it takes."""
Fields = Mapping[str, Any]


def check_selection(selection: Selection, *, skip: Collection[str] = (), is_random: bool = False) -> None:
    """Check that a selection keeps what every decoder promises, by all ``DECODER_CHECKS``.

    An ``AssertionError`` names the promise that is broken, and the case.

    Args:
        selection: a value of a registered class.
        skip: names of ``DECODER_CHECKS`` that are not meant to hold for it.
        is_random: whether it draws at temperature 0.
    """
    check_decoder({"selection": selection}, skip=skip, is_random=is_random)


def check_component(component: object, *, skip: Collection[str] = (), is_random: bool = False) -> None:
    """Check that a component of a decoder, of any kind, keeps what every decoder promises.

    An ``AssertionError`` names the promise that is broken, and the case.

    Args:
        component: a value of a registered class: a selection, a proposal, a block rule …
        skip: names of ``DECODER_CHECKS`` that are not meant to hold for it.
        is_random: whether it draws at temperature 0.

    Raises:
        ValueError: no decoder takes it.
    """
    name = name_of(component)
    for field, registry in FIELDS.items():
        if name in registry and registry[name] is type(component):
            return check_decoder({field: component}, skip=skip, is_random=is_random)
    raise ValueError(f"{type(component).__name__}: expected a registered component of a decoder, found another class")


def check_decoder(fields: Fields, *, skip: Collection[str] = (), is_random: bool = False) -> None:
    """Check that a decoder keeps what every decoder promises.

    An ``AssertionError`` names the promise that is broken, and the case.

    Args:
        fields: of ``Decoder``; blocks of 4 unless they state others.
        skip: names of ``DECODER_CHECKS`` that are not meant to hold for it.
        is_random: whether it draws at temperature 0, so that seeds matter.
    """
    for name, check in DECODER_CHECKS.items():
        if name not in skip and not (is_random and check is seeds_do_not_matter):
            check(fields)


def blank_canvas(
    prompts: Sequence[Sequence[int]] = PROMPTS,
    length: int | Sequence[int] = CANVAS,
    block: int = 4,
    orders: Sequence[int] | None = None,
) -> Batch:
    """Lay prompts out with canvases to fill.

    Args:
        prompts: tokens of each prompt.
        length: columns of all canvases, or of each.
        block: block size.
        orders: indices in the global order, by which rows draw; None: 0, 1, 2 …

    Returns:
        A batch whose canvases are all open.
    """
    lengths = [length] * len(prompts) if isinstance(length, int) else length
    rows = zip(prompts, lengths, orders or range(len(prompts)), strict=True)
    examples = [Example(prompt=p, answer=(), order=o, canvas=n) for p, n, o in rows]
    return lay_out(examples, block_size=block, filler_id=9)


def with_heads(model: Toy) -> Toy:
    """Return a toy with the heads that some components read."""
    model.heads.setdefault("confidence", Doubts(model))
    model.heads.setdefault("soft_mask", SoftMask(torch.nn.Identity()))
    return model


def run(
    model: Toy,
    fields: Fields | None = None,
    *,
    batch: Batch | None = None,
    seed: int = 0,
    is_open: Bool[Tensor, "B L"] | None = None,
    prompts: Sequence[Sequence[int]] = PROMPTS,
    length: int | Sequence[int] = CANVAS,
    orders: Sequence[int] | None = None,
    **options: Any,
) -> tuple[Batch, list[Step]]:
    """Decode with a toy.

    Args:
        model: a toy of its own for each run, as it counts.
        fields: of ``Decoder``.
        batch: what to fill; None: ``blank_canvas`` of ``prompts``, ``length`` and ``orders``.
        seed: of the draws.
        is_open: canvas columns to fill; None: all.
        prompts: tokens of each prompt.
        length: columns of all canvases, or of each.
        orders: indices in the global order, by which rows draw.
        **options: further fields, over those of ``fields``.

    Returns:
        The batch, and the steps that were taken.
    """
    decoder = Decoder(**{"block_size": 4, "stop": "never", **(fields or {}), **options})
    if getattr(decoder.cache, "name", None) == "block":
        model.rule = BlockCausal()
    batch = batch or blank_canvas(prompts, length, orders=orders)
    return batch, list(decode(with_heads(model), batch, decoder.resolve(), draws=Draws(seed=seed), is_open=is_open))


def final_text(batch: Batch, steps: Sequence[Step]) -> list[list[int]]:
    """Return the tokens of each row's canvas after the last step."""
    ids = steps[-1].state.ids
    return [ids[row][batch.offset[row] >= 0].tolist() for row in range(len(batch.order))]


def only_the_canvas_is_written(fields: Fields) -> None:
    """Check that prompts and padding do not change, no mask is left, all rows end, and forwards are counted."""
    model = Hash()
    batch, steps = run(model, fields)
    outside = ~batch.is_canvas
    for number, step in enumerate(steps):
        assert torch.equal(step.state.ids[outside], batch.ids[outside]), f"a prompt or padding changed in step {number}"
    _is_full(steps, Hash.mask_id)
    assert steps[-1].state.is_done.all(), "a row is not done in the end"
    counted = sum(step.forwards for step in steps)
    assert counted == model.forwards, f"the steps count {counted} forwards, the model {model.forwards}"


def _is_full(steps: Sequence[Step], mask_id: int, case: str = "") -> None:
    final = steps[-1].state
    assert (final.ids != mask_id).all(), f"a mask token is left in the end{case}"
    assert not final.is_open.any(), f"a position is open in the end{case}"


def the_trace_tells_all(fields: Fields) -> None:
    """Check that replaying the steps gives every state, and that only what is open is written.

    A step may take tokens back only where the decoder has a revision, and write nothing in a live row only there or
    where the selection may wait.
    """
    batch, steps = run(Hash(), fields)
    parts = Decoder(**fields).resolve()
    revises = name_of(parts.revision) != "none"
    may_wait = revises or parts.selection.may_wait
    prompt = steps[0].state.prompt_length.tolist()
    text: dict[tuple[int, int], int] = {}
    for number, step in enumerate(steps):
        before = dict(text)
        back = {(row, offset) for row, offset in step.taken_back.tolist()}
        assert back <= set(text), f"step {number} takes back what was not written"
        assert revises or not back, f"step {number} takes a token back, without a revision"
        for source in back:
            del text[source]
        for (row, offset), token in zip(step.at.tolist(), step.tokens.tolist(), strict=True):
            assert (row, offset) not in text, f"step {number} writes column {offset} of row {row} again"
            text[row, offset] = token
        for row in step.live.tolist():
            written, now = (sum(source[0] == row for source in places) for places in (before, text))
            assert now > written or may_wait, f"step {number} writes nothing in the live row {row}"
        for (row, offset), token in text.items():
            assert int(step.state.ids[row, prompt[row] + offset]) == token, f"step {number} wrote what it does not tell"
    if fields.get("stop") != "eos":
        assert len(text) == int(batch.is_canvas.sum()), "the steps do not tell of every column that was written"


def given_tokens_stay(fields: Fields) -> None:
    """Check infilling: tokens given inside a block, a whole block of them, and at the end, are never changed."""
    batch = blank_canvas(PROMPTS[:2])
    given = (batch.offset == 2) | ((batch.offset >= 4) & (batch.offset < 8)) | (batch.offset == 11)
    batch.ids[given] = 7
    _, steps = run(Hash(), fields, batch=batch, is_open=batch.is_canvas & ~given)
    assert (steps[-1].state.ids[given] == 7).all(), "a given token was changed"
    _is_full(steps, Hash.mask_id, " beside given tokens")


def low_precision_is_scored_in_float32(fields: Fields) -> None:
    """Check that scores of a model whose logits are bfloat16 are float32 at least."""
    _, steps = run(Half(), fields, prompts=PROMPTS[:2], length=8)
    found = {step.scores.dtype for step in steps}
    assert found <= {torch.float32, torch.float64}, f"scores of bfloat16 logits are {found}"
    assert (steps[-1].state.ids != Half.mask_id).all(), "a mask token is left in the end of a bfloat16 model's text"


def the_mask_is_never_proposed(fields: Fields) -> None:
    """Check that a model whose most likely token is the mask is decoded to text."""
    _, steps = run(AlwaysMask(), fields, prompts=PROMPTS[:2], length=8)
    assert (steps[-1].state.ids != AlwaysMask.mask_id).all(), "the mask token is written where it is most likely"


def nothing_open_costs_nothing(fields: Fields) -> None:
    """Check that a batch of which nothing is open takes no step and no forward."""
    model, batch = Hash(), blank_canvas()
    steps = run(model, fields, batch=batch, is_open=torch.zeros_like(batch.is_canvas))[1]
    assert not steps, f"{len(steps)} steps are taken where nothing is open"
    assert model.forwards == 0, f"{model.forwards} forwards are spent where nothing is open"


class _Here(Hash):
    """A toy whose store is on the CPU, whatever the default device."""

    def store(self, rows: int, columns: int) -> Slots:
        """Return an empty store on the CPU."""
        with torch.device("cpu"):
            return super().store(rows, columns)


def tensors_are_made_where_the_batch_is(fields: Fields) -> None:
    """Check that no tensor is made on the default device: with a GPU it would be another one than the batch's."""
    model, batch = with_heads(_Here()), blank_canvas(PROMPTS[:2], 5)
    with torch.device("meta"):
        _, steps = run(model, {"search": {"name": "smc", "particles": 2}, **fields}, batch=batch, stop="eos")
    assert steps[-1].state.ids.device.type == "cpu", "tokens are on the default device instead of the batch's"


def rows_do_not_depend_on_their_batch(fields: Fields) -> None:
    """Check that a prompt is answered alike alone and in a batch of uneven ones."""
    together = final_text(*run(Hash(), fields))
    for row in (1, 2):
        alone = final_text(*run(Hash(), fields, prompts=PROMPTS[row : row + 1], orders=[row]))
        assert alone == [together[row]], f"row {row} is {together[row]} in a batch and {alone[0]} alone"


def runs_repeat(fields: Fields) -> None:
    """Check that the same seed gives the same text."""
    one, again = (final_text(*run(Hash(), fields)) for _ in range(2))
    assert one == again, "the same seed gives two texts"


def seeds_do_not_matter(fields: Fields) -> None:
    """Check that at temperature 0 another seed gives the same text."""
    one, other = (final_text(*run(Hash(), fields, seed=seed)) for seed in (0, 2))
    assert one == other, "seeds 0 and 2 give two texts at temperature 0"


def an_early_stop_changes_nothing_before_it(fields: Fields) -> None:
    """Check that stopping at the end token gives the full run up to its first end, and fills the rest with ends."""
    fields = {field: value for field, value in fields.items() if field != "stop"}
    batch, full = run(EndFirst(), fields, prompts=PROMPTS[::2])
    _, stopped = run(EndFirst(), fields, prompts=PROMPTS[::2], stop="eos")
    for whole, cut in zip(final_text(batch, full), final_text(batch, stopped), strict=True):
        end = whole.index(9) + 1 if 9 in whole else len(whole)
        assert cut[:end] == whole[:end], f"stopping early gives {cut[:end]} where the full run has {whole[:end]}"
        assert set(cut[end:]) <= {9}, f"after its end a stopped row has {cut[end:]}"
    assert len(stopped) <= len(full), "stopping early takes more steps than the full run"


def any_length_is_filled(fields: Fields) -> None:
    """Check canvases shorter than a block, no multiple of it, of one token; an empty prompt; alone and side by side."""
    prompts: list[list[int]] = [[1], [1, 2, 3], [], [1]]
    lengths = [3, 6, 5, 1]
    found = final_text(*run(Hash(), fields, prompts=prompts, length=lengths))
    assert [len(row) for row in found] == lengths, f"canvases of {lengths} became texts of {[len(r) for r in found]}"
    for row in (2, 3):
        one: dict[str, Any] = {"prompts": prompts[row : row + 1], "length": lengths[row], "orders": [row]}
        alone = final_text(*run(Hash(), fields, **one))[0]
        assert len(alone) == lengths[row], f"a canvas of {lengths[row]} became a text of {len(alone)}"
        if "steps" not in fields:  # which are shared out over the blocks of the longest canvas
            assert alone == found[row], f"a canvas of {lengths[row]} is {found[row]} in a batch and {alone} alone"


def odd_models_are_decoded(fields: Fields) -> None:
    """Check models that no training leaves behind: nothing but ties, logits at float16's limits, few tokens."""
    for toy in (Flat, Fickle, Barred):
        case = f" of the toy {toy.__name__}"
        batch, steps = run(toy(), fields, prompts=PROMPTS[1:], length=6, orders=[1, 2])
        for step in steps:
            assert not step.scores.isnan().any(), f"a score is not a number{case}"
            assert torch.isfinite(step.state.log_prob).all(), f"a log probability is not finite{case}"
        outside = ~batch.is_canvas
        assert torch.equal(steps[-1].state.ids[outside], batch.ids[outside]), f"a prompt or padding changed{case}"
        _is_full(steps, toy.mask_id, case)
        alone = final_text(*run(toy(), fields, prompts=PROMPTS[1:2], length=6, orders=[1]))
        assert alone == final_text(batch, steps)[:1], f"a row depends on its batch{case}"


DECODER_CHECKS: dict[str, Callable[[Fields], None]] = {
    check.__name__: check
    for check in (
        only_the_canvas_is_written,
        the_trace_tells_all,
        given_tokens_stay,
        low_precision_is_scored_in_float32,
        the_mask_is_never_proposed,
        nothing_open_costs_nothing,
        tensors_are_made_where_the_batch_is,
        rows_do_not_depend_on_their_batch,
        runs_repeat,
        seeds_do_not_matter,
        an_early_stop_changes_nothing_before_it,
        any_length_is_filled,
        odd_models_are_decoded,
    )
}
"""Name -> check of one promise."""
