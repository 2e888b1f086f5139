"""What a route says: which places can take a task at all, and what follows which error there."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from ai_tasks.errors import ContextWindowTooSmall, NoCandidate
from ai_tasks.models import AIGenerationTask
from ai_tasks.representation import task_json
from ai_tasks.states import TaskStatus
from ai_tasks.submission import retry
from providers.errors import ContentRefused, IdleTimeout, Overloaded, ProviderError, Unavailable
from providers.models import Price, Route, RouteCandidate
from queueing.models import QueueEntry
from tests.engine import NOW, answer, at, claimed, entry_of, fresh, text_task

pytestmark = pytest.mark.usefixtures("second_provider")
tasks = AIGenerationTask.objects


def place(provider: str, **values: Any) -> None:
    """Change a place of the route `both`."""
    assert RouteCandidate.objects.filter(route="both", provider=provider).update(**values)


def rule(**values: Any) -> None:
    Route.objects.filter(alias="both").update(**values)


def after(owner: User, error: ProviderError) -> AIGenerationTask:
    """Return a task of the route `both` whose first call ended with this error."""
    task = text_task(owner, model="both")
    tasks.fail(task.pk, claimed().epoch, error, now=at(1))
    return fresh(task)


def test_a_place_whose_window_is_too_small_is_left_out_and_says_so(alice: User) -> None:
    place("simulator", window_tokens=1_000)

    task = text_task(alice, model="both", max_output_tokens=1_000)

    assert (task.provider, task.route, entry_of(task).provider) == ("second", [["second", "sim-1"]], "second")
    (skipped,) = task_json(fresh(task))["skipped"]
    assert (skipped["provider"], skipped["model"], skipped["reason"]) == ("simulator", "sim-1", "context_window")
    assert "takes 1000 tokens" in skipped["detail"]


def test_a_window_that_just_fits_is_used(alice: User) -> None:
    task = text_task(alice, model="both", max_output_tokens=100)
    place("simulator", window_tokens=entry_of(task).estimate_tokens)

    assert text_task(alice, model="both", max_output_tokens=100).provider == "simulator"
    assert text_task(alice, model="both", max_output_tokens=101).provider == "second"


def test_where_nothing_fits_the_caller_is_told_at_once(alice: User) -> None:
    place("simulator", window_tokens=500)
    place("second", window_tokens=600)

    with pytest.raises(ContextWindowTooSmall, match=r"simulator/sim-1: it takes 500 .*second/sim-1: it takes 600"):
        text_task(alice, model="both", prompt="襷" * 10_000)

    assert (AIGenerationTask.objects.count(), QueueEntry.objects.count()) == (0, 0)


def test_a_published_window_counts_where_the_operator_says_nothing(alice: User) -> None:
    place("simulator", model="gpt-4o")

    task = text_task(alice, model="both", max_output_tokens=127_999)

    assert task.provider == "second"


def test_a_place_over_the_route_s_ceiling_is_left_out(alice: User) -> None:
    place("simulator", model="sim-large")
    rule(max_usd_per_call=Decimal("0.002"))

    task = text_task(alice, model="both", max_output_tokens=1_000)

    assert task.provider == "second"
    assert [each["reason"] for each in fresh(task).route_policy["skipped"]] == ["price_ceiling"]


def test_a_place_without_a_price_is_left_out_where_there_is_a_ceiling(alice: User) -> None:
    place("simulator", model="who-knows")
    assert text_task(alice, model="both").provider == "simulator"

    rule(max_usd_per_call=Decimal(1))

    task = text_task(alice, model="both")
    assert [each["reason"] for each in task.route_policy["skipped"]] == ["unpriced"]
    assert task.provider == "second"


def test_a_route_of_which_no_place_is_cheap_enough_says_why_for_each(alice: User) -> None:
    rule(max_usd_per_call=Decimal(0))
    place("second", window_tokens=10)

    with pytest.raises(NoCandidate, match=r"may cost 0\.\d+ USD; the route allows 0.* takes 10 tokens"):
        text_task(alice, model="both")

    assert Price.objects.exists()


def test_a_task_that_is_sent_back_keeps_to_the_places_that_can_take_it(alice: User) -> None:
    place("simulator", window_tokens=10)
    task = text_task(alice, model="both")
    tasks.fail(task.pk, claimed(provider="second").epoch, ContentRefused(), now=at(1))

    again = retry(fresh(task), now=at(2))

    assert (again.provider, again.route) == ("second", [["second", "sim-1"]])


def test_by_itself_an_outage_falls_back_and_a_refusal_does_not(alice: User) -> None:
    assert after(alice, Unavailable()).provider == "second"
    assert after(alice, ContentRefused()).status == TaskStatus.FAILED


def test_a_route_may_let_a_refusal_fall_back(alice: User) -> None:
    rule(on_error={"content_refused": "fall_back"})

    task = after(alice, ContentRefused())

    assert (task.status, task.provider, task.error["code"]) == (TaskStatus.PENDING, "second", "content_refused")


def test_a_route_may_keep_to_its_first_place_or_fail_at_once(alice: User) -> None:
    rule(on_error={"overloaded": "retry", "unavailable": "fail"})

    waiting, failed = after(alice, Overloaded()), after(alice, Unavailable())

    assert (waiting.status, waiting.provider) == (TaskStatus.PENDING, "simulator")
    assert failed.status == TaskStatus.FAILED


def test_a_refusal_that_is_to_be_tried_again_uses_its_tries_up(alice: User) -> None:
    rule(on_error={"content_refused": "retry"})
    task = after(alice, ContentRefused())

    for number in range(1, 4):
        assert fresh(task).status == TaskStatus.PENDING
        tasks.fail(task.pk, claimed(now=at(number * 100)).epoch, ContentRefused(), now=at(number * 100 + 1))

    assert fresh(task).status == TaskStatus.FAILED


def test_what_is_said_of_a_class_counts_for_its_kinds(alice: User) -> None:
    rule(on_error={"timeout": "fail"})
    assert after(alice, IdleTimeout()).status == TaskStatus.FAILED

    rule(on_error={"timeout": "fail", "idle_timeout": "fall_back"})
    assert after(alice, IdleTimeout()).provider == "second"


def test_a_task_keeps_what_its_route_said_when_it_was_submitted(alice: User) -> None:
    rule(on_error={"content_refused": "fall_back"})
    task = text_task(alice, model="both", now=NOW)
    rule(on_error={})

    tasks.fail(task.pk, claimed().epoch, ContentRefused(), now=at(1))

    assert fresh(task).provider == "second"


@pytest.mark.parametrize(
    "wrong", [["retry"], "retry", {"made_up": "retry"}, {"overloaded": "shrug"}, {"overloaded": ["retry"]}]
)
def test_an_action_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        Route(alias="new", on_error=wrong).full_clean()


def test_each_attempt_shows_what_it_cost(alice: User) -> None:
    error = IdleTimeout()
    error.usage = answer().usage
    task = after(alice, error)

    held = claimed(provider="second", now=at(2))
    tasks.fail(task.pk, held.epoch, ContentRefused(), now=at(3))

    assert [each["cost_usd"] for each in task_json(fresh(task))["attempts"]] == ["0.000003", "0"]
