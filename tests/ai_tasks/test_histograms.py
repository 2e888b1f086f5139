"""Histograms of times."""

import random
from datetime import timedelta

import pytest

from ai_tasks.accounts import histograms


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_within_an_eighth(seed: int) -> None:
    chance = random.Random(seed)
    times = sorted(timedelta(milliseconds=chance.lognormvariate(6, 2)) for _ in range(500))
    parts: list[dict[str, int]] = [{}, {}, {}]
    for time in times:
        histograms.count(chance.choice(parts), time)
    merged: dict[str, int] = {}
    for part in parts:
        histograms.add(merged, part)

    for share in (0.01, 0.5, 0.95, 0.99):
        read = histograms.percentile(merged, share)
        exact = times[max(0, round(share * 500) - 1)]
        assert read
        assert read / exact == pytest.approx(1, abs=0.125) or exact < timedelta(milliseconds=2)
