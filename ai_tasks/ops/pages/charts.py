"""Charts as inline SVG, made on the server: no script, no style attribute; the numbers stand in a table beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 640, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 28
MOST_LABELS = 12
STEPS = (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the time axis."""

    label: str
    """Below the axis, where there is room."""
    title: str
    """What is told of it on hovering."""
    values: tuple[float | None, ...]
    """One of each series; None is a gap."""
    is_unfinished: bool = False
    """It is not over yet: shown pale."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn in one colour."""

    label: Any
    colour: str
    """`s1` to `s6`; it belongs to what is shown, not to its place."""
    is_dashed: bool = False
    is_area: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its picture and its legend."""

    picture: SafeString
    series: Sequence[Series]


def nice(most: float) -> float:
    """Return the round number at the upper end of an axis for values up to `most`."""
    if most <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= most:
        power *= 10
    while power > most:
        power /= 10
    return next(step * power for step in STEPS if step * power >= most)


def bars(name: Any, steps: Sequence[Step], series: Sequence[Series]) -> Chart:
    """Return a chart of bars, the series on top of each other."""
    most = nice(max((sum(value or 0 for value in step.values) for step in steps), default=0))
    if most < 4:
        most = 4.0
    wide = (WIDTH - LEFT - RIGHT) / max(len(steps), 1)
    columns = format_html_join(
        "", "{}", ((_column(step, n * wide + LEFT, wide, most, series),) for n, step in enumerate(steps))
    )
    centres = [(LEFT + (number + 0.5) * wide, step.label) for number, step in enumerate(steps)]
    return Chart(_frame(name, most, centres, columns), series)


def _column(step: Step, left: float, wide: float, most: float, series: Sequence[Series]) -> SafeString:
    bottom, parts = float(HEIGHT - BOTTOM), []
    for each, value in zip(series, step.values, strict=True):
        tall = (value or 0) / most * (HEIGHT - TOP - BOTTOM)
        bottom -= tall
        if tall:
            parts.append(
                (f"{left + wide * 0.12:.1f}", f"{bottom:.1f}", f"{wide * 0.76:.1f}", f"{tall:.1f}", each.colour)
            )
    rects = format_html_join("", '<rect x="{}" y="{}" width="{}" height="{}" class="{}"/>', parts)
    pale = " unfinished" if step.is_unfinished else ""
    return format_html('<g class="step{}"><title>{}</title>{}</g>', pale, step.title, rects)


def lines(name: Any, steps: Sequence[Step], series: Sequence[Series], *, unit: str = "") -> Chart:
    """Return a chart of lines, which end where a value is missing."""
    most = nice(max((value for step in steps for value in step.values if value is not None), default=0))
    apart = (WIDTH - LEFT - RIGHT) / max(len(steps) - 1, 1)
    xs = [LEFT + number * apart for number in range(len(steps))]
    drawn = []
    for place, each in enumerate(series):
        points = [(x, step.values[place]) for x, step in zip(xs, steps, strict=True)]
        drawn += [_line(run, most, each) for run in _runs(points)]
    dots = format_html_join("", "{}", ((part,) for part in drawn))
    return Chart(_frame(name, most, [(x, step.label) for x, step in zip(xs, steps, strict=True)], dots, unit), series)


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x, value))
    return [run for run in runs if run]


def _line(run: Sequence[tuple[float, float]], most: float, series: Series) -> SafeString:
    points = " ".join(f"{x:.1f},{_y(value, most):.1f}" for x, value in run)
    if len(run) == 1:
        x, value = run[0]
        return format_html(
            '<circle cx="{}" cy="{}" r="3.5" class="{}"/>', f"{x:.1f}", f"{_y(value, most):.1f}", series.colour
        )
    dashed = " dashed" if series.is_dashed else ""
    line = format_html('<polyline points="{}" class="line{} {}"/>', points, dashed, series.colour)
    if not series.is_area:
        return line
    floor = HEIGHT - BOTTOM
    area = format_html(
        '<polygon points="{},{} {} {},{}" class="area {}"/>', run[0][0], floor, points, run[-1][0], floor, series.colour
    )
    return format_html("{}{}", area, line)


def _y(value: float, most: float) -> float:
    return HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM)


def _frame(
    name: Any, most: float, labels: Sequence[tuple[float, str]], drawn: SafeString, unit: str = ""
) -> SafeString:
    """Return the picture: grid, axis labels (every second one is left out on a phone) and what is drawn."""
    quarters = [most * part / 4 for part in range(5)]
    grid = format_html_join(
        "",
        '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>',
        (
            (
                LEFT,
                WIDTH - RIGHT,
                f"{_y(each, most):.1f}",
                f"{_y(each, most):.1f}",
                LEFT - 8,
                f"{_y(each, most) + 4:.1f}",
                short(each, unit),
            )
            for each in quarters[::2]
        ),
    )
    every = -(-len(labels) // MOST_LABELS) or 1
    shown = [
        (f"{x:.1f}", HEIGHT - 8, "end" if x > WIDTH - 30 else "middle", "" if number % 3 == 0 else "minor", label)
        for number, (x, label) in enumerate(labels[::every])
    ]
    axis = format_html_join("", '<text x="{}" y="{}" text-anchor="{}" class="{}">{}</text>', shown)
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>',
        WIDTH,
        HEIGHT,
        name,
        grid,
        drawn,
        axis,
    )


def short(value: float, unit: str = "") -> str:
    """Return a number of an axis: 1.5k, 2M."""
    for letter, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{unit}{value / size:g}{letter}"
    return f"{unit}{value:g}"


def meter(share: float | None) -> SafeString | str:
    """Return a small bar of a share; nothing where there is none."""
    if share is None:
        return ""
    wide = max(0.0, min(share, 1.0)) * 72
    return format_html(
        '<svg viewBox="0 0 72 8" aria-hidden="true"><rect class="track" width="72" height="8" rx="4"/>'
        '<rect class="fill" width="{}" height="8" rx="4"/></svg>',
        f"{wide:.1f}",
    )


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a task's life."""

    kind: str
    """`waits`, `handed`, `thinks`, `ran` or `failed`."""
    since: datetime
    until: datetime
    label: str

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.until - self.since).total_seconds()


def timeline(name: Any, parts: Sequence[Segment]) -> SafeString | str:
    """Return the stretches one after the other, each as wide as it was long, the shortest still to be seen."""
    if not parts:
        return ""
    begins, ends = parts[0].since, max(part.until for part in parts)
    scale = WIDTH / (ends - begins).total_seconds()
    stretches = format_html_join(
        "",
        '<g><title>{}: {} s</title><rect class="{}" x="{}" y="0" width="{}" height="20"/></g>',
        ((part.label, f"{part.seconds:.2f}", part.kind, *_stretch(part, begins, scale)) for part in parts),
    )
    return format_html(
        '<svg class="timeline timeline-bar" viewBox="0 0 {} 20" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg>',
        WIDTH,
        name,
        stretches,
    )


def _stretch(part: Segment, begins: datetime, scale: float) -> tuple[str, str]:
    left = (part.since - begins).total_seconds() * scale
    return f"{left:.2f}", f"{max(part.seconds * scale, 1.5):.2f}"
