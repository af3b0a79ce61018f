"""How evenly the routers of a mixture of experts spread the tokens over the experts while it trains."""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unmask.core.attention import PAD
from unmask.core.query import Query
from unmask.models import LoadedModel
from unmask.models.layer_groups import layer_groups


class RouterLoad:
    """Counts how many tokens each expert of each layer gets in the forwards that train.

    Inside its context, a hook on each router notes which experts it chooses. Counted are the columns that are no
    padding, in forwards with a gradient: no evaluation, no scoring pass, and no forward that is repeated to save
    memory. A dense model has no routers: it gets no hook, and ``values`` returns nothing.

    Args:
        lm: the model that is trained.
    """

    def __init__(self, lm: LoadedModel) -> None:
        self.lm = lm
        self._routers = list(layer_groups(lm.stock).routers.values())
        self._chosen: dict[int, tuple[Tensor, int]] = {}
        self._loads: dict[int, Float[Tensor, " E"]] = {}
        self._hooks: list[Any] = []
        self._before: Callable[[Query, int, bool], None] | None = None

    def __enter__(self) -> "RouterLoad":
        """Attach the hooks, if there are routers."""
        if self._routers:
            self._hooks = [router.register_forward_hook(self._hook(i)) for i, router in enumerate(self._routers)]
            self._before, self.lm.on_forward = self.lm.on_forward, self._count
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hooks from the routers; forwards are counted no longer."""
        for hook in self._hooks:
            hook.remove()
        if self._routers:
            self.lm.on_forward = self._before

    def values(self, total: Callable[[Tensor], Tensor] = lambda load: load) -> dict[str, float]:
        """Return how even the load was since the last call, and begin anew.

        With p_e the share of a layer's choices that fell on its expert e, of E experts: ``router_entropy`` is the mean
        over layers of -sum_e p_e ln p_e / ln E, 1 where every expert gets the same, and ln k / ln E where all tokens
        go to the same k experts. ``busiest_expert`` is the largest E p_e of all layers: how many times its even share
        the busiest expert got, from 1 to E / k.

        Args:
            total: returns the sum of a tensor over all processes; called on every process if there are routers.

        Returns:
            The two numbers by name; nothing for a dense model, and where no token was counted.
        """
        loads = [total(load).double().cpu() for _, load in sorted(self._loads.items())]
        self._loads = {}
        shares = [load / load.sum() for load in loads if float(load.sum()) > 0 and len(load) > 1]
        if not shares:
            return {}
        even = [float(torch.special.entr(share).sum()) / math.log(len(share)) for share in shares]
        return {
            "router_entropy": sum(even) / len(even),
            "busiest_expert": max(float(share.max()) * len(share) for share in shares),
        }

    def _hook(self, index: int) -> Callable[[nn.Module, Any, Any], None]:
        """Return a hook that stores the experts, [tokens, k], that a router returns beside its logits, [tokens, E]."""

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            del module, inputs
            found = [each for each in output if isinstance(each, Tensor)] if isinstance(output, tuple) else []
            chosen = [each for each in found if not each.is_floating_point()]
            if chosen:
                self._chosen[index] = (chosen[0].detach(), found[0].shape[-1])

        return hook

    def _count(self, query: Query, queried: int, training: bool) -> None:
        """Add what the routers chose in the forward that has just ended, if it is one that trains."""
        if self._before is not None:
            self._before(query, queried, training)
        noted, self._chosen = self._chosen, {}
        if not training:
            return
        is_real = (query.columns.segment != PAD).flatten().float()
        for index, (chosen, experts) in noted.items():
            if chosen.numel() % len(is_real):
                continue
            chosen = chosen.reshape(len(is_real), -1)
            load = self._loads.setdefault(index, torch.zeros(experts, device=chosen.device))
            load.index_add_(0, chosen.flatten(), is_real.repeat_interleave(chosen.shape[1]))
