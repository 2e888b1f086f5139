"""What several threads wish at the same time is done in one go."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from ai_tasks.together import MOST, Together


class Work:
    """Doubles numbers; the first batch does not end before `gate` is open."""

    def __init__(self, *, leaves: Sequence[int] = (), fails: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.alone: list[int] = []
        self.began, self.gate = threading.Event(), threading.Event()
        self._leaves, self._fails = leaves, fails

    def all_of(self, numbers: Sequence[int]) -> list[int | None]:
        """Double all but those that are left."""
        self.batches.append(sorted(numbers))
        self.began.set()
        assert self.gate.wait(timeout=20)
        if self._fails:
            raise ValueError("One of them is bad.")
        return [None if each in self._leaves else 2 * each for each in numbers]

    def one(self, number: int) -> int:
        """Double one."""
        self.alone.append(number)
        if number < 0:
            raise ValueError(f"{number} is bad.")
        return 2 * number


def done_beside_the_first(work: Work, numbers: Sequence[int]) -> list[int | BaseException]:
    """Wish 100, and, while that is done, these numbers; return their results or errors."""
    together: Together[int, int] = Together(work.one, work.all_of)
    with ThreadPoolExecutor(len(numbers) + 1) as threads:
        first = threads.submit(together.do, 100)
        assert work.began.wait(timeout=20)
        others = [threads.submit(together.do, each) for each in numbers]
        while len(together._waiting) < len(numbers):
            threading.Event().wait(0.001)
        work.gate.set()
        first.exception(timeout=20)
        return [each.exception(timeout=20) or each.result() for each in others]


def test_who_comes_first_goes_at_once_and_the_others_go_together() -> None:
    work = Work()

    found = done_beside_the_first(work, [1, 2, 3])

    assert (found, work.batches, work.alone) == ([2, 4, 6], [[100], [1, 2, 3]], [])


def test_what_is_left_is_done_alone() -> None:
    work = Work(leaves=[2])

    found = done_beside_the_first(work, [1, 2, 3])

    assert (found, work.alone) == ([2, 4, 6], [2])


def test_an_error_of_all_is_nobodys_and_each_has_its_own() -> None:
    work = Work(fails=True)

    found = done_beside_the_first(work, [1, -2, 3])

    assert [found[0], found[2]] == [2, 6]
    assert str(found[1]) == "-2 is bad."


def test_a_batch_has_an_end_and_the_next_one_follows() -> None:
    work = Work()

    found = done_beside_the_first(work, range(1, 2 * MOST))

    assert found == [2 * each for each in range(1, 2 * MOST)]
    assert [len(each) for each in work.batches] == [1, MOST, MOST - 1]


def test_after_everybody_it_is_free_again() -> None:
    work = Work()
    work.gate.set()
    together: Together[int, int] = Together(work.one, work.all_of)

    assert [together.do(1), together.do(2)] == [2, 4]
    with pytest.raises(ValueError, match="-3 is bad"):
        Together(work.one, lambda _: [None]).do(-3)
