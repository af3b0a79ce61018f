"""Checks of a checkpoint without loading its weights: the shape of its model, its mask token, its tokenizer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from unmask.core.attention import Grid
from unmask.core.protocols import Traits
from unmask.errors import UserError
from unmask.models.adapter import SIDECAR
from unmask.models.call import learn_call
from unmask.models.checkpoint_files import check_config, empty_model, is_masked, read_gguf, read_tokenizer
from unmask.models.checkpoints import Checkpoint, read_json, weight_files
from unmask.models.config_file import check_model, read_config_file, stock_config
from unmask.models.facts import check_facts
from unmask.models.families import Family
from unmask.models.families.base import family_fields
from unmask.models.families.match import find_family
from unmask.models.lora import LoraSpec
from unmask.models.lora_targets import adapters_remark, resolve_targets
from unmask.models.probe import local_layers
from unmask.models.tokens import Ends, check_mask, find_ends, find_mask
from unmask.models.weights import Stored, read_headers
from unmask.runtime.foreign import foreign
from unmask.runtime.transformers_api import FAILURES, StockModel, Tokenizer, new_config

T = TypeVar("T")


@dataclass(kw_only=True)
class Preflight:
    """What is known about a checkpoint before it is loaded.

    Args:
        problems: why ``load`` would refuse it, a line each.
        tokenizer: None where there is none, or it cannot be read.
        mask_id: None where one would be added.
        ends: None where they are not known.
        block_size: that the model was trained with; None where there is none, or it is not known.
        grid: where its blocks are counted from; None where that is not known.
        traits: properties that objectives check; None where they are not known.
        model: on the meta device; None where it cannot be made.
        family: name of the family of released checkpoints; None for others.
        trained: a line on what the adapters would be on; None without adapters.
    """

    problems: list[str] = field(default_factory=list)
    tokenizer: Tokenizer | None = None
    mask_id: int | None = None
    ends: Ends | None = None
    block_size: int | None = None
    grid: Grid | None = None
    traits: Traits | None = None
    model: StockModel | None = None
    family: str | None = None
    trained: str | None = None

    def ask(self, question: Callable[[], T]) -> T | None:
        """Return the result of ``question``; None if it raises, with the message added to ``problems``."""
        try:
            with foreign("it cannot be loaded"):
                return question()
        except UserError as error:
            self.problems.append(str(error))
            return None


def preflight(where: Checkpoint, *, mask_token: str | None = None, lora: LoraSpec | None = None) -> Preflight:
    """Check a model folder as ``load`` and ``add_lora`` would, on a model without memory.

    Args:
        where: a folder or a gguf file; of an adapter only the tokenizer, block size and grid are read.
        mask_token: the user's choice of a mask token, or None.
        lora: adapters that are to be added.

    Returns:
        What was found, and why ``load`` would fail.
    """
    found = Preflight()
    if where.kind == "adapter":
        found.tokenizer = found.ask(lambda: read_tokenizer(where.folder))
        found.block_size, found.grid = found.ask(lambda: _of_adapter(where)) or (None, None)
        return found
    if where.kind == "gguf":
        files = found.ask(lambda: read_gguf(where, is_empty=True))
        if files is not None:
            found.tokenizer = files.tokenizer
            _look(found, where, files.config, files.family, files.model, {}, mask_token=mask_token, lora=lora)
        return found
    config = found.ask(lambda: read_config_file(where.folder)) or {}
    family = found.ask(lambda: find_family(config)) if not found.problems else None
    if found.problems:
        return found
    found.ask(lambda: check_facts(config.get("unmask") or {}))
    if found.problems:
        return found
    _note_facts(found, where, config, family)
    found.tokenizer = found.ask(lambda: read_tokenizer(where.folder, family))
    stored = found.ask(lambda: read_headers(weight_files(where.folder, allow_pickle=False))) or {}
    model = found.ask(lambda: _empty(config, family, stored))
    if model is not None:
        generation = found.ask(lambda: read_json(where.folder / "generation_config.json")) or {}
        _look(found, where, config, family, model, generation, mask_token=mask_token, lora=lora)
    return found


def _note_facts(found: Preflight, where: Checkpoint, config: dict[str, Any], family: Family | None) -> dict[str, Any]:
    """Set block size, grid and family; return what the family implies."""
    written = config.get("unmask") or {}
    implied = family.facts(config, where.source) if family else {}
    found.block_size = written.get("block_size", implied.get("block_size"))
    found.grid = written.get("grid", implied.get("grid", "answer"))
    found.family = written.get("family", implied.get("family"))
    return implied


def _look(  # noqa: PLR0917
    found: Preflight, where: Checkpoint, config: dict[str, Any], family: Family | None, model: StockModel,
    generation: dict[str, Any], *, mask_token: str | None, lora: LoraSpec | None,
) -> None:  # fmt: skip
    """Add to ``found`` what an empty model and its files tell, and why ``load`` or ``add_lora`` would refuse it."""
    implied = _note_facts(found, where, config, family)
    found.model = model
    if reason := local_layers(model):
        found.problems.append(f"attention cannot be made bidirectional: {reason}; load a model with full attention")
    if lora is not None:
        targets = found.ask(lambda: resolve_targets(model, lora.targets, dropout=lora.dropout))
        if targets is not None:
            found.trained = adapters_remark(targets.groups, targets.layers, mask_row=lora.train_mask_row)
    found.traits = _traits(model, config, implied)
    rows = model.get_input_embeddings().weight.shape[0]
    found.ends = found.ask(lambda: find_ends(config, generation, found.tokenizer, rows=rows, family=family))
    found.mask_id = found.ask(
        lambda: find_mask(config, found.tokenizer, token=mask_token, id_=None, family=family, rows=rows)
    )
    mask_id, ends = found.mask_id, found.ends
    if mask_id is not None and ends is not None:
        pad_id = config.get("pad_token_id") if found.tokenizer is None else found.tokenizer.pad_token_id
        found.ask(lambda: check_mask(mask_id, rows=rows, ends=ends, pad_id=pad_id))


def _of_adapter(where: Checkpoint) -> tuple[int | None, Grid | None]:
    """Return the block size that an adapter was trained with, or None, and its grid."""
    facts = read_json(where.folder / SIDECAR).get("facts") or {}
    check_facts(facts)
    return facts.get("block_size"), facts.get("grid")


def _traits(model: StockModel, config: dict[str, Any], implied: dict[str, Any]) -> Traits | None:
    """Return the traits that ``load`` would find without flags; None if the model cannot be called on tokens."""
    try:
        takes_positions = learn_call(model).takes_positions
    except FAILURES:
        return None
    written = config.get("unmask") or {}
    is_masked = type(model).__name__.endswith("ForMaskedLM")
    return Traits(
        shift=written.get("shift", implied.get("shift", not is_masked)),
        attention=written.get("attention", implied.get("attention", "bidirectional")),
        takes_positions=takes_positions,
    )


def _empty(config: dict[str, Any], family: Family | None, stored: dict[str, Stored]) -> StockModel:
    check_config(config, family, stored)
    with foreign("transformers refuses config.json", "mend it"):
        stock = stock_config(config) if family is None else new_config(*family_fields(family, config))
    model = empty_model(stock, masked=family is None and is_masked(config))
    check_model(model, stored)
    return model
