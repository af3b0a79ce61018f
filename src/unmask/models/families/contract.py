"""``check_family``: what holds for every checkpoint family, checked on a tiny checkpoint in the released layout."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from unmask.core.attention import PAD, AttentionRule, Bidirectional, Columns
from unmask.core.attention_rules import Causal
from unmask.core.query import Query
from unmask.errors import UserError
from unmask.models.families.base import FAMILIES, Family
from unmask.models.families.rules import Filler
from unmask.models.load import load
from unmask.models.loaded import LoadedModel
from unmask.runtime.transformers_api import new_config, new_model

_COLUMNS = 6
_STRANGE = "unmask.no_such_weight"


def check_family(family: Family, config: Mapping[str, Any], weights: Mapping[str, Tensor], folder: Path) -> None:
    """Check that a family loads strictly, computes what its facts say, and is unchanged after saving and loading.


    Args:
        family: registered under its ``name``.
        config: ``config.json`` of a tiny checkpoint as the family is released, with at least 8 tokens,
            ``mask_token_id`` and ``eos_token_id``.
        weights: random tensors under the released names.
        folder: an empty folder to write to.

    Raises:
        AssertionError: names what does not hold.
    """  # noqa: DOC502
    _hold(FAMILIES.get(family.name) is family, f"'{family.name}' is not registered as this family")
    _check_names(family, config, weights)
    lm = load(_written(folder / "released", config, weights))
    state = lm.model.state_dict()
    shapes = {name: tensor.shape for name, tensor in state.items()}
    for name, tensor in weights.items():
        _hold(torch.equal(family.rules.read(name, state, shapes), tensor), f"'{name}' was changed on loading")
    _check_refusals(config, weights, folder)
    _check_facts(family, config, lm)
    _check_attention(lm)
    lm.save(folder / "saved")
    again = load(folder / "saved")
    _hold(again.facts == lm.facts, f"facts {lm.facts} came back as {again.facts}")
    _hold(torch.equal(_logits(again, _ids(lm)), _logits(lm, _ids(lm))), "a saved model answers otherwise")


def _hold(condition: bool, fault: str) -> None:
    if not condition:
        raise AssertionError(fault)


def _written(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
    save_file(dict(weights), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _check_names(family: Family, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Check that the released names and the stock ones match one to one; a tied head may be left out."""
    stock = new_config(*family.convert(dict(config)))
    with torch.device("meta"):
        expected = dict(new_model(stock).state_dict())
    filler = Filler(family.rules, expected)
    wrong = [found for name, tensor in weights.items() if (found := filler.put(name, tensor))]
    _hold(not wrong, f"weights of another shape than the stock ones: {wrong}")
    _hold(not filler.unexpected, f"not in the stock model: {filler.unexpected}")
    _hold(not filler.doubled(), f"two weights get one stock name: {filler.doubled()}")
    optional = {"lm_head.weight"} if stock.tie_word_embeddings else set()
    _hold(set(filler.missing()) <= optional, f"never filled: {sorted(set(filler.missing()) - optional)}")
    _hold(family.rules.targets(_STRANGE, filler.shapes) is None, f"the unknown name '{_STRANGE}' is taken for a weight")
    back = set(family.rules.released({name: shape for name, shape in filler.shapes.items() if name not in optional}))
    _hold(back == set(weights) - optional, f"stock names go back to {sorted(back ^ set(weights))} only")


def _check_refusals(config: Mapping[str, Any], weights: Mapping[str, Tensor], folder: Path) -> None:
    """Check that a checkpoint with a weight too few or too many is refused, and the weight named."""
    first, *rest = sorted(weights)
    wrong = {
        first: {name: weights[name] for name in rest},
        _STRANGE: {**weights, _STRANGE: torch.zeros(2)},
    }
    for number, tensors in enumerate(wrong.values()):
        try:
            load(_written(folder / f"wrong{number}", config, tensors))
        except UserError as error:
            word = ("missing", "unexpected")[number]
            _hold(word in str(error), f"expected a message about {word} weights, found: {error}")
        else:
            raise AssertionError(f"it loads {('without', 'with')[number]} '{list(wrong)[number]}'")


def _check_facts(family: Family, config: Mapping[str, Any], lm: LoadedModel) -> None:
    size = config.get(family.block_size_key, family.block_size)
    facts, wanted = lm.facts, (family.shift, family.attention, family.grid, size)
    _hold(facts.family == family.name, f"it is loaded as the family '{facts.family}'")
    found = (facts.shift, facts.attention, facts.grid, facts.block_size)
    _hold(found == wanted, f"expected shift, attention, grid and block size {wanted}, found {found}")
    _hold(facts.mask_id == config["mask_token_id"], f"the mask token is {facts.mask_id}")
    # The state of column c predicts column c, or c + 1 in a model with shifted logits.
    plain = LoadedModel(model=lm.model, facts=replace(facts, shift=False), tokenizer=None)
    own, seen = _logits(plain, _ids(lm)), _logits(lm, _ids(lm))
    _hold(torch.equal(seen[1:], own[:-1] if family.shift else own[1:]), "the logits are not shifted as the facts say")


def _check_attention(lm: LoadedModel) -> None:
    """Check that all columns see each other, except what a rule hides and padding."""
    last, ids = _COLUMNS - 1, _ids(lm)
    reach = _change(lm, ids, last, Bidirectional())
    _hold(reach[0] > 0, "a change of the last token does not reach the first")
    hidden = _change(lm, ids, last, Causal())[:last]
    _hold(max(hidden) == 0, "a change of the last token reaches tokens that may not see it")
    padded = _change(lm, ids, last, Bidirectional(), padding=1)[:last]
    _hold(max(padded) == 0, "a change of the padding reaches the text")


def _ids(lm: LoadedModel) -> Tensor:
    return torch.arange(_COLUMNS, device=lm.device)[None] % lm.vocab_size


def _change(lm: LoadedModel, ids: Tensor, column: int, rule: AttentionRule, padding: int = 0) -> list[float]:
    """Return by how much another token in one column moves the logits of the state of each column."""
    plain = LoadedModel(model=lm.model, facts=replace(lm.facts, shift=False), tokenizer=None)
    other = ids.clone()
    other[0, column] = (ids[0, column] + 1) % lm.vocab_size
    before, after = (_logits(plain, each, rule, padding) for each in (ids, other))
    return [float(moved) for moved in (after - before).abs().amax(-1)]


def _logits(lm: LoadedModel, ids: Tensor, rule: AttentionRule | None = None, padding: int = 0) -> Tensor:
    position = torch.arange(_COLUMNS, device=ids.device)[None]
    segment = torch.zeros_like(position)
    segment[:, _COLUMNS - padding :] = PAD
    zero = torch.zeros_like(position)
    columns = Columns(position=position, segment=segment, block=zero, stream=zero)
    at = torch.stack([zero[0], position[0]], dim=1)
    with torch.no_grad():
        return lm.logits(Query(ids=ids, columns=columns, rule=rule or Bidirectional()), at)
