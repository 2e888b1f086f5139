"""What counts as a leak: growth from the second fifth of a run to its last."""

import pytest

from config.chaos.flatness import is_growing


@pytest.mark.parametrize(
    ("unit", "peaks"),
    [
        ("fds", [10, 60, 60, 60, 60]),
        ("fds", [10, 20, 25, 30, 31]),
        ("threads", [5, 40, 40, 90, 41]),
        ("rss_mb", [90, 300, 310, 320, 329]),
        ("kb", [8, 4000, 3000, 2000, 1000]),
    ],
)
def test_what_stays_is_flat(unit: str, peaks: list[float]) -> None:
    assert not is_growing(unit, peaks)


@pytest.mark.parametrize(
    ("unit", "peaks"),
    [
        ("fds", [10, 60, 80, 90, 100]),
        ("threads", [5, 40, 50, 60, 70]),
        ("rss_mb", [90, 300, 310, 320, 331]),
        ("connections", [5, 100, 110, 120, 121]),
    ],
)
def test_what_goes_on_growing_is_not(unit: str, peaks: list[float]) -> None:
    assert is_growing(unit, peaks)
