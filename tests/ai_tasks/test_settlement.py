"""settlement: one transaction ends an attempt, and pays it once."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from ai_tasks import chunks, completing, sweeps
from ai_tasks.chunks import Piece
from ai_tasks.completing import Answered
from ai_tasks.models import AIGenerationTask, Attempt, BudgetPeriod, Chunk, LedgerEntry
from ai_tasks.states import TaskStatus
from config.chaos.invariants import violations, violations_at_rest
from providers import routing
from providers.errors import (
    AuthenticationFailed,
    ConnectTimeout,
    ContentRefused,
    ContextWindowExceeded,
    IdleTimeout,
    MalformedAnswer,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamCut,
    Unavailable,
)
from providers.types import Usage
from queueing.models import DeadLetter, QueueEntry
from tests.ai_tasks.conftest import MakeBudget
from tests.engine import OTHER_WORKER, answer, at, attempt_of, claimed, entry_of, fresh, text_task

pytestmark = pytest.mark.usefixtures("providers_ready")
tasks = AIGenerationTask.objects
COST = Decimal("0.000003")
"""Of `answer()`: 10 tokens in at 0.10 and 5 out at 0.40 USD per million."""


def fail(task: AIGenerationTask, error: ProviderError, *, seconds: float = 1, provider: str = "simulator") -> None:
    lease = claimed(provider=provider, now=at(seconds - 0.5))
    assert tasks.fail(task.pk, lease.epoch, error, now=at(seconds))


def test_a_completed_task_has_one_charge_in_disjoint_buckets(alice: User) -> None:
    task = text_task(alice)
    usage = Usage(input_tokens=10, cache_read_tokens=4, output_tokens=5, reasoning_tokens=3)

    completion = answer()
    completion = type(completion)(completion.text, completion.finish_reason, usage, "req-1")
    tasks.complete(task.pk, claimed().epoch, completion, now=at(1))

    charge, attempt = LedgerEntry.objects.get(), attempt_of(task)
    assert (charge.input_tokens, charge.cache_read_tokens, charge.output_tokens, charge.reasoning_tokens) == (
        10,
        4,
        5,
        3,
    )
    assert charge.amount_usd == (10 * Decimal("0.1") + 4 * Decimal("0.05") + 8 * Decimal("0.4")) / 1_000_000
    assert (attempt.state, attempt.provider_request_id) == ("succeeded", "req-1")
    assert fresh(task).cost_usd == charge.amount_usd
    assert fresh(task).usage == {
        "input_tokens": 14,
        "cached_input_tokens": 4,
        "output_tokens": 8,
        "reasoning_tokens": 3,
        "total_tokens": 22,
        "source": "provider",
    }


def test_the_hold_becomes_spending(alice: User, make_budget: MakeBudget) -> None:
    make_budget("1")
    task = text_task(alice)

    tasks.complete(task.pk, claimed().epoch, answer(), now=at(1))

    period = BudgetPeriod.objects.get()
    assert (period.held_usd, period.spent_usd) == (0, COST)
    assert violations_at_rest() == []


def test_a_late_result_of_a_lost_attempt_is_charged_and_changes_nothing_else(
    alice: User, make_budget: MakeBudget
) -> None:
    make_budget("1")
    task = text_task(alice)
    lost = claimed()
    sweeps.rescue_lost_leases(at(91))
    claimed(OTHER_WORKER, now=at(92))
    before = list(AIGenerationTask.objects.values()), list(QueueEntry.objects.values())

    assert not tasks.complete(task.pk, lost.epoch, answer(), now=at(100))

    assert (list(AIGenerationTask.objects.values()), list(QueueEntry.objects.values())) == before
    charge = LedgerEntry.objects.get()
    assert (charge.attempt, charge.amount_usd, charge.reason) == (attempt_of(task), COST, "")
    assert BudgetPeriod.objects.get().spent_usd == COST
    assert violations() == []


def test_a_late_result_after_the_task_has_ended_raises_its_cost_only(alice: User) -> None:
    task = text_task(alice)
    lost = claimed()
    sweeps.rescue_lost_leases(at(91))
    tasks.complete(task.pk, claimed(OTHER_WORKER, now=at(92)).epoch, answer("Second."), now=at(93))

    tasks.complete(task.pk, lost.epoch, answer("First."), now=at(100))

    done = fresh(task)
    assert done.output is not None
    assert (done.output["text"], done.cost_usd, done.finished_at) == ("Second.", 2 * COST, at(93))
    assert violations_at_rest() == []


def test_a_late_result_that_comes_twice_is_charged_once(alice: User) -> None:
    task = text_task(alice)
    lost = claimed()
    sweeps.rescue_lost_leases(at(91))

    for second in (100, 101):
        tasks.complete(task.pk, lost.epoch, answer(), now=at(second))

    assert LedgerEntry.objects.count() == 1


def test_a_fallback_moves_the_pair_to_the_next_provider(alice: User, second_provider: None) -> None:
    task = text_task(alice, model="both")

    fail(task, Unavailable())

    moved, entry = fresh(task), entry_of(task)
    assert (moved.provider, moved.model, moved.route_position, moved.status) == ("second", "sim-1", 1, "pending")
    assert (entry.provider, entry.state) == ("second", "waiting")
    assert claimed(provider="second", now=at(2)).epoch == 2
    assert violations() == []


def test_a_named_model_does_not_fall_back(alice: User, second_provider: None) -> None:
    task = text_task(alice, model="simulator/sim-1")

    fail(task, Overloaded())

    assert fresh(task).provider == "simulator"


def test_a_429_closes_the_gate_and_uses_up_no_try(alice: User) -> None:
    task = text_task(alice)

    fail(task, RateLimited(retry_after_seconds=30))

    gate = routing.gate("simulator", at(2))
    assert (gate.reason, gate.until) == ("provider_retry_after", at(31))
    assert (fresh(task).tries, fresh(task).status) == (0, "pending")


@pytest.mark.parametrize("error", [Unavailable, Overloaded, ConnectTimeout, RateLimited])
def test_a_provider_that_turned_it_away_uses_up_no_try(alice: User, error: type[ProviderError]) -> None:
    task = text_task(alice)

    fail(task, error())

    assert (fresh(task).tries, fresh(task).infrastructure_tries) == (0, 1)


@pytest.mark.parametrize("error", [StreamCut, IdleTimeout, MalformedAnswer])
def test_a_provider_that_worked_on_it_uses_up_a_try(alice: User, error: type[ProviderError]) -> None:
    task = text_task(alice)

    fail(task, error())

    entry = entry_of(task)
    assert (fresh(task).tries, fresh(task).infrastructure_tries) == (1, 0)
    assert entry.state == "waiting" or entry.parked_reason == "retry_backoff"


def test_when_its_tries_are_used_up_it_is_a_dead_letter(alice: User) -> None:
    task = text_task(alice)

    for number in range(4):
        fail(task, MalformedAnswer("Not JSON."), seconds=100 * number + 1)

    dead, letter = fresh(task), DeadLetter.objects.get()
    assert (dead.status, dead.tries) == (TaskStatus.FAILED, 4)
    assert dead.error == {"code": "malformed_answer", "message": "Not JSON.", "retryable": True}
    assert (letter.reason, letter.error_class, letter.attempts) == ("tries_used_up", "malformed_answer", 4)
    assert letter.payload_place.endswith(str(task.pk))
    assert violations_at_rest() == []


@pytest.mark.parametrize("error", [ContentRefused, AuthenticationFailed, ContextWindowExceeded])
def test_what_will_never_work_is_a_dead_letter_at_once(alice: User, error: type[ProviderError]) -> None:
    task = text_task(alice)

    fail(task, error())

    assert (fresh(task).status, DeadLetter.objects.get().reason) == (TaskStatus.FAILED, "not_retryable")
    assert violations_at_rest() == []


def test_refused_content_does_not_fall_back(alice: User, second_provider: None) -> None:
    task = text_task(alice, model="both")

    fail(task, ContentRefused())

    assert (fresh(task).status, fresh(task).provider) == (TaskStatus.FAILED, "simulator")


def test_after_its_deadline_it_has_timed_out(alice: User) -> None:
    task = text_task(alice, deadline_seconds=10)

    fail(task, StreamCut(), seconds=10)

    assert (fresh(task).status, DeadLetter.objects.get().reason) == (TaskStatus.TIMED_OUT, "deadline")
    assert violations_at_rest() == []


def test_a_failed_attempt_is_charged_what_it_used(alice: User) -> None:
    task = text_task(alice)
    error = StreamCut()
    error.usage = answer().usage

    fail(task, error)

    assert LedgerEntry.objects.get().amount_usd == COST
    assert attempt_of(task).output_tokens == 5
    assert violations() == []


def test_a_task_that_has_cost_what_it_may_is_not_tried_again(alice: User) -> None:
    task = text_task(alice, max_cost_usd=Decimal("0.000003"))
    error = StreamCut()
    error.usage = answer().usage

    fail(task, error)

    assert (fresh(task).status, DeadLetter.objects.get().reason) == (TaskStatus.FAILED, "max_cost_reached")


def test_the_last_pieces_are_stored_with_the_end_and_folded(alice: User) -> None:
    task = text_task(alice)
    lease = claimed()
    chunks.write(task, [Piece(1, 1, "text", "The ")])

    completing.complete(tasks.all(), Answered(task.pk, 1, answer("The Rhine"), [Piece(2, 1, "text", "Rhine")]), at(1))

    assert lease.next_seq == 1
    assert Chunk.objects.count() == 1
    assert Chunk.objects.after(task.pk, 0) == [Piece(1, 1, "text", "The "), Piece(2, 1, "text", "Rhine")]


def test_an_unpriced_model_is_marked_never_free(alice: User, unpriced_model: str) -> None:
    task = text_task(alice, model=unpriced_model)

    tasks.complete(task.pk, claimed().epoch, answer(), now=at(1))

    assert LedgerEntry.objects.get().amount_usd is None
    assert fresh(task).cost_usd is None


def test_five_failures_in_a_row_open_the_circuit(alice: User) -> None:
    for number in range(5):
        fail(text_task(alice), StreamCut(), seconds=number * 100 + 1)
        is_open = routing.gate("simulator", at(number * 100 + 2)).reason == "circuit_open"
        assert is_open == (number == 4)
        QueueEntry.objects.update(state="parked", parked_reason="scheduled", parked_until=None)


def test_a_provider_that_cannot_be_reached_opens_it_sooner(alice: User) -> None:
    for number in range(2):
        fail(text_task(alice), Unavailable(), seconds=number * 100 + 1)
        QueueEntry.objects.update(state="parked", parked_reason="scheduled", parked_until=None)

    assert routing.gate("simulator", at(102)).reason == "circuit_open"


def test_an_answered_probe_closes_the_circuit(alice: User) -> None:
    test_a_provider_that_cannot_be_reached_opens_it_sooner(alice)
    task = text_task(alice)

    lease = claimed(now=at(200))
    tasks.complete(task.pk, lease.epoch, answer(), now=at(201))

    assert Attempt.objects.get(task=task).is_probe
    assert routing.gate("simulator", at(202)).reason == ""


def test_a_failed_probe_opens_it_again_for_longer(alice: User) -> None:
    test_a_provider_that_cannot_be_reached_opens_it_sooner(alice)
    task = text_task(alice)

    fail(task, StreamCut(), seconds=200)

    assert routing.gate("simulator", at(209)).reason == "circuit_open"
    assert routing.gate("simulator", at(211)).probe
