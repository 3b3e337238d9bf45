"""The search with everything that may ask for it: a budget in MACs, parameters or milliseconds, and widths that suit a
device. What needs a latency model gets it here; the searches themselves know only costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pocketgan.errors import BudgetError, ModelError
from pocketgan.recipe import units
from pocketgan.recipe.choices import BudgetBy, Widths

if TYPE_CHECKING:
    from torch import nn

    from pocketgan.bundle.manifest import Cost
    from pocketgan.export.source import ModelSource
    from pocketgan.training.generators import GeneratorSpec
    from pocketgan.training.search import SearchResult

LATENCY = "latency"
BY: tuple[str, ...] = get_args(BudgetBy)
WIDTHS = tuple(map(str, get_args(Widths)))


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
class SearchedStudent:
    """A student as it is handed to users.

    Attributes:
        spec: its architecture.
        cost, teacher_cost: at the spec's size.
        budget: in the unit of what it counts; milliseconds for a latency.
        seconds, evaluations, rule: of the search (`training.search.SearchResult`).
        predicted_ms, measured_ms: of a frame on the target; None without one.
        path: the file that holds it; None where none was written.
    """

    spec: GeneratorSpec
    cost: Cost
    teacher_cost: Cost
    budget: float
    seconds: float
    evaluations: int
    rule: str
    predicted_ms: float | None
    measured_ms: float | None
    path: Path | None


@dataclass(frozen=True)
class Student:
    """What a search gave, and how long it takes: predicted and measured milliseconds, None without a target."""

    result: SearchResult
    predicted_ms: float | None = None
    measured_ms: float | None = None


def parse_budget(text: str, by: str) -> float:
    """`2.6G` as a number, `12ms` as milliseconds where the budget is a latency.

    Raises:
        BudgetError: the text is something else.
    """
    try:
        number = units.parse_budget(text)
    except ValueError as error:
        raise BudgetError(f"--budget: {error}") from error
    assert isinstance(number, int | float)
    expected = units.budget_mismatch(by, number)
    if expected is not None:
        raise BudgetError(f"--budget is {expected} where --by is {by}, not {text!r}")
    return number


def search_student(
    source: ModelSource, wish: Wish, out: Path | None, seed: int = 0, inherit: bool = False
) -> SearchedStudent:
    """Prune what `source` holds (a generator's spec becomes a fresh, seeded network) and write the student.

    Raises:
        BudgetError, ModelError, DeviceError, ExportError: as `find_student`; or the source is no generator of ours.
    """
    from pocketgan.export.source import source_spec
    from pocketgan.training import removal
    from pocketgan.training.cost import cost
    from pocketgan.training.generators import build
    from pocketgan.training.generators.files import load_generator, save_generator

    spec = source_spec(source)
    if spec is None:
        raise ModelError(f"{source.called} cannot be pruned: pocketgan does not know its layers")
    module = load_generator(Path(source.value)).module if source.kind == "file" else build(spec, seed)
    student = find_student(module, spec, wish)
    result = student.result
    if out is not None:
        pruned = removal.inherit(module, spec, result.spec) if inherit else build(result.spec, seed)
        save_generator(out, pruned, result.spec, {"trained": "no"})
    return SearchedStudent(
        spec=result.spec,
        cost=cost(result.spec),
        teacher_cost=cost(spec),
        budget=wish.budget,
        seconds=result.seconds,
        evaluations=result.evaluations,
        rule=result.rule,
        predicted_ms=student.predicted_ms,
        measured_ms=student.measured_ms,
        path=out,
    )


def find_student(teacher: nn.Module, spec: GeneratorSpec, wish: Wish) -> Student:
    """Prune `teacher` to the wish.

    Raises:
        BudgetError: the budget is out of reach.
        ModelError: the network has no scales to prune by.
        DeviceError, ExportError: the target's latency cannot be measured here.
    """
    from pocketgan.latency.measuring import latency_model, measure_networks
    from pocketgan.latency.platform import Platform
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
        result = search_for_device(teacher, spec, cost, wish.budget, device, wish.least_width, unit)
    elif wish.widths == "1":
        result = search(teacher, spec, cost, wish.budget, wish.least_width, unit)
    else:
        result = search_multiples(teacher, spec, cost, wish.budget, int(wish.widths), wish.least_width, unit)
    return Student(result, model(result.spec), measure_networks([result.spec], platform)[0])
