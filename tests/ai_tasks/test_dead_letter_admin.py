"""An operator sends dead letters back from Django admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from ai_tasks.models import AIGenerationTask
from ai_tasks.redrives import jobs
from providers.errors import ContentRefused
from queueing.models import DeadLetter, Redrive
from tests.ai_tasks.graves import bury
from tests.engine import NOW, claimed, fresh, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]

LIST = "admin:queueing_deadletter_changelist"
RIGHTS = ("view_deadletter", "redrive", "stop_job", "resume_job")


@pytest.fixture
def dead(alice: User) -> AIGenerationTask:
    """A task of alice's that its provider refused."""
    task = text_task(alice)
    lease = claimed()
    AIGenerationTask.objects.fail(task.pk, lease.epoch, ContentRefused(), now=NOW)
    return fresh(task)


def operator(client: Client, *permissions: str) -> Client:
    """Log a staff user in who has just these permissions on dead letters."""
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


def retry(client: Client) -> Any:
    chosen = [str(letter.pk) for letter in DeadLetter.objects.all()]
    return client.post(reverse(LIST), {"action": "retry", "_selected_action": chosen}, follow=True)


def test_an_operator_makes_a_dead_task_pending_again(client: Client, dead: AIGenerationTask) -> None:
    answer = retry(operator(client, *RIGHTS))

    assert "1 task will be tried again." in answer.content.decode()
    assert fresh(dead).status == "pending"
    assert DeadLetter.objects.get().resolution == "redriven"


def test_who_may_only_look_can_retry_nothing(client: Client, dead: AIGenerationTask) -> None:
    answer = retry(operator(client, "view_deadletter"))

    assert "Retry the selected tasks" not in answer.content.decode()
    assert fresh(dead).status == "failed"
    assert DeadLetter.objects.get().resolution == "open"


def test_a_stranger_is_sent_to_the_login(client: Client, dead: AIGenerationTask) -> None:
    answer = client.get(reverse(LIST))

    assert answer.status_code == 302
    assert "/admin/login/" in answer.headers["Location"]
    assert fresh(dead).status == "failed"


def retry_all(client: Client, **query: str) -> Any:
    """Press the action for everything that matches the list's filters."""
    first = str(DeadLetter.objects.earliest("id").pk)
    body = {"action": "retry", "_selected_action": [first], "select_across": "1"}
    return client.post(reverse(LIST, query=query), body, follow=True)


def test_many_are_sent_by_a_redrive_of_the_lists_filters(client: Client, alice: User) -> None:
    bury(alice, 60)
    bury(alice, error_class="overloaded")

    answer = retry_all(operator(client, *RIGHTS), error_class="unavailable", resolution__exact="open", o="1")

    job = Redrive.objects.get()
    assert "A redrive of 60 dead letters has begun." in answer.content.decode()
    assert reverse("admin:queueing_redrive_change", args=[job.pk]) in answer.content.decode()
    assert (job.filters, job.requested_by, job.done) == ({"error_class": ["unavailable"]}, "operator", 0)


def test_all_that_a_search_found_are_sent_by_their_ids(client: Client, alice: User) -> None:
    task, _ = bury(alice, 2)

    retry_all(operator(client, *RIGHTS), q=str(task.pk))

    assert Redrive.objects.get().filters == {"ids": [str(DeadLetter.objects.get(task_id=task.pk).pk)]}
    assert AIGenerationTask.objects.pending().get() == task


def test_more_than_a_thousand_of_a_search_are_refused(client: Client, alice: User) -> None:
    bury(alice, 1_001)
    fingerprint = DeadLetter.objects.earliest("id").fingerprint

    answer = retry_all(operator(client, *RIGHTS), q=fingerprint)

    assert "Too many for a search" in answer.content.decode()
    assert not Redrive.objects.exists()


def test_what_could_not_be_sent_is_told(client: Client, alice: User) -> None:
    deleted, _ = bury(alice, 2)
    AIGenerationTask.objects.filter(pk=deleted.pk).update(deleted_at=NOW)

    said = retry(operator(client, *RIGHTS)).content.decode()

    assert "1 task will be tried again." in said
    assert f"{deleted.pk}: Its task is deleted." in said


def test_letters_that_were_dealt_with_are_left_alone(client: Client, alice: User) -> None:
    bury(alice)
    DeadLetter.objects.update(resolution="discarded")

    assert "0 tasks will be tried again." in retry(operator(client, *RIGHTS)).content.decode()
    assert not Redrive.objects.exists()


def test_a_redrive_is_stopped_and_let_go_on(client: Client, alice: User) -> None:
    bury(alice)
    job = jobs.begin({}, by="carol")
    page = reverse("admin:queueing_redrive_changelist")
    staff = operator(client, "view_redrive", *RIGHTS)

    stopped = staff.post(page, {"action": "stop", "_selected_action": [str(job.pk)]}, follow=True)
    job.refresh_from_db()
    assert ("1 redrive stopped." in stopped.content.decode(), job.state, job.stopped_by) == (
        True,
        "stopped",
        "operator",
    )

    staff.post(page, {"action": "resume", "_selected_action": [str(job.pk)]})
    job.refresh_from_db()
    assert job.state == "running"


def test_who_may_only_look_stops_nothing(client: Client, alice: User) -> None:
    bury(alice)
    job = jobs.begin({}, by="carol")

    operator(client, "view_redrive").post(
        reverse("admin:queueing_redrive_changelist"), {"action": "stop", "_selected_action": [str(job.pk)]}
    )

    job.refresh_from_db()
    assert job.state == "running"


def test_selected_letters_are_discarded_by_the_console_which_asks_why(client: Client, alice: User) -> None:
    bury(alice, 2)
    chosen = [str(letter.pk) for letter in DeadLetter.objects.order_by("pk")]
    staff = operator(client, "view_deadletter", "discard")

    answer = staff.post(reverse(LIST), {"action": "discard", "_selected_action": chosen})

    assert answer["Location"].startswith(f"{reverse('ops:do', args=['discard'])}?ids=")
    assert all(each in answer["Location"] for each in chosen)
    assert "<dd>2</dd>" in staff.get(answer["Location"]).content.decode()
    assert DeadLetter.objects.open().count() == 2


def test_who_may_only_look_discards_nothing(client: Client, alice: User) -> None:
    bury(alice)

    body = {"action": "discard", "_selected_action": [str(DeadLetter.objects.get().pk)]}
    answer = operator(client, "view_deadletter").post(reverse(LIST), body)

    assert "ops/do" not in answer.headers.get("Location", "")
    assert DeadLetter.objects.open().count() == 1
