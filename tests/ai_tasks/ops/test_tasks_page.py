"""The list of tasks: filters, pages by key, and how far back a search looks."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ai_tasks import clock
from ai_tasks.models import AIGenerationTask
from ai_tasks.ops.pages import tasks as page
from providers.errors import BadRequest
from queueing.states import Priority
from tests.ai_tasks.graves import bury
from tests.engine import NOW, claimed, several, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]


def listed(client: Client, **query: object) -> list[str]:
    """Return the ids of the tasks that the page lists, in its order."""
    told = client.get(reverse("ops:tasks"), query).content.decode()
    return re.findall(r'<th scope="row"><a href="/admin/ops/tasks/([0-9a-f-]+)/"', told)


def following(client: Client, **query: object) -> str:
    """Return where the link to the next page leads."""
    told = client.get(reverse("ops:tasks"), query).content.decode()
    return next(iter(re.findall(r'rel="next" href="\?[^"]*before=([0-9a-f-]+)"', told)), "")


def test_tasks_are_listed_newest_first(root: Client, alice: User) -> None:
    made = several(alice, 3)

    assert listed(root) == [str(task.pk) for task in reversed(made)]


def test_filters_narrow_and_go_together(root: Client, alice: User, bob: User) -> None:
    dead, other = text_task(alice), text_task(bob, priority=Priority.HIGH)
    AIGenerationTask.objects.fail(other.pk, claimed().epoch, BadRequest("No."), now=NOW)

    assert listed(root, status="failed") == [str(other.pk)]
    assert listed(root, user="alice") == [str(dead.pk)]
    assert listed(root, user="alice", status="failed") == []
    assert listed(root, priority="high", provider="simulator", type="text.generate") == [str(other.pk)]
    assert listed(root, id=dead.pk) == [str(dead.pk)]


def test_a_time_is_gone_to_at_once(root: Client, alice: User) -> None:
    then = clock.now() - timedelta(days=2)
    (old,) = bury(alice, id=UUID(int=int(then.timestamp() * 1000) << 80), created_at=then)
    new = text_task(alice, now=clock.now())
    yesterday = f"{clock.now() - timedelta(days=1):%Y-%m-%dT%H:%M}"

    assert listed(root, created_after=yesterday) == [str(new.pk)]
    assert listed(root, created_before=yesterday) == [str(old.pk)]
    assert listed(root, created_before=f"{clock.now() + timedelta(minutes=5):%Y-%m-%dT%H:%M:%S}+00:00") != []


def test_a_deleted_task_is_not_listed(root: Client, alice: User) -> None:
    task = text_task(alice)
    AIGenerationTask.objects.delete(task)

    assert listed(root) == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"created_after": "yesterday"}, "Times are as"),
        ({"created_before": "2026-99-99T00:00"}, "Times are as"),
        ({"id": "x"}, "An id is a UUID."),
        ({"user": "nobody"}, "no user"),
        ({"priority": "x"}, "no such class"),
    ],
)
def test_a_wrong_filter_is_told_and_finds_nothing(root: Client, alice: User, query: dict[str, str], told: str) -> None:
    text_task(alice)

    assert told in root.get(reverse("ops:tasks"), query).content.decode()
    assert listed(root, **query) == []


def test_pages_go_on_where_the_one_before_ended(root: Client, alice: User) -> None:
    made = several(alice, page.SHOWN + 3)

    first, rest = listed(root), listed(root, before=following(root))

    assert first + rest == [str(task.pk) for task in reversed(made)]
    assert following(root, before=following(root)) == ""


def test_a_search_looks_at_a_bounded_number_of_rows_and_can_be_taken_further(alice: User, bob: User) -> None:
    wanted = text_task(bob)
    made = several(alice, 4)
    of_bob = AIGenerationTask.objects.filter(owner=bob)

    near = page.search(of_bob, None, searched=3)
    far = page.search(of_bob, near.before, searched=3)

    assert (near.tasks, near.before, near.reached) == ([], made[0].pk, made[0].created_at)
    assert (far.tasks, far.before, far.reached) == ([wanted], None, None)
