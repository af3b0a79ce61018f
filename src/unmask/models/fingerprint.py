"""Tells one set of weights from another: what adapters and heads belong to."""

import hashlib

from unmask.models.denoiser import HEADS_ATTRIBUTE, LoadedModel

_SAMPLE = 512  # values per weight: enough that no two checkpoints agree, few enough to read at once


def fingerprint(lm: LoadedModel, *, signs: bool = False) -> str:
    """Hash a sample of every weight, but for the rows of tokens from the mask token on, which may have been added.

    It depends on names, shapes, dtype and values, not on how the base was sharded or stored.

    Args:
        lm: the model.
        signs: of the values only, which are the same in every dtype.
    """
    tables = {id(lm.model.get_input_embeddings().weight)}
    if lm.model.get_output_embeddings() is not None:
        tables.add(id(lm.model.get_output_embeddings().weight))
    digest = hashlib.sha256()
    for name, weight in sorted(lm.model.named_parameters()):
        if HEADS_ATTRIBUTE in name:
            continue
        known = weight.detach()
        if id(weight) in tables:
            known = known[: min(lm.mask_id, len(known) - lm.facts.added_rows)]
        flat = known.reshape(-1)
        sample = flat[:: max(1, flat.numel() // _SAMPLE)].float().cpu().contiguous()
        if signs:
            sample = sample.signbit()
        digest.update(f"{name}{tuple(known.shape)}".encode())
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()
