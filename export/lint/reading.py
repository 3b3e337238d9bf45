"""What an accelerator takes of a graph, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch.fx import Node

from pocketgan.export.lint.advice import advice
from pocketgan.export.origins import operator, origin


@dataclass(frozen=True)
class Fall:
    """Something of a model that an accelerator leaves to others.

    Attributes:
        layer: as the model calls it, such as `ReflectionPad2d` or `interpolate`.
        count: how often the model does it.
        operators: those of the graph that are left, and how many of each.
        where: paths of the modules that do it.
        why, change: for people.
        since, source: the system that a published observation holds for, and where it was published.
    """

    layer: str
    count: int
    operators: dict[str, int]
    where: list[str]
    why: str
    change: str
    since: str = ""
    source: str = ""


@dataclass(frozen=True)
class Reading:
    """What an accelerator takes of one form of a model.

    Attributes:
        taken, total: operators.
        subgraphs: pieces in which it takes them.
        falls: what is left, the most frequent first.
        unchecked: operators that are counted as taken although the accelerator may refuse some of their attributes.
        error: why the form cannot be exported at all.
    """

    taken: int = 0
    total: int = 0
    subgraphs: int = 0
    falls: list[Fall] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    error: str | None = None

    @property
    def fraction(self) -> float:
        """Share of the operators that the accelerator takes."""
        return self.taken / self.total if self.total else 0.0

    def to_json(self) -> dict[str, Any]:
        if self.error is not None:
            return {"error": self.error}
        return {"delegated_fraction": self.fraction, **asdict(self)}


@dataclass(frozen=True)
class Left:
    """One operator that is left, and where in the model it comes from."""

    layer: str
    call: str
    operator: str
    path: str
    why: str
    since: str = ""
    source: str = ""
    change: str = ""


def left(node: Node, why: str, **more: str) -> Left:
    """A graph's node that is left."""
    place = origin(node)
    name = operator(node).removesuffix("_copy")
    call, function = node.meta.get("torch_fn") or ("", "")
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    is_layer = bool(stack) and str(stack[-1][1]).startswith("torch.nn.modules.")
    called = function.rpartition(".")[2].replace("__getitem__", "x[...]")
    layer = place.kind if is_layer else called or name
    return Left(layer, f"{place.path} {call or node.name}", name, place.path, why, **more)


def grouped(nodes: Sequence[Left], accelerator: str) -> list[Fall]:
    """The nodes that are left by the layer that they come from, the most frequent first."""
    groups: dict[tuple[str, ...], list[Left]] = {}
    for node in nodes:
        groups.setdefault((node.layer, node.source), []).append(node)
    falls = [_fall(group, accelerator) for group in groups.values()]
    return sorted(falls, key=lambda fall: -sum(fall.operators.values()))


def _fall(group: list[Left], accelerator: str) -> Fall:
    operators: dict[str, int] = {}
    reasons: dict[str, list[str]] = {}
    for node in group:
        operators[node.operator] = operators.get(node.operator, 0) + 1
        operators_of_reason = reasons.setdefault(node.why, [])
        if node.operator not in operators_of_reason:
            operators_of_reason.append(node.operator)
    first = group[0]
    return Fall(
        layer=first.layer,
        count=len({node.call for node in group}),
        operators=operators,
        where=list(dict.fromkeys(node.path for node in group)),
        why=_reasons(reasons, accelerator),
        change=first.change or advice(first.layer, list(operators)),
        since=first.since,
        source=first.source,
    )


def _reasons(reasons: Mapping[str, list[str]], accelerator: str) -> str:
    """`XNNPACK takes no index or arange; abs and sub: invalid dtype`."""
    parts = []
    for why, names in reasons.items():
        parts.append(f"{accelerator} takes no {_listed(names, 'or')}" if not why else f"{_listed(names, 'and')}: {why}")
    return "; ".join(sorted(parts, key=lambda part: "takes no" not in part))


def _listed(names: list[str], word: str) -> str:
    if len(names) > 3:
        return f"{', '.join(names[:3])} {word} {len(names) - 3} more"
    return f" {word} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
