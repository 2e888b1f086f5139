"""The bell between those who change a queue and the thread that admits."""

import threading
import time

from ai_tasks import doorbell
from ai_tasks.doorbell import Doorbell


def test_whoever_rang_waits_until_it_is_answered() -> None:
    bell = Doorbell()
    bell.ring("simulator")
    order: list[str] = []

    def answer() -> None:
        assert bell.wait(60) == {"simulator"}
        order.append("answered")
        bell.wait(0)

    thread = threading.Thread(target=answer)
    thread.start()
    while not order:
        bell.let_answer()
    order.append("went on")
    thread.join(60)
    bell.let_answer()

    assert order == ["answered", "went on"]


def test_an_answer_that_takes_long_is_not_waited_for() -> None:
    bell = Doorbell()
    bell.ring("simulator")
    began = time.monotonic()

    bell.let_answer()
    bell.wait(0)
    bell.let_answer()

    assert time.monotonic() - began >= 2 * doorbell.GO_FIRST_SECONDS
