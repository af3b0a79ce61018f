"""Two-way rules between the names of released weights and those of a stock transformers class.

A rule says of a released tensor where it goes: to one stock tensor, to several that lie one after the other along its
first axis (a fused query, key and value), or to a part of one (an expert of a stack). Read backwards, the same rules
write a stock model under the released names.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

Index = tuple[int | slice, ...]
Shapes = Mapping[str, Sequence[int]]
_VARIABLE = re.compile(r"\{(\w+)\}")
_WILDCARDS = {"layer": r"\d+", "expert": r"\d+", "kind": r"weight|bias", "rest": r".+"}


@dataclass(frozen=True)
class Rule:
    """Where a released tensor goes.

    Args:
        released: its name; ``{layer}``, ``{expert}``, ``{kind}`` (weight or bias) and ``{rest}`` stand for what varies.
        stock: name of the stock tensor, or names of those that it holds one after the other along its first axis.
            Where the stock name has no ``{expert}``, the tensor is that entry of a stack [E, ...].
        half: 0 or 1 where the stock tensor of an expert holds two released ones [2M, d]: the gate first.
        is_stack: whether the released tensor holds all experts already, [E, M, d].
        is_read_only: whether the name is only read: models are written by another rule.
    """

    released: str
    stock: str | tuple[str, ...]
    half: int | None = None
    is_stack: bool = False
    is_read_only: bool = False

    @property
    def stock_names(self) -> tuple[str, ...]:
        """Names of the stock tensors, one or more."""
        return (self.stock,) if isinstance(self.stock, str) else self.stock

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What matches the released name."""
        return _pattern(self.released)

    @cached_property
    def stock_patterns(self) -> tuple[re.Pattern[str], ...]:
        """What matches each stock name."""
        return tuple(_pattern(name) for name in self.stock_names)

    def index(self, found: Mapping[str, str], shape: Sequence[int]) -> Index:
        """Return which part of a stock tensor of this shape the released tensor fills; () for all of it."""
        is_entry = "{expert}" in self.released and "{expert}" not in self.stock_names[0]
        if not is_entry and not self.is_stack:
            return ()
        first: int | slice = int(found["expert"]) if is_entry else slice(None)
        if self.half is None:
            return (first,)
        width = shape[1] // 2
        return first, slice(self.half * width, (self.half + 1) * width)


@dataclass(frozen=True)
class Target:
    """A part of a stock tensor.

    Args:
        name: of the stock tensor.
        index: of the part; () for all of it.
    """

    name: str
    index: Index


@dataclass(frozen=True)
class WeightRules:
    """All rules of a family; the first that matches a name holds.

    Args:
        rules: of all its tensors.
    """

    rules: tuple[Rule, ...]

    def targets(self, name: str, shapes: Shapes) -> list[Target] | None:
        """Return where a released tensor goes.

        Args:
            name: of the released tensor.
            shapes: of the stock tensors by name.

        Returns:
            The parts that it fills, one after the other along its first axis; None if the model has no such tensor.
        """
        for rule in self.rules:
            if match := rule.pattern.fullmatch(name):
                found = match.groupdict()
                stock = [part.format(**found) for part in rule.stock_names]
                if not all(each in shapes for each in stock):
                    continue
                targets = [Target(each, rule.index(found, shapes[each])) for each in stock]
                if all(_is_inside(target, shapes) for target in targets):
                    return targets
        return None

    def released(self, shapes: Shapes) -> list[str]:
        """Return the released names of a whole model.

        Args:
            shapes: of its stock tensors by name.

        Returns:
            The names, each once, in the order of the stock tensors.

        Raises:
            KeyError: a stock tensor has no released name.
        """
        names: dict[str, None] = {}
        for stock, shape in shapes.items():
            found = list(self._released(stock, shape))
            if not found:
                raise KeyError(stock)
            names.update(dict.fromkeys(found))
        return list(names)

    def _released(self, stock: str, shape: Sequence[int]) -> Iterator[str]:
        for rule in self.rules:
            match = next((m for p in rule.stock_patterns if (m := p.fullmatch(stock))), None)
            if rule.is_read_only or match is None:
                continue
            is_entry = "{expert}" in rule.released and "{expert}" not in rule.stock_names[0]
            entries = [{"expert": e} for e in range(shape[0])] if is_entry else [{}]
            yield from (rule.released.format(**match.groupdict(), **entry) for entry in entries)
            if rule.half != 0:  # the rule of the gate is followed by that of its other half
                return

    def read(self, name: str, tensors: Mapping[str, Tensor], shapes: Shapes) -> Tensor:
        """Return a released tensor of a stock model.

        Args:
            name: of the released tensor.
            tensors: of the stock model by name.
            shapes: of these tensors by name.

        Returns:
            The tensor, contiguous.

        Raises:
            KeyError: the model has no such tensor.
        """
        targets = self.targets(name, shapes)
        if targets is None:
            raise KeyError(name)
        parts = [tensors[target.name][target.index] for target in targets]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).contiguous()


def same_names() -> WeightRules:
    """Return the rules of a family whose released names are the stock ones."""
    return WeightRules((Rule("{rest}", "{rest}"),))


def renamed(table: Mapping[str, str]) -> tuple[Rule, ...]:
    """Return a rule for each pair of a released name and its stock name, as ``Rule`` writes them."""
    return tuple(Rule(released, stock) for released, stock in table.items())


_MLP = "model.layers.{layer}.mlp.experts"
_HALVES = (("gate_proj", "gate_up_proj", 0), ("up_proj", "gate_up_proj", 1), ("down_proj", "down_proj", None))


def expert_rules(*, is_read_only: bool = False) -> tuple[Rule, ...]:
    """Return the rules of a layer's routed experts: released as one matrix each, in memory as stacks [E, ...].

    Args:
        is_read_only: models are written by other rules, such as ``stack_rules``.

    Returns:
        The rules of the gate, the up and the down projection.
    """
    return tuple(
        Rule(f"{_MLP}.{{expert}}.{name}.weight", f"{_MLP}.{stock}", half=half, is_read_only=is_read_only)
        for name, stock, half in _HALVES
    )


def stack_rules(*, is_read_only: bool) -> tuple[Rule, ...]:
    """Return the rules of experts that are released as three stacks [E, M, d] a layer.

    Args:
        is_read_only: models are written by other rules, such as ``expert_rules``.

    Returns:
        The rules of the gate, the up and the down projection.
    """
    return tuple(
        Rule(f"{_MLP}.{name}", f"{_MLP}.{stock}", half=half, is_stack=True, is_read_only=is_read_only)
        for name, stock, half in _HALVES
    )


class Filler:
    """Collects the tensors of a stock model, part by part, until each is whole.

    Args:
        rules: of the family.
        expected: stock name -> tensor of the right shape and dtype, on the meta device.
    """

    def __init__(self, rules: WeightRules, expected: Mapping[str, Tensor]) -> None:
        self.rules, self.expected = rules, expected
        self.shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
        self.weights: dict[str, Tensor] = {}
        self.unexpected: list[str] = []
        self._filled: dict[str, int] = {}

    def put(self, name: str, tensor: Tensor) -> tuple[str, Sequence[int], Sequence[int]] | None:
        """Put a released tensor where it goes; names that the model has not are collected in ``unexpected``.

        Args:
            name: of the released tensor.
            tensor: its values.

        Returns:
            None; or, where its shape is another, the stock name, the shape found and the shape wanted.
        """
        targets = self.rules.targets(name, self.shapes)
        if targets is None:
            self.unexpected.append(name)
            return None
        wanted = [self.expected[target.name][target.index].shape for target in targets]
        whole = [sum(shape[0] for shape in wanted), *wanted[0][1:]] if len(wanted) > 1 else list(wanted[0])
        if list(tensor.shape) != whole:
            return targets[0].name, tuple(tensor.shape), tuple(whole)
        parts = tensor.split([shape[0] for shape in wanted]) if len(wanted) > 1 else [tensor]
        for part, target in zip(parts, targets, strict=True):
            like = self.expected[target.name]
            self._filled[target.name] = self._filled.get(target.name, 0) + part.numel()
            if target.index == ():
                self.weights[target.name] = part.to(like.dtype).clone() if len(targets) > 1 else part.to(like.dtype)
                continue
            if target.name not in self.weights:
                self.weights[target.name] = torch.empty(like.shape, dtype=like.dtype)
            self.weights[target.name][target.index] = part.to(like.dtype)
        return None

    def missing(self) -> list[str]:
        """Return the stock names that were not filled, or only in part."""
        return sorted(n for n, tensor in self.expected.items() if self._filled.get(n, 0) < tensor.numel())

    def doubled(self) -> list[str]:
        """Return the stock names of which a part was filled twice."""
        return sorted(n for n, count in self._filled.items() if count > self.expected[n].numel())


def _pattern(name: str) -> re.Pattern[str]:
    pieces = _VARIABLE.split(name)
    seen: set[str] = set()
    text = ""
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            text += re.escape(piece)
        elif piece in seen:
            text += f"(?P={piece})"
        else:
            seen.add(piece)
            text += f"(?P<{piece}>{_WILDCARDS[piece]})"
    return re.compile(text)


def _is_inside(target: Target, shapes: Shapes) -> bool:
    """Return whether the entry of a stack that a target names exists."""
    if not target.index or not isinstance(target.index[0], int):
        return True
    return target.index[0] < shapes[target.name][0]
