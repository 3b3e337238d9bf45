"""Quality against latency: which models are beaten by none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pocketgan.bench.report import labels
from pocketgan.bench.report.charts import LINE, Series, position, short, svg, tick, ticks

TOP, BOTTOM = 26, 246
LEAST_RADIUS, MOST_RADIUS = 5.0, 18.0


@dataclass(frozen=True)
class Point:
    """A model: its series, its quality distance (lower is better) and its multiply-adds, None where not known."""

    series: Series
    distance: float
    macs: int | None = None

    @property
    def ms(self) -> float:
        return 1000 / self.series.fps


def quality_against_latency(points: Sequence[Point], quality_name: str, title: str) -> Markup:
    """One dot a model: median frame time on a log axis across, quality distance upward, MACs as its area. A line joins
    those that no other model beats in both."""
    low, high = min(point.ms for point in points) / 1.25, max(point.ms for point in points) * 1.25
    worst = max(point.distance for point in points) * 1.25 or 1.0

    def place(point: Point) -> tuple[float, float]:
        return position(point.ms, low, high), BOTTOM - (BOTTOM - TOP) * point.distance / worst

    parts = [tick(position(at, low, high), at, TOP, BOTTOM) for at in ticks(low, high)]
    parts.append(Markup('<text class="axis" x="0" y="14">{} (down is better)</text>').format(quality_name))
    parts.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(BOTTOM))
    parts += _front([place(point) for point in best(points)])
    lowest_label = TOP - 30.0
    places = [place(point)[0] for point in points]
    for point in sorted(points, key=lambda point: -point.distance):
        x, y = place(point)
        radius = _radius(point, points)
        anchor = "end" if x > 60 else "start"
        text = f"{short(point.series.name, LINE // 2)} · {labels.significant(point.distance)}"
        lowest_label = max(lowest_label + 18, y + 4)
        # A label to the right begins behind the last of the dots that nearly touch.
        x_label = x if anchor == "end" else max(other for other in places if other - x < 6)
        parts.append(
            Markup(
                '<circle class="mark role-{role}" cx="{x:.2f}%" cy="{y:.1f}" r="{radius:.1f}"/>'
                '<text class="name" x="{x_label:.2f}%" y="{label:.1f}" dx="{dx}" text-anchor="{anchor}">{text}</text>'
            ).format(
                role=point.series.role,
                x=x,
                x_label=x_label,
                y=y,
                radius=radius,
                label=lowest_label,
                dx=-radius - 6 if anchor == "end" else radius + 6,
                anchor=anchor,
                text=text,
            )
        )
    summary = "; ".join(
        f"{point.series.name} {labels.milliseconds(point.ms)} at {labels.significant(point.distance)}"
        for point in points
    )
    return svg(BOTTOM + 24, title, summary, parts)


def best(points: Sequence[Point]) -> list[Point]:
    """The Pareto front, the fastest first: no other point is as fast and as good and better in one of the two."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.ms, point.distance)):
        if not front or point.distance < front[-1].distance:
            front.append(point)
    return front


def _radius(point: Point, points: Sequence[Point]) -> float:
    most = max((one.macs or 0 for one in points), default=0)
    if not most or not point.macs:
        return 7.0
    return max(LEAST_RADIUS, MOST_RADIUS * math.sqrt(point.macs / most))


def _front(places: Sequence[tuple[float, float]]) -> list[Markup]:
    pairs = itertools.pairwise(places)
    line = Markup('<line class="front" x1="{:.2f}%" y1="{:.1f}" x2="{:.2f}%" y2="{:.1f}"/>')
    return [line.format(*before, *after) for before, after in pairs]
