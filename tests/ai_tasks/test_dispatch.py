"""The dispatcher: the thread that admits, and how it hands over to a broker that may be away."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from celery import Celery
from django.contrib.auth.models import User

from ai_tasks import clock, dispatch
from ai_tasks.admission import Dispatch
from ai_tasks.dispatch import Dispatcher, PublishBreaker, Unsent
from ai_tasks.doorbell import Doorbell
from ai_tasks.locks import take_provider_lock
from ai_tasks.models import WorkerProcess
from config.celery import app
from queueing.models import QueueEntry
from tests.engine import Held, entry_of, several, text_task
from tests.flows.client import eventually

pytestmark = [pytest.mark.usefixtures("providers_ready"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def consumer() -> WorkerProcess:
    """A worker that listens to the simulator's queues."""
    now = clock.now()
    queues = ["ai.simulator.default", "ai.simulator.long"]
    return WorkerProcess.objects.create(
        boot_id=uuid4(), hostname="here", pid=1, queues=queues, threads=50, started_at=now, last_seen_at=now
    )


@pytest.fixture
def bell() -> Iterator[Doorbell]:
    """The bell of a running dispatcher."""
    bell = Doorbell()
    dispatcher = Dispatcher(bell)
    dispatcher.start()
    yield bell
    dispatcher.close()


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody listens at the broker's address."""
    monkeypatch.setattr(dispatch, "breaker", PublishBreaker())
    monkeypatch.setattr(dispatch, "unsent", Unsent())
    away = Celery("away", broker="redis://127.0.0.1:1/0", set_as_current=False)
    away.conf.broker_transport_options = {"socket_connect_timeout": 1, "max_retries": 0}
    away.set_current()
    yield
    app.set_current()


def handed_over() -> int:
    return QueueEntry.objects.queued().count()


def test_who_rings_has_its_provider_admitted(alice: User, bell: Doorbell) -> None:
    several(alice, 3, now=clock.now())

    bell.ring("simulator")

    eventually(lambda: handed_over() == 3)


def test_time_alone_admits_what_becomes_due(alice: User, bell: Doorbell) -> None:
    due = clock.now() + timedelta(seconds=0.4)
    task = text_task(alice, now=clock.now(), run_at=due)
    bell.ring("simulator")

    eventually(lambda: handed_over() == 1)

    assert clock.now() >= due
    assert entry_of(task).state == "queued"


def test_a_provider_that_breaks_down_in_admission_does_not_end_the_thread(alice: User, bell: Doorbell) -> None:
    bell.ring("no such provider")
    text_task(alice, now=clock.now())

    bell.ring("simulator")

    eventually(lambda: handed_over() == 1)


@pytest.mark.postgresql
def test_what_rang_is_answered_after_the_lock_was_busy(alice: User, bell: Doorbell) -> None:
    text_task(alice, now=clock.now())

    with Held(lambda: take_provider_lock("simulator")):
        bell.ring("simulator")
        threading.Event().wait(1.2)  # longer than admission waits for the lock
        assert handed_over() == 0

    eventually(lambda: handed_over() == 1)


def test_a_closed_one_is_not_started_again(alice: User) -> None:
    bell = Doorbell()
    dispatcher = Dispatcher(bell)
    dispatcher.start()
    dispatcher.close()

    dispatcher.start()

    assert "dispatcher" not in {thread.name for thread in threading.enumerate()}


def test_an_entry_that_the_broker_did_not_take_stays_handed_over_for_the_sweep(alice: User, no_broker: None) -> None:
    task = text_task(alice, now=clock.now())

    dispatch.admit("simulator")

    assert (entry_of(task).state, handed_over()) == ("queued", 1)


def test_what_the_broker_did_not_take_is_sent_soon_after_its_return(
    alice: User, no_broker: None, bell: Doorbell
) -> None:
    task = text_task(alice, now=clock.now())
    dispatch.admit("simulator")
    assert len(dispatch.unsent) == 1

    with app.connection_for_read() as broker, broker.SimpleQueue("ai.simulator.default") as queue:
        queue.clear()
        app.set_current()
        bell.ring("simulator")
        eventually(lambda: not dispatch.unsent)
        sent = queue.get(timeout=60)

    assert sent.headers["id"] == str(entry_of(task).dispatch_id)


def test_only_so_much_is_kept_for_a_broker_that_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unsent, "MOST", 2)
    kept = Unsent()

    for _ in range(3):
        kept.keep(Dispatch(uuid4(), 1, uuid4(), "simulator", "default"))

    assert len(kept) == 2


def test_after_three_failures_the_broker_is_left_alone_for_a_while(no_broker: None) -> None:
    wish = Dispatch(uuid4(), 1, uuid4(), "simulator", "default")

    assert [dispatch.send(wish) for _ in range(3)] == [False] * 3
    assert dispatch.breaker.is_open()
    assert not dispatch.send(wish)


def test_a_success_forgets_the_failures_before_it() -> None:
    breaker = PublishBreaker()

    for is_sent in (False, False, True, False, False):
        breaker.note(is_sent=is_sent)
    assert not breaker.is_open()
    breaker.note(is_sent=False)
    assert breaker.is_open()


def test_the_pause_ends_and_one_more_failure_begins_the_next() -> None:
    breaker = PublishBreaker()
    breaker.PAUSE_SECONDS = 0.0
    for _ in range(3):
        breaker.note(is_sent=False)
    assert not breaker.is_open()

    breaker.PAUSE_SECONDS = 60.0
    breaker.note(is_sent=False)

    assert breaker.is_open()
