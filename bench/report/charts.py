"""Charts as inline SVG without a script. Positions are percentages of the width, so that text keeps its
size on a phone.

Colours come from the page's style sheet: a mark carries the class of its role, never a colour of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from pocketgan.bench.report import labels

FRAME_RATES = (30, 60)
BAR_ROW_PX = 52
RIDGE_PX = 56
STRIP_PX = 26
LABEL_PX = 22
TICKS_PX = 20
GAP_PX = 20
LINE_PX = 18
MOST_DOTS = 500
# Letters that fit on a line of a phone.
LINE = 46
BINS = 160


@dataclass(frozen=True)
class Series:
    """What a chart shows of one measured bundle."""

    name: str
    role: str
    fps: float
    bounds: tuple[float, float] | None
    times_ms: np.ndarray
    note: str = ""


def fps_bars(series: Sequence[Series], title: str) -> Markup:
    """Horizontal bars of frames per second from zero, with the 30 and 60 FPS lines and 95 % intervals as whiskers."""
    widest = max([FRAME_RATES[-1], *(item.fps if item.bounds is None else item.bounds[1] for item in series)])
    scale = 78 / widest
    extra = 0 if all(_fits(item.name, item.note) for item in series) else LINE_PX
    row_px = BAR_ROW_PX + extra
    height = LABEL_PX + row_px * len(series) + 4
    parts = [_rate_line(rate * scale, rate, LABEL_PX - 4, height) for rate in FRAME_RATES]
    for row, item in enumerate(series):
        parts.append(_bar(item, LABEL_PX + row * row_px, extra, scale))
    summary = "; ".join(f"{item.name} {labels.fps(item.fps)} FPS" for item in series)
    return svg(height, title, summary, parts)


def latency_distributions(series: Sequence[Series], title: str) -> Markup:
    """For each bundle the density of its frame times on a log axis, its median and p90, and every frame as a dot.

    All rows span the same ratio and their medians stand one below the other, so that a wider shape is a less steady
    model; each row has its own ticks in ms. A dot's height within its strip is its place in the run, the first frame
    on top, so that drift shows as a slope. More than MOST_DOTS frames are thinned evenly; the slowest and the fastest
    frame always stay.
    """
    medians = [float(np.median(item.times_ms)) for item in series]
    fastest = min(float(item.times_ms.min()) / median for item, median in zip(series, medians, strict=True))
    slowest = max(float(item.times_ms.max()) / median for item, median in zip(series, medians, strict=True))
    low, high = min(fastest, 0.95) * 0.99, max(slowest, 1.1) * 1.02
    extra = 0 if all(_fits(item.name, _figures(item)) for item in series) else LINE_PX
    row_px = LABEL_PX + extra + RIDGE_PX + STRIP_PX + TICKS_PX + GAP_PX
    parts = [
        _distribution(item, row * row_px, extra, median * max(low, 1e-3), median * high)
        for row, (item, median) in enumerate(zip(series, medians, strict=True))
    ]
    summary = "; ".join(
        f"{item.name}: median {labels.milliseconds(median)}, "
        f"90th percentile {labels.milliseconds(float(np.percentile(item.times_ms, 90)))}"
        for item, median in zip(series, medians, strict=True)
    )
    return svg(row_px * len(series) - GAP_PX + 4, title, summary, parts)


def svg(height: float, title: str, summary: str, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" role="img" width="100%" height="{height}" aria-label="{title}: {summary}">'
        "<title>{title}: {summary}</title>{parts}</svg>"
    ).format(height=math.ceil(height), title=title, summary=summary, parts=Markup("").join(parts))


def _bar(item: Series, y: float, extra: float, scale: float) -> Markup:
    top = y + extra
    parts = [
        _label(item.name, item.note, y + 16, extra),
        Markup('<rect class="mark role-{}" x="0" y="{}" width="{:.3f}%" height="18" rx="2"/>').format(
            item.role, top + 23, max(item.fps * scale, 0.15)
        ),
    ]
    end = item.fps
    if item.bounds is not None:
        low, high = item.bounds
        end = max(end, high)
        parts.append(
            Markup('<line class="whisker" x1="{:.3f}%" x2="{:.3f}%" y1="{y}" y2="{y}"/>').format(
                low * scale, high * scale, y=top + 32
            )
        )
    parts.append(
        Markup('<text class="value" x="{:.3f}%" dx="8" y="{}">{} FPS</text>').format(
            end * scale, top + 37, labels.fps(item.fps)
        )
    )
    return Markup("").join(parts)


def _fits(name: str, note: str) -> bool:
    return len(name) + len(note) <= LINE


def short(name: str, room: int) -> str:
    """The name, its middle left out where it is longer than `room`; the tables have it in full."""
    return name if len(name) <= room else f"{name[: room - 9]}…{name[-8:]}"


def _label(name: str, note: str, y: float, extra: float) -> Markup:
    """The name and its note on one line; on two where the chart gave every row `extra` height."""
    place = Markup(' x="0" dy="{}"').format(extra) if extra else Markup(' dx="5"')
    return Markup('<text class="name" x="0" y="{}">{}<tspan class="note"{}>{}</tspan></text>').format(
        y, short(name, LINE), place, note
    )


def _figures(item: Series) -> str:
    median, p90 = (float(value) for value in np.percentile(item.times_ms, [50, 90]))
    return f"median {labels.milliseconds(median)} · p90 {labels.milliseconds(p90)}"


def _rate_line(x: float, rate: int, top: float, bottom: float) -> Markup:
    anchor, dx = ("end", 3) if rate == FRAME_RATES[0] else ("start", -3)
    return Markup(
        '<line class="rate" x1="{x:.3f}%" x2="{x:.3f}%" y1="{top}" y2="{bottom}"/>'
        '<text class="rate-label" x="{x:.3f}%" dx="{dx}" y="{label}" text-anchor="{anchor}">{rate} FPS</text>'
    ).format(x=x, top=top, bottom=bottom, label=top - 5, dx=dx, anchor=anchor, rate=rate)


def tick(x: float, tick_ms: float, top: float, bottom: float) -> Markup:
    anchor = "start" if x < 3 else "end" if x > 96 else "middle"
    text = f"{tick_ms / 1000:g} s" if tick_ms >= 1000 else f"{tick_ms:g} ms"
    return Markup(
        '<line class="grid" x1="{x:.3f}%" x2="{x:.3f}%" y1="{top}" y2="{bottom}"/>'
        '<text class="axis" x="{x:.3f}%" y="{label}" text-anchor="{anchor}">{text}</text>'
    ).format(x=x, top=top, bottom=bottom, label=bottom + 16, anchor=anchor, text=text)


def _distribution(item: Series, y: float, extra: float, low: float, high: float) -> Markup:
    positions = np.log(np.maximum(item.times_ms, low) / low) / math.log(high / low) * 1000
    median, p90 = (float(value) for value in np.percentile(item.times_ms, [50, 90]))
    ridge = y + LABEL_PX + extra
    strip = ridge + RIDGE_PX
    end = strip + STRIP_PX
    below = [tick(position(at, low, high), at, ridge, end) for at in ticks(low, high)]
    below += [
        _budget(position(1000 / rate, low, high), rate, ridge, end) for rate in FRAME_RATES if low < 1000 / rate < high
    ]
    marks = Markup(
        '<svg x="0" y="{ridge}" width="100%" height="{ridge_px}" viewBox="0 0 1000 {ridge_px}" '
        'preserveAspectRatio="none"><path class="ridge role-{role}" d="{density}"/></svg>'
        '<svg x="0" y="{strip}" width="100%" height="{strip_px}" viewBox="0 0 1000 {strip_px}" '
        'preserveAspectRatio="none"><path class="dots role-{role}" d="{dots}"/></svg>'
        '<line class="median" x1="{m:.3f}%" x2="{m:.3f}%" y1="{ridge}" y2="{end}"/>'
        '<line class="p90" x1="{p:.3f}%" x2="{p:.3f}%" y1="{ridge}" y2="{end}"/>'
    ).format(
        ridge=ridge,
        ridge_px=RIDGE_PX,
        strip=strip,
        strip_px=STRIP_PX,
        end=end,
        role=item.role,
        density=_density_path(positions),
        dots=_dots_path(positions),
        m=position(median, low, high),
        p=position(p90, low, high),
    )
    return Markup("").join([*below, _label(item.name, _figures(item), y + 15, extra), marks])


def _budget(x: float, rate: int, top: float, bottom: float) -> Markup:
    """The longest frame that keeps `rate`, as a line within one row."""
    anchor, dx = ("end", -5) if x > 80 else ("start", 5)
    return Markup(
        '<line class="rate" x1="{x:.3f}%" x2="{x:.3f}%" y1="{top}" y2="{bottom}"/>'
        '<text class="rate-label" x="{x:.3f}%" dx="{dx}" y="{label}" text-anchor="{anchor}">{rate} FPS</text>'
    ).format(x=x, top=top, bottom=bottom, label=top + 12, dx=dx, anchor=anchor, rate=rate)


def _density_path(positions: np.ndarray) -> str:
    """Gaussian kernel density over 1000 units, its peak RIDGE_PX high, closed along the base line."""
    edges = np.linspace(0, 1000, BINS + 1)
    counts = np.histogram(positions, edges)[0].astype(np.float64)
    quartiles = np.percentile(positions, [25, 75])
    spread = min(float(positions.std()), float(quartiles[1] - quartiles[0]) / 1.34 or float(positions.std()))
    width = max(0.9 * spread * len(positions) ** -0.2 / (1000 / BINS), 0.7)
    reach = math.ceil(3 * width)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    smooth = np.convolve(counts, kernel, mode="full")[reach : reach + BINS]
    heights = RIDGE_PX - smooth / smooth.max() * (RIDGE_PX - 2)
    centres = (edges[:-1] + edges[1:]) / 2
    visible = np.flatnonzero(smooth > smooth.max() * 1e-3)
    first, last = int(visible[0]), int(visible[-1])
    middle = "".join(f"L{centres[i]:.0f} {heights[i]:.1f}" for i in range(first, last + 1))
    return f"M{centres[first]:.0f} {RIDGE_PX}{middle}L{centres[last]:.0f} {RIDGE_PX}Z"


def _dots_path(positions: np.ndarray) -> str:
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(len(positions), MOST_DOTS)).round().astype(int))
    chosen = np.union1d(chosen, [positions.argmin(), positions.argmax()])
    heights = 4 + chosen / max(len(positions) - 1, 1) * (STRIP_PX - 7)
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in zip(positions[chosen], heights, strict=True))


def position(value: float, low: float, high: float) -> float:
    """Percent of the width on the log axis."""
    return 100 * math.log(max(value, low) / low) / math.log(high / low)


def ticks(low: float, high: float) -> list[float]:
    """Round times on the log axis, far enough apart for their labels on a phone."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    candidates = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
    inside = [value for value in candidates if low <= value <= high]
    if len(inside) < 4:
        step = 10.0 ** math.floor(math.log10(high - low))
        step = next(step * factor for factor in (0.2, 0.5, 1, 2) if (high - low) / (step * factor) <= 6)
        inside = [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]

    def label_at(value: float) -> float:
        """Middle of the tick's label, which is pushed inward at both ends (see tick)."""
        x = position(value, low, high)
        return x + 6 if x < 3 else x - 6 if x > 96 else x

    kept: list[float] = []
    for value in inside:
        if not kept or label_at(value) - label_at(kept[-1]) >= 14:
            kept.append(value)
    return [float(f"{value:.6g}") for value in kept]
