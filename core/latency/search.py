"""The search with everything that may ask for it: a budget in MACs, parameters or milliseconds, and widths that suit a
device. What needs a latency model gets it here; the searches themselves know only costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketgan.errors import BudgetError

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.training.generators import GeneratorSpec
    from pocketgan.training.search import SearchResult

LATENCY = "latency"
BY = ("macs_by_output", "macs", "params", LATENCY)
WIDTHS = ("1", "4", "8", "16", "auto")


@dataclass(frozen=True)
class Wish:
    """What a search is asked for.

    Attributes:
        by: what the budget counts.
        budget: in that unit; milliseconds for `latency`.
        widths: multiples that widths are rounded to; `auto`: those that pay on the device, with the branches that do.
            None: `auto` where there is a target, else the paper's rule.
        target: the exported form whose latency counts; None where none does.
        threads: of its runtime.
        refresh: time the device's layers again.
    """

    by: str
    budget: float
    least_width: int = 16
    widths: str | None = None
    target: str | None = None
    threads: int = 1
    refresh: bool = False

    def __post_init__(self) -> None:
        """Raises BudgetError where the parts do not go together."""
        if self.by not in BY:
            raise BudgetError(f"--by takes {', '.join(BY)}, not {self.by!r}")
        if self.widths is not None and self.widths not in WIDTHS:
            raise BudgetError(f"--widths takes {', '.join(WIDTHS)}, not {self.widths!r}")
        if self.target is None and (self.by == LATENCY or self.widths == "auto"):
            asks = "--by latency" if self.by == LATENCY else "--widths auto"
            raise BudgetError(f"{asks} needs to know the runtime: --target onnx, for example")


@dataclass(frozen=True)
class Student:
    """What was found, and how long it takes: predicted and measured milliseconds, None without a target."""

    found: SearchResult
    predicted_ms: float | None = None
    measured_ms: float | None = None


def parse_budget(text: str, by: str) -> float:
    """`2.6G` as a number, `12ms` as milliseconds where the budget is a latency.

    Raises:
        BudgetError: the text is something else.
    """
    from pocketgan.recipe import sections

    try:
        number = sections.parse_budget(text)
    except ValueError as error:
        raise BudgetError(f"--budget: {error}") from error
    assert isinstance(number, int | float)
    if (by == LATENCY) != isinstance(number, float):
        expected = "a latency is a time such as 12ms" if by == LATENCY else "a cost is a number such as 2.6G"
        raise BudgetError(f"--budget: {expected}, not {text!r}")
    return number


def find_student(teacher: nn.Module, spec: GeneratorSpec, wish: Wish) -> Student:
    """Prune `teacher` to the wish.

    Raises:
        BudgetError: the budget is out of reach.
        ModelError: the network has no scales to prune by.
        DeviceError, ExportError: the target's latency cannot be measured here.
    """
    from pocketgan.latency.measuring import Platform, latency_model, measure_networks
    from pocketgan.training.cost import cost_function
    from pocketgan.training.hardware import Device, search_for_device, search_multiples
    from pocketgan.training.search import check_prunable, search

    check_prunable(spec)
    if wish.target is None:
        cost = cost_function(wish.by)  # type: ignore[arg-type]
        if wish.widths in (None, "1"):
            return Student(search(teacher, spec, cost, wish.budget, wish.least_width))
        return Student(search_multiples(teacher, spec, cost, wish.budget, int(wish.widths), wish.least_width))
    platform = Platform(wish.target, wish.threads)
    model = latency_model(spec, platform, wish.refresh)
    by_latency = wish.by == LATENCY
    cost = model if by_latency else cost_function(wish.by)  # type: ignore[arg-type]
    unit = " ms" if by_latency else ""
    if wish.widths in (None, "auto"):
        device = Device(model, cost_function("macs") if by_latency else cost)
        found = search_for_device(teacher, spec, cost, wish.budget, device, wish.least_width, unit)
    elif wish.widths == "1":
        found = search(teacher, spec, cost, wish.budget, wish.least_width, unit)
    else:
        found = search_multiples(teacher, spec, cost, wish.budget, int(wish.widths), wish.least_width, unit)
    return Student(found, model(found.spec), measure_networks([found.spec], platform)[0])
