"""Finds or adds the tokens that a diffusion language model needs: mask token, end tokens, filler."""

from dataclasses import dataclass
from typing import Any

import torch

from unmask.errors import UserError, shorten
from unmask.models.facts import Facts
from unmask.models.families import Family
from unmask.runtime.template_process import TemplateRefusedError
from unmask.runtime.transformers_api import StockModel, Tokenizer, render_chat

ADDED_MASK = "<|mask|>"
KNOWN_MASKS = (
    "<|mdm_mask|>", "<|mask|>", "<|MASK|>", "<MASK>", "[MASK]", "<mask>", "<M>", "|<MASK>|", "<[MASK_TOKEN]>",
    "<text_mask>",
)  # fmt: skip
END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>")
_PROBE_ANSWER = "zqx"  # a marker that no chat template contains


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Tokens that end an answer.

    Args:
        eos_ids: all of them; the first is the one that training puts at the end of an answer.
        filler_id: end-of-text token that fills the canvas after it.
    """

    eos_ids: tuple[int, ...]
    filler_id: int


def find_mask(
    config: dict[str, Any],
    tokenizer: Tokenizer | None,
    *,
    token: str | None,
    id_: int | None,
    family: Family | None = None,
    rows: int = 0,
) -> int | None:
    """Return the mask token's id, or None if the checkpoint has none.

    Args:
        config: the checkpoint's ``config.json``.
        tokenizer: None where there is none.
        token: the user's choice of a token, which must be in the vocabulary to be found.
        id_: the user's choice of an id.
        family: of the checkpoint; None for a plain model, which may get a new mask token.
        rows: of the embedding.

    Returns:
        The id: the user's, else that of ``config.json``, of the tokenizer, or of the family, else None.

    Raises:
        UserError: a token is chosen without a tokenizer, or token and id disagree; a checkpoint of a family has none.
    """
    added = {} if tokenizer is None else tokenizer.get_vocab()
    if token is not None:
        if tokenizer is None:
            raise UserError(
                f"mask_token={token!r} needs a tokenizer, but the checkpoint has none; write mask_id instead"
            )
        found = added.get(token)
        if id_ is not None and found != id_:
            raise UserError(f"mask_token={token!r} has the id {found} but mask_id={id_}; write one of the two")
        if found is None and family is not None and family.mask_id is not None:
            raise UserError(
                f"mask_token={token!r} is not in the tokenizer of this {family.title} checkpoint, which was trained "
                "with a mask token and gets no new one; write one of its own tokens, mask_id=…, or nothing"
            )
        return found
    if id_ is not None:
        return id_
    written = _written_mask(config, tokenizer)
    if written is not None or family is None:
        return written
    if family.mask_id is not None and family.mask_id < rows:
        return family.mask_id
    looked = f"mask_token_id in config.json, the tokenizer's mask token, added tokens such as {KNOWN_MASKS[0]}"
    of_family = "" if family.mask_id is None else f", and {family.title}'s own id {family.mask_id} (of {rows} rows)"
    raise UserError(
        f"expected a mask token in this {family.title} checkpoint, found none; looked for {looked}{of_family}; write "
        "mask_id=… or mask_token=…"
    )


def _written_mask(config: dict[str, Any], tokenizer: Tokenizer | None) -> int | None:
    """Return the mask token's id that the files of a checkpoint state, or None."""
    in_config = (config.get("mask_token_id"), config.get("text_mask_token_id"))
    for written in ((config.get("unmask") or {}).get("mask_id"), *in_config):
        if written is not None:
            if type(written) is not int:
                raise UserError(
                    f"config.json: expected a whole number for mask_token_id, found {shorten(repr(written), 60)}; "
                    "write the id of the mask token"
                )
            return written
    if tokenizer is None:
        return None
    if tokenizer.mask_token_id is not None:
        return int(tokenizer.mask_token_id)
    special = tokenizer.get_added_vocab()  # an ordinary word may be spelt "[MASK]"
    return next((special[name] for name in KNOWN_MASKS if name in special), None)


def add_mask(model: StockModel, tokenizer: Tokenizer | None, token: str | None) -> tuple[int, int]:
    """Add a mask token to a model: it gets the first spare row of the embedding, or a new row.

    transformers draws random numbers for a new row; the caller saves and restores the global state.

    Args:
        model: its embedding and LM head are changed in place.
        tokenizer: gets the token too.
        token: its text; ``<|mask|>`` if None.

    Returns:
        The token's id, and how many embedding rows were added.

    Raises:
        UserError: there is no tokenizer.
    """
    if tokenizer is None:
        raise UserError("found no mask token in config.json and no tokenizer to add one to; write mask_id=…")
    tokenizer.add_special_tokens({"mask_token": token or ADDED_MASK})
    mask_id: int = tokenizer.get_vocab()[token or ADDED_MASK]
    rows = model.get_input_embeddings().weight.shape[0]
    added = max(0, mask_id + 1 - rows)
    if added:
        model.resize_token_embeddings(rows + added, mean_resizing=False)
    start_row(model, mask_id, known=min(mask_id, rows))
    return mask_id, added


@torch.no_grad()
def start_row(model: StockModel, row: int, *, known: int) -> None:
    """Set a token's row to the mean of the known ones plus noise of a tenth of their spread, in embedding and head.

    Args:
        model: one that has the row already; changed in place.
        row: of the new token.
        known: rows below this one belong to tokens that were trained.
    """
    generator = torch.Generator().manual_seed(row)
    tables = [model.get_input_embeddings().weight]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not tables[0]:
        tables.append(head.weight)
    for weight in tables:
        mean = weight[:known].mean(0, dtype=torch.float32)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        weight[row] = (mean + 0.1 * weight[:known].float().std() * noise).to(weight.dtype)


def find_ends(
    config: dict[str, Any],
    generation: dict[str, Any],
    tokenizer: Tokenizer | None,
    *,
    rows: int,
    family: Family | None = None,
) -> Ends:
    """Return the end tokens and the filler, from the configuration, the tokenizer and its chat template.

    Args:
        config: the checkpoint's ``config.json``.
        generation: its ``generation_config.json``, may be empty.
        tokenizer: None where there is none.
        rows: of the embedding; ids beyond them, the defaults of another vocabulary, are left out.
        family: of the checkpoint, whose ends are taken where no file names one.

    Returns:
        The tokens that end an answer, and the filler: those of ``config.unmask``, if it names them.

    Raises:
        UserError: no end-of-text token is named anywhere.
    """
    facts = config.get("unmask") or {}
    if {"eos_ids", "filler_id"} <= facts.keys():
        return Ends(eos_ids=tuple(facts["eos_ids"]), filler_id=facts["filler_id"])
    written = [*_as_list(generation.get("eos_token_id")), *_as_list(config.get("eos_token_id"))]
    turn_end = None
    if tokenizer is not None:
        turn_end = _turn_end(tokenizer)
        eos = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
        written = [*_as_list(turn_end), *_as_list(eos), *written]
    written = [token for token in written if 0 <= token < rows]
    if not written and family is not None:  # their padding is the end of text too
        padding = config.get("pad_token_id") if tokenizer is None else tokenizer.pad_token_id
        written = [token for token in (*family.eos_ids, *_as_list(padding)) if 0 <= token < rows]
    if not written:
        raise UserError(
            "found no end-of-text token in config.json, generation_config.json or the tokenizer; name one there"
        )
    filler = _filler(config, tokenizer, written, turn_end)
    return Ends(eos_ids=tuple(dict.fromkeys([*written, filler])), filler_id=filler)


def _filler(config: dict[str, Any], tokenizer: Tokenizer | None, ends: list[int], turn_end: int | None) -> int:
    candidates = [e for e in ends if e != turn_end]
    if tokenizer is not None:
        vocabulary = tokenizer.get_vocab()
        eos = tokenizer.eos_token_id
        named = [vocabulary[name] for name in END_OF_TEXT if name in vocabulary]
        padding = [] if tokenizer.pad_token_id in (None, turn_end) else [tokenizer.pad_token_id]
        candidates = [*([eos] if eos is not None and eos != turn_end else []), *named, *padding, *candidates]
    return [*candidates, *_as_list(config.get("pad_token_id")), *ends][0]


def _turn_end(tokenizer: Tokenizer) -> int | None:
    """Return the special token that the chat template writes after an assistant's text, or None."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _PROBE_ANSWER}]
    try:
        text = render_chat(tokenizer, chat)
    except TemplateRefusedError:  # the eos token remains
        return None
    _, found, after = text.rpartition(_PROBE_ANSWER)
    tokens = tokenizer(after, add_special_tokens=False)["input_ids"] if found else []
    special = {*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids}
    return next((token for token in tokens if token in special), None)


def _as_list(value: Any) -> list[int]:
    if value is None:
        return []
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    for token in values:
        if type(token) is not int:
            raise UserError(f"expected ids of tokens as eos_token_id and the like, found {shorten(repr(token), 60)}")
    return values


def check_mask(mask_id: int, *, rows: int, ends: Ends | Facts, pad_id: int | None) -> None:
    """Check that the model can embed the mask token, and that it is not an end or padding token too.

    Args:
        mask_id: of the mask token.
        rows: of the embedding.
        ends: end tokens of the model.
        pad_id: of the padding token, or None.

    Raises:
        UserError: it has no row, or is another token too.
    """
    if not 0 <= mask_id < rows:
        raise UserError(
            f"the mask token's id must be below the embedding's {rows} rows, found {mask_id}; write mask_id=…"
        )
    clash = "end-of-text" if mask_id in ends.eos_ids else "padding" if mask_id == pad_id else None
    if clash:
        raise UserError(f"the mask token's id {mask_id} is also the {clash} token; write mask_id=… or mask_token=…")
