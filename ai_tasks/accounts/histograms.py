"""
Histograms of times that add up exactly: counts by buckets whose bounds grow by a quarter.

A percentile read from one is off by an eighth at most (12 %: the square root of 1.25), however many were merged.
"""

import math
from collections.abc import Mapping
from datetime import timedelta

GROWTH = 1.25
Histogram = Mapping[str, int]
"""Count by bucket: `n` holds times in (1.25^(n-1), 1.25^n] ms, "0" those of a millisecond or less."""


def bucket(time: timedelta) -> str:
    """Return the bucket of a time; a negative one, of clocks that were set, is none."""
    milliseconds = time / timedelta(milliseconds=1)
    return "0" if milliseconds <= 1 else str(math.ceil(math.log(milliseconds, GROWTH) - 1e-9))


def count(histogram: dict[str, int], time: timedelta) -> None:
    """Add one time."""
    place = bucket(time)
    histogram[place] = histogram.get(place, 0) + 1


def add(histogram: dict[str, int], other: Histogram) -> None:
    """Add all that another counts."""
    for place, number in other.items():
        histogram[place] = histogram.get(place, 0) + number


def percentile(histogram: Histogram, share: float) -> timedelta | None:
    """Return the time that this share (0 to 1) of them stayed within: its bucket's middle; None: there are none."""
    count = sum(histogram.values())
    seen = 0
    for number in sorted(map(int, histogram)):
        seen += histogram[str(number)]
        if seen >= share * count:
            return timedelta(milliseconds=GROWTH ** (number - 0.5) if number else 1)
    return None
