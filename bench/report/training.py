"""What was measured while the models were trained, over their steps, and which step ships."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pocketgan.bench.report import labels
from pocketgan.bench.report.charts import svg
from pocketgan.bench.report.tables import NOTHING, Cell, Column, Table

TOP, BOTTOM = 12, 172
# Of the width, in percent: what the labels of the values leave.
LEFT, RIGHT = 13.0, 97.0
_TO = "to the target of pairs, else to the teacher's picture; lower is better"
MEANINGS = {
    "l1": f"mean absolute difference on [-1, 1] images, {_TO}",
    "lpips": f"perceptual distance, {_TO}",
    "fid": "Fréchet inception distance to the targets, lower is better; of few images comparable here alone",
}


@dataclass(frozen=True)
class Course:
    """The evaluations of a training.

    Attributes:
        name: of the model.
        role: teacher or student.
        steps: of the whole training.
        values: by step, in order, what was measured by metric.
        shipped_step: the step whose network ships.
        best_by: the metric that chose it; None where the last step ships.
        images: on how many it was measured, which were kept from the training.
    """

    name: str
    role: str
    steps: int
    values: Sequence[tuple[int, Mapping[str, float]]]
    shipped_step: int
    best_by: str | None
    images: int

    def line(self, metric: str) -> list[tuple[int, float]]:
        """(step, value) where that was measured."""
        return [(step, values[metric]) for step, values in self.values if metric in values]


def metric_name(metric: str) -> str:
    return labels.quality_label(metric).name


def metrics_of(courses: Sequence[Course]) -> list[str]:
    """What was measured in any of them, in the order of the other tables."""
    return labels.quality_order({metric for course in courses for _, values in course.values for metric in values})


def course_table(courses: Sequence[Course]) -> Table:
    """A row for each training: which step ships, and what was measured of it, beside the last and the best step's."""
    metrics = metrics_of(courses)
    columns = [Column("Model", number=False), Column("Shipped", number=False)]
    columns += [Column(metric_name(metric), "of the step that ships") for metric in metrics]
    rows = []
    for course in courses:
        why = "the last" if course.best_by is None else f"the best by {metric_name(course.best_by)}"
        images = f"on {labels.plural(course.images, 'image')} that it was not trained on"
        row = [
            Cell(course.name, images, role=course.role),
            Cell(f"step {course.shipped_step:,} of {course.steps:,}", why),
        ]
        rows.append((*row, *(_value_cell(course, metric) for metric in metrics)))
    notes = tuple(
        (metric_name(metric), MEANINGS.get(metric, labels.quality_label(metric).meaning)) for metric in metrics
    )
    return Table("What was measured while training", tuple(columns), tuple(rows), notes)


def _value_cell(course: Course, metric: str) -> Cell:
    line = course.line(metric)
    shipped = dict(line).get(course.shipped_step)
    if not line or shipped is None:
        return NOTHING
    note = "" if course.shipped_step == line[-1][0] else f"last {labels.significant(line[-1][1])}"
    return Cell(labels.significant(shipped), note, shipped)


def course_chart(courses: Sequence[Course], metric: str) -> Markup:
    """One line a training over its steps, a dot an evaluation, a ring where the step ships."""
    lines = [(course, line) for course in courses if (line := course.line(metric))]
    low, high = _bounds([value for _, line in lines for _, value in line])
    last = max(step for _, line in lines for step, _ in line)

    def x(step: int) -> float:
        return LEFT + (RIGHT - LEFT) * step / last

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)

    parts = [_grid_line(y(at), at) for at in _round_values(low, high)]
    parts += [_step_label(x(step), step) for step in (0, last)]
    for course, line in lines:
        path = "M" + "L".join(f"{10 * x(step):.1f} {y(value):.1f}" for step, value in line)
        parts.append(
            Markup(
                '<svg x="0" y="0" width="100%" height="{height}" viewBox="0 0 1000 {height}" '
                'preserveAspectRatio="none"><path class="course role-{role}" d="{path}"/></svg>'
            ).format(height=BOTTOM, role=course.role, path=path)
        )
        for step, value in line:
            parts.append(
                Markup(
                    '<circle class="mark role-{}" cx="{:.2f}%" cy="{:.1f}" r="3"><title>step {:,}: {}</title></circle>'
                ).format(course.role, x(step), y(value), step, labels.significant(value))
            )
            if step == course.shipped_step:
                parts.append(
                    Markup('<circle class="shipped role-{}" cx="{:.2f}%" cy="{:.1f}" r="7"/>').format(
                        course.role, x(step), y(value)
                    )
                )
    summary = "; ".join(
        f"{course.name} from {labels.significant(line[0][1])} at step {line[0][0]:,} "
        f"to {labels.significant(line[-1][1])} at step {line[-1][0]:,}"
        for course, line in lines
    )
    return svg(BOTTOM + 24, f"{metric_name(metric)} while training", summary, parts)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """What the chart spans: the values and a little more."""
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def _round_values(low: float, high: float) -> list[float]:
    """Three to five round values in between."""
    step = 10.0 ** math.floor(math.log10(high - low))
    step = next(step * factor for factor in (0.2, 0.25, 0.5, 1, 2) if (high - low) / (step * factor) <= 5)
    return [float(f"{index * step:.6g}") for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _grid_line(y: float, value: float) -> Markup:
    return Markup(
        '<line class="grid" x1="{left}%" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
        '<text class="axis" x="{label}%" y="{text:.1f}" text-anchor="end">{value:g}</text>'
    ).format(left=LEFT, label=LEFT - 2, y=y, text=y + 4, value=value)


def _step_label(x: float, step: int) -> Markup:
    anchor = "end" if step else "middle"
    text = f"step {step:,}" if step else "0"
    return Markup('<text class="axis" x="{:.2f}%" y="{}" text-anchor="{}">{}</text>').format(
        x + 3 * (step > 0), BOTTOM + 18, anchor, text
    )
