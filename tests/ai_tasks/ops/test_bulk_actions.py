"""Tasks and dead letters by their actions' pages: what is told before, what is begun, what is asked again."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from ai_tasks.models import AIGenerationTask, AuditEntry, BulkJob
from ai_tasks.redrives import jobs
from queueing.models import DeadLetter, QueueEntry, Redrive
from tests.ai_tasks.graves import bury, letter_of
from tests.ai_tasks.ops.people import in_role
from tests.ai_tasks.ops.wishes import address, token_of, wish
from tests.engine import entry_of, fresh, several, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]


@pytest.fixture
def carol(client: Client) -> Client:
    """An operator's browser."""
    client.force_login(in_role("operator"))
    return client


def said(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_a_dry_run_tells_counts_by_group_what_is_passed_over_and_the_cost(carol: Client, alice: User) -> None:
    bury(alice, 3)
    bury(alice, 2, error_class="overloaded")
    gone = bury(alice)[0]
    AIGenerationTask.objects.filter(pk=gone.pk).update(status="completed")

    page = said(carol.get(address("redrive", provider="simulator")))

    assert "<dt>Letters</dt><dd>6</dd>" in page
    assert "5 can be sent there; they may cost $0.0015 at most" in page
    assert "1 are passed over: Its task is completed." in page
    assert '<th scope="row">overloaded</th>' in page


def test_a_few_are_sent_at_once_and_the_job_is_shown(carol: Client, alice: User) -> None:
    tasks = bury(alice, 3)

    answer = wish(carol, "redrive", {"error_class": "unavailable"}, provider="same", rate="5")

    job = Redrive.objects.get()
    assert answer["Location"] == reverse("ops:job", args=[job.pk])
    assert (job.state, job.done, job.rate_per_second, job.reason) == ("finished", 3, 5.0, "Because.")
    assert {fresh(task).status for task in tasks} == {"pending"}
    page = said(carol.get(answer["Location"]))
    assert page.count(">sent</td>") == 3
    assert "3 / 3" in page


def test_many_are_left_to_a_worker(carol: Client, alice: User) -> None:
    bury(alice, 60)

    wish(carol, "redrive", {"all": "1"}, provider="same")

    job = Redrive.objects.get()
    assert (job.state, job.total, job.done) == ("running", 60, 0)
    assert not QueueEntry.objects.exists()


def test_nothing_chosen_means_nothing(carol: Client, alice: User) -> None:
    bury(alice, 3)

    for action in ("redrive", "discard", "cancel-task", "retry-task", "reprioritise"):
        page = carol.get(address(action))
        assert "Nothing is chosen." in page.content.decode()
        assert "disabled" in page.content.decode()
        answer = carol.post(address(action), {"token": "x", "reason": "x", "provider": "same", "priority": "0"})
        assert answer.status_code == 422
    assert not Redrive.objects.exists()
    assert not BulkJob.objects.exists()


@pytest.mark.parametrize(
    "query",
    [{"sate": "x"}, {"ids": "x"}, {"created_after": "soon"}, {"resolution": "discarded"}, {"provider": "a\x00"}],
)
def test_a_wrong_filter_is_told(carol: Client, alice: User, query: dict[str, str]) -> None:
    bury(alice)

    assert "errornote" in carol.get(address("redrive", **query)).content.decode()
    assert not Redrive.objects.exists()


def test_more_than_was_said_is_asked_again(carol: Client, alice: User) -> None:
    bury(alice, 10)
    path = address("redrive", all="1")
    token = token_of(carol, path)
    bury(alice, 2)

    answer = carol.post(path, {"token": token, "reason": "x", "provider": "same"})

    assert answer.status_code == 422
    assert "There are 12 of them now, not 10" in answer.content.decode()
    assert not Redrive.objects.exists()
    assert wish(carol, "redrive", {"all": "1"}, provider="same").status_code == 302


def test_a_little_more_than_was_said_is_what_was_meant(carol: Client, alice: User) -> None:
    bury(alice, 10)
    path = address("redrive", all="1")
    token = token_of(carol, path)
    bury(alice, 1)

    assert carol.post(path, {"token": token, "reason": "x", "provider": "same"}).status_code == 302
    assert Redrive.objects.get().total == 11


@pytest.mark.parametrize(
    "filled", [{"rate": "0"}, {"rate": "nan"}, {"rate": "1e9"}, {"provider": "nobody"}, {"provider": ""}]
)
def test_a_redrive_that_cannot_be_is_refused(carol: Client, alice: User, filled: dict[str, str]) -> None:
    bury(alice)

    assert wish(carol, "redrive", {"all": "1"}, **{"provider": "same"} | filled).status_code == 422
    assert not Redrive.objects.exists()


def test_a_preview_of_another_place_sends_nothing(carol: Client, alice: User) -> None:
    bury(alice, 2)

    page = said(wish(carol, "redrive", {"all": "1"}, provider="fallback", preview="1"))

    assert "2 are passed over: Its route has no further candidate." in page
    assert not Redrive.objects.exists()


def test_chosen_letters_are_discarded_with_the_reason(carol: Client, alice: User) -> None:
    first, second, left = bury(alice, 3)

    answer = wish(carol, "discard", {"ids": [letter_of(task).pk for task in (first, second)]})

    assert answer["Location"] == reverse("ops:job", args=[BulkJob.objects.get().pk])
    assert {letter_of(task).resolution for task in (first, second)} == {"discarded"}
    assert letter_of(left).resolution == "open"


def test_a_dead_task_is_sent_again_with_other_words(carol: Client, alice: User) -> None:
    task = bury(alice)[0]
    query = {"ids": letter_of(task).pk}
    assert "Name a river." in carol.get(address("edit-redrive", **query)).content.decode()

    answer = wish(carol, "edit-redrive", query, model="default", priority="1", input='{"prompt": "Name a lake."}')

    copy = AIGenerationTask.objects.get(redriven_from=task)
    assert answer["Location"] == reverse("ops:task", args=[copy.pk])
    assert (copy.owner, copy.input, copy.priority) == (alice, {"prompt": "Name a lake."}, 1)
    assert letter_of(task).resolution == "redriven"
    assert AuditEntry.objects.get().after["changed"] == ["input", "priority"]
    assert "lake" not in str(AuditEntry.objects.get().after)


@pytest.mark.parametrize("text", ["{", "[]", '{"prompt": 5}', '{"promt": "x"}', '{"prompt": "x", "simulate": 1}'])
def test_words_that_no_task_can_have_are_refused(carol: Client, alice: User, text: str) -> None:
    query = {"ids": letter_of(bury(alice)[0]).pk}

    answer = wish(carol, "edit-redrive", query, model="default", priority="1", input=text)

    assert answer.status_code == 422
    assert "/input" in answer.content.decode() or "errorlist" in answer.content.decode()
    assert (AIGenerationTask.objects.count(), DeadLetter.objects.open().count()) == (1, 1)


def test_who_may_not_see_payloads_is_not_shown_them_by_the_form(client: Client, alice: User) -> None:
    user = User.objects.create_user("dave", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="edit_redrive"))
    client.force_login(user)

    page = client.get(address("edit-redrive", ids=letter_of(bury(alice)[0]).pk))

    assert page.status_code == 200
    assert "Name a river." not in page.content.decode()


def test_a_users_tasks_are_moved_up_in_a_few_taps(carol: Client, alice: User, bob: User) -> None:
    tasks = several(bob, 2)
    text_task(alice)

    page = said(carol.get(address("reprioritise", user="bob")))
    wish(carol, "reprioritise", {"user": "bob"}, priority="0")

    assert "<dt>Tasks</dt><dd>2</dd>" in page
    assert {entry_of(task).priority for task in tasks} == {0}
    assert QueueEntry.objects.filter(priority=2).count() == 1


def test_a_queues_order_is_derived_anew_without_a_class_but_only_of_a_provider(carol: Client, alice: User) -> None:
    several(alice, 2)

    done = wish(carol, "reprioritise", {"provider": "simulator"}, priority="")
    refused = wish(carol, "reprioritise", {"user": "alice"}, priority="")

    assert (done.status_code, refused.status_code) == (302, 422)
    assert AuditEntry.objects.get().after == {"order": "derived anew"}


def test_a_task_that_has_ended_cannot_be_cancelled(carol: Client, alice: User) -> None:
    task = bury(alice)[0]

    page = carol.get(address("cancel-task", task=task.pk)).content.decode()

    assert "None of them is in a state in which this is possible." in page
    assert "disabled" in page


def test_what_a_retry_may_cost_is_told(carol: Client, alice: User) -> None:
    bury(alice, 3)

    assert "They may cost $0.0009 at most" in said(carol.get(address("retry-task", status="failed")))


def test_a_job_is_stopped_and_let_go_on(carol: Client, alice: User) -> None:
    bury(alice, 60)
    job = jobs.begin({}, by="bob")

    wish(carol, "stop-job", {"job": job.pk})
    assert Redrive.objects.get().stopped_by == "carol"
    assert "stopped by carol" in said(carol.get(reverse("ops:job", args=[job.pk])))

    wish(carol, "resume-job", {"job": job.pk})
    assert Redrive.objects.get().state == "running"


def test_jobs_of_both_kinds_are_listed_newest_first_in_pages(carol: Client, alice: User) -> None:
    for _ in range(14):
        jobs.begin({}, by="bob")
        wish(carol, "cancel-task", {"user": "carol"})

    first = carol.get(reverse("ops:jobs"))
    rest = carol.get(reverse("ops:jobs") + f"?before={first.context['before']}")

    shown = [*first.context["jobs"], *rest.context["jobs"]]
    ids = [each.job.pk for each in shown]
    assert (len(first.context["jobs"]), len(ids), ids) == (25, len(set(ids)), sorted(ids, reverse=True))


@pytest.mark.parametrize("path", ["/admin/ops/jobs/0190/", f"/admin/ops/jobs/{'0' * 8}-0000-0000-0000-{'0' * 12}/"])
def test_a_job_that_is_not_there_is_not_found(carol: Client, path: str) -> None:
    assert carol.get(path).status_code == 404
    assert carol.get(address("stop-job", job="x")).status_code == 404


def test_outcomes_are_paged_and_chosen(carol: Client, alice: User) -> None:
    several(alice, 30)
    wish(carol, "cancel-task", {"user": "alice"})
    path = reverse("ops:job", args=[BulkJob.objects.get().pk])

    first = carol.get(path)
    rest = carol.get(f"{path}?after={first.context['after']}")

    assert (len(first.context["rows"]), len(rest.context["rows"])) == (25, 5)
    assert carol.get(f"{path}?outcome=failed").context["rows"] == []
    assert carol.get(f"{path}?outcome=nothing&after=x").status_code == 200
