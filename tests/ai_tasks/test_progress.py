"""progress.Ticker: one flush for all calls; a bad or locked row hurts only itself; nothing is lost at the end."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from ai_tasks import clock, process
from ai_tasks.models import Chunk
from ai_tasks.progress import LOST, Call, Ticker
from providers.types import Delta, DeltaKind
from queueing.models import QueueEntry
from tests.engine import Held, claimed, text_task
from tests.flows.client import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("providers_ready")]

UNSTORABLE = 2**70
"""A number of a chunk that no database takes."""


@pytest.fixture
def ticker() -> Iterator[Ticker]:
    """A ticker of the test's own."""
    own = Ticker()
    yield own
    own.close()


def running(owner: User, *, next_seq: int = 1) -> Call:
    """Return a call whose task runs in this process."""
    text_task(owner, now=clock.now())
    lease = claimed(process.boot_id(), now=clock.now())
    return Call(lease.task, lease.epoch, next_seq)


def say(call: Call, *words: str) -> None:
    for word in words:
        call.add(Delta(DeltaKind.TEXT, word))


def stored(call: Call) -> str:
    return "".join(piece.data for piece in Chunk.objects.after(call.task.pk, 0))


def test_what_is_streamed_is_stored_in_order_and_once(alice: User, ticker: Ticker) -> None:
    calls = [running(alice) for _ in range(3)]
    for call in calls:
        ticker.register(call)

    for word in ("one ", "two ", "three"):
        for call in calls:
            say(call, word)
        eventually(lambda word=word: all(stored(call).endswith(word) for call in calls))  # type: ignore[misc]

    assert {stored(call) for call in calls} == {"one two three"}


def test_a_row_that_the_database_refuses_hurts_only_itself(alice: User, ticker: Ticker, settings: Any) -> None:
    settings.AI_LEASE = timedelta(seconds=6)
    bad, good = running(alice, next_seq=UNSTORABLE), running(alice)
    begun = max(QueueEntry.objects.values_list("leased_until", flat=True))
    for call in (bad, good):
        say(call, "Hello")
        ticker.register(call)

    eventually(lambda: stored(good) == "Hello")
    say(good, " again")
    eventually(lambda: stored(good) == "Hello again")

    assert (stored(bad), bad.stopped_as, good.stopped_as) == ("", "", "")
    eventually(lambda: QueueEntry.objects.filter(leased_until__gt=begun).count() == 2)


def test_refused_text_is_kept_joined_and_numbered_as_before(alice: User, ticker: Ticker) -> None:
    bad, good = running(alice, next_seq=UNSTORABLE), running(alice)
    for call in (bad, good):
        ticker.register(call)
    for number in range(1000):
        say(bad, f"{number} ")
        say(good, f"{number} ")
    eventually(lambda: stored(good).endswith("999 "))
    ticker.close()

    (piece,) = bad.take()

    assert piece.seq == UNSTORABLE
    assert piece.data == "".join(f"{number} " for number in range(1000))


@pytest.mark.postgresql
def test_a_locked_row_is_passed_over_and_written_when_it_is_free(alice: User, ticker: Ticker) -> None:
    locked, free = running(alice), running(alice)
    entry = QueueEntry.objects.filter(task_id=locked.task.pk).select_for_update()

    with Held(lambda: list(entry)):
        for call in (locked, free):
            say(call, "Hello")
            ticker.register(call)
        eventually(lambda: stored(free) == "Hello")
        assert (stored(locked), locked.stopped_as) == ("", "")

    eventually(lambda: stored(locked) == "Hello")


def test_a_call_that_lost_its_lease_is_stopped_and_writes_nothing(alice: User, ticker: Ticker) -> None:
    call = running(alice)
    QueueEntry.objects.update(epoch=2)
    say(call, "Hello")

    ticker.register(call)

    eventually(lambda: call.stopped_as == LOST)
    assert stored(call) == ""


def test_the_last_words_are_stored_when_the_process_ends(alice: User, ticker: Ticker) -> None:
    call = running(alice)
    ticker.register(call)
    eventually(lambda: QueueEntry.objects.get().leased_until is not None)

    say(call, "Good", "bye")
    ticker.close()

    assert stored(call) == "Goodbye"


def test_a_call_is_stopped_in_time_while_the_database_does_not_answer(
    alice: User, ticker: Ticker, settings: Any
) -> None:
    settings.AI_LEASE = timedelta(seconds=3)
    call, answered = running(alice), threading.Event()

    def ask(_: datetime) -> None:
        answered.wait(20)

    ticker.presence = ask  # the statement before the renewal
    began = time.monotonic()

    ticker.register(call)

    eventually(lambda: call.stopped_as == LOST)
    answered.set()
    assert 2 <= time.monotonic() - began < 3, "before the lease can be another's"
