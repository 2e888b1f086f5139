"""The schedule of a run: all of it follows from the seed, and it has what it promises."""

from functools import partial

from ai_tasks.crash_points import POINTS
from config.chaos import faults
from config.chaos.schedule import Size, episodes


def shown(seed: int, size: Size = Size()) -> list[str]:  # noqa: B008
    """Return the episodes with their places."""
    return [f"{name} {each.keywords if isinstance(each, partial) else ''}" for name, each in episodes(seed, size)]


def points(seed: int, size: Size) -> set[str]:
    waves = [each.keywords["waves"] for name, each in episodes(seed, size) if name == "crash"]  # type: ignore[attr-defined]
    return {point for pair in waves for wave in pair for point in wave.values()}


def test_the_same_seed_gives_the_same_schedule_and_another_another() -> None:
    assert shown(7) == shown(7)
    assert shown(7) != shown(8)


def test_every_kind_of_fault_is_in_every_schedule() -> None:
    names = {name for name, _ in episodes(7, Size())}

    assert names == {"crash", "freeze", *(each.__name__ for each in faults.OUTAGES + faults.OTHERS)}


def test_every_named_place_has_its_turn() -> None:
    assert len(points(7, Size())) >= 11
    assert points(7, Size(waves=6)) == set(POINTS)
