"""Sampling and caches: the same tokens on both devices."""

import time
import warnings
from collections.abc import Iterator

import torch
from findings import Finding, Setting, none_differs, told, within
from small import BLOCK, rows, scratch, twin
from torch import Tensor

from unmask.core.random import Draws
from unmask.decoding import Decoder, decode, measure_drift
from unmask.generate import generate
from unmask.models import LoadedModel

DECODERS = {
    "greedy": {},
    "threshold": {"threshold": 0.3},
    "gumbel": {"temperature": 0.8},
    "nucleus": {"proposal": {"name": "nucleus", "temperature": 0.8, "top_p": 0.9}},
    "dream, by coins": {"selection": {"name": "dream", "alg": "origin"}, "temperature": 1.0},
    "remdm": {"revision": {"name": "remdm", "eta": 0.3}, "temperature": 1.0},
    "adablock": {"blocks": {"name": "adablock", "delimiters": [3, 5], "threshold": 0.1}},
}
BECAUSE = "the same draws, and logits that differ by rounding only: the same choice unless two are all but equal"


def tokens(lm: LoadedModel, setting: Setting, **fields: object) -> Tensor:
    """Decode, and return what stands on the canvases."""
    batch = rows(lm, setting, answers=False)
    resolved = Decoder(**{"block_size": BLOCK, "stop": "never", "cache": "none", **fields}).resolve()
    *_, last = decode(lm, batch, resolved, draws=Draws(seed=7))
    return last.state.ids[batch.is_canvas].cpu()


def sampling(setting: Setting) -> Iterator[Finding]:
    """One seed, two devices."""
    here = scratch(setting)
    there = twin(here, setting.device)
    for name, fields in DECODERS.items():
        differing = int((tokens(here, setting, **fields) != tokens(there, setting, **fields)).sum())
        yield none_differs(f"{name}, tokens", differing, BECAUSE)
    options = {"max_new_tokens": 16, "block_size": BLOCK, "seed": 3, "temperature": 1.0, "stop": "eos"}
    for name, more in {"generate, 2 samples": {"n": 2}, "generate, smc": {"search": "smc"}}.items():
        one, two = (generate(lm, ["1+2=", "ab"], **options, **more).texts for lm in (here, there))
        yield none_differs(f"{name}, texts", sum(a != b for a, b in zip(one, two, strict=True)), BECAUSE)


def caches(setting: Setting) -> Iterator[Finding]:
    """The exact cache changes nothing; the others do the same on both devices, and say how far they lead away."""
    exact = twin(scratch(setting, attention="block_causal", block_size=BLOCK), setting.device)
    for name, fields in {"greedy": {}, "gumbel": {"temperature": 0.8}}.items():
        cached, plain = (tokens(exact, setting, cache=cache, **fields) for cache in ("block", "none"))
        because = "a finished block is never seen otherwise again"
        yield none_differs(f"block, {name}, tokens against none", int((cached != plain).sum()), because)
    for shift in (False, True):
        here = scratch(setting, shift=shift)
        there = twin(here, setting.device)
        for cache in ("prefix", "dual", "dkv"):
            name = f"{cache}{', shifted' if shift else ''}"
            one, two = (tokens(lm, setting, cache=cache) for lm in (here, there))
            yield none_differs(f"{name}, tokens", int((one != two).sum()), BECAUSE)
            yield within(f"{name}, masks left", int((two == there.mask_id).sum()), 0, "every place is filled")
            resolved = Decoder(block_size=BLOCK, stop="never", cache=cache).resolve()
            drift = measure_drift(there, rows(there, setting, answers=False), resolved, draws=Draws(seed=7))
            yield told(f"{name}, drift", vars(drift), "largest logit difference; shares of places and of text")


def waits(setting: Setting) -> Iterator[Finding]:
    """How often a step waits for the device, and how long it takes; nothing is demanded."""
    for cache, attention in (("none", "bidirectional"), ("block", "block_causal"), ("dual", "bidirectional")):
        lm = twin(scratch(setting, attention=attention), setting.device)
        batch = rows(lm, setting, answers=False)
        resolved = Decoder(block_size=BLOCK, stop="never", cache=cache).resolve()
        list(decode(lm, batch, resolved, draws=Draws(seed=7)))
        started = time.perf_counter()
        steps = len(list(decode(lm, batch, resolved, draws=Draws(seed=7))))
        yield told(f"{cache}, a step", (time.perf_counter() - started) * 1000 / steps, "milliseconds")
        if setting.on_gpu:
            yield told(f"{cache}, waits a step", _waits(lm, batch, resolved) / steps, "synchronising operations")


def _waits(lm: LoadedModel, batch: object, resolved: object) -> int:
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for _ in decode(lm, batch, resolved, draws=Draws(seed=7)):
                pass
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(each.message) for each in noted)
