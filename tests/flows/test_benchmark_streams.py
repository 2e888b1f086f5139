"""The benchmark of streams, small: every client hears exactly what is stored."""

import pytest

from config import streams

pytestmark = [pytest.mark.stack, pytest.mark.scale]


def test_nothing_is_lost_and_delays_are_measured() -> None:
    told = streams.streams(clients=40, streaming=10, seconds=4)

    assert told["lost"] == 0
    assert told["delay_ms"]["measured"] > 100
    assert 0 < told["delay_ms"]["p50"] <= told["delay_ms"]["p99"]
