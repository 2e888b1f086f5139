"""The page of dead letters: groups with their counts, letters by filter, and what a wrong filter gets."""

import csv
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ai_tasks import clock
from ai_tasks.ops.pages import dead_letters as page
from queueing.models import DeadLetter, TaskQueue
from tests.ai_tasks.graves import bury, letter_of
from tests.ai_tasks.ops.conftest import SignIn

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]


def told(client: Client, **query: object) -> str:
    return client.get(reverse("ops:dead-letters"), query).content.decode()


def letters(client: Client, **query: object) -> list[str]:
    """Return the ids of the tasks whose letters are listed, in their order."""
    return re.findall(
        r'<th scope="row"><a href="/admin/ops/tasks/([0-9a-f-]+)/"', told(client, view="letters", **query)
    )


def test_letters_are_grouped_with_their_counts_by_time(root: Client, alice: User) -> None:
    now = clock.now()
    bury(alice, 5)
    bury(alice, 2, error_class="overloaded")
    ages = [timedelta(minutes=1), timedelta(hours=2), timedelta(hours=3), timedelta(days=2), timedelta(days=9)]
    for letter, age in zip(DeadLetter.objects.filter(error_class="unavailable"), ages, strict=True):
        DeadLetter.objects.filter(pk=letter.pk).update(created_at=now - age)

    shown = root.get(reverse("ops:dead-letters")).context

    counts = ("error_class", "count", "last_hour", "last_day", "last_week")
    assert next(tuple(group[name] for name in counts) for group in shown["groups"]) == ("unavailable", 5, 1, 3, 4)
    assert shown["sums"]["count"] == 7


def test_a_group_leads_to_its_letters(root: Client, alice: User) -> None:
    died = bury(alice, 2)
    bury(alice, 1, error_class="overloaded")

    link = re.findall(r'<th scope="row"><a href="(\?view=letters[^"]+)">unavailable', told(root))[0]
    listed = root.get(reverse("ops:dead-letters") + link.replace("&amp;", "&")).content.decode()

    assert [str(task.pk) in listed for task in died] == [True, True]
    assert "overloaded" not in listed


def test_letters_are_listed_newest_first_page_by_page(root: Client, alice: User) -> None:
    died = bury(alice, int(page.LETTERS_SHOWN) + 2)

    first = letters(root)
    cursor = re.findall(r'rel="next" href="[^"]*cursor=([\w-]+)', told(root, view="letters"))[0]

    assert first + letters(root, cursor=cursor) == [str(task.pk) for task in reversed(died)]


def test_filters_are_those_of_redrives(root: Client, alice: User) -> None:
    kept, gone = bury(alice, 2)
    TaskQueue.objects.discard_from_dlq([letter_of(gone).pk], by="carol", reason="No.", now=clock.now())

    assert letters(root) == [str(kept.pk)]
    assert letters(root, resolution="discarded") == [str(gone.pk)]
    assert len(letters(root, resolution="any", provider="simulator", error_class="unavailable")) == 2
    assert letters(root, ids=str(kept.pk), owner="999999") == []


@pytest.mark.parametrize("query", ["?nonsense=1", "?ids=x", "?created_after=yesterday", "?provider=%00"])
def test_a_wrong_filter_is_refused_and_not_left_out(root: Client, query: str) -> None:
    assert root.get(reverse("ops:dead-letters") + query).status_code == 400


def test_an_empty_field_of_the_form_is_no_filter(root: Client, alice: User) -> None:
    died = bury(alice)

    assert letters(root, provider="", error_class="") == [str(died[0].pk)]


def test_letters_can_be_taken_away_as_a_file(root: Client, alice: User) -> None:
    bury(alice, 2)
    bury(alice, 1, error_class="overloaded")
    DeadLetter.objects.filter(error_class="overloaded").update(message="=1+1")

    text = root.get(reverse("ops:dead-letters-file"), {"error_class": "overloaded"}).content.decode("utf-8-sig")

    rows = list(csv.DictReader(StringIO(text)))
    assert [(row["error_class"], row["message"]) for row in rows] == [("overloaded", "'=1+1")]


def test_the_file_is_for_who_may_see_letters(sign_in: SignIn) -> None:
    assert sign_in("queueing.view_taskqueue").get(reverse("ops:dead-letters-file")).status_code == 403


@pytest.mark.parametrize(
    ("query", "offered"),
    [
        ({}, "/do/redrive/?all=1"),
        ({"provider": "simulator"}, "/do/redrive/?provider=simulator"),
        ({"resolution": "any"}, ""),
    ],
)
def test_all_of_these_means_what_is_listed(root: Client, query: dict[str, str], offered: str) -> None:
    found = re.findall(r'href="/admin/ops(/do/redrive/[^"]*)"', told(root, **query))

    assert found == ([offered] if offered else [])
    for link in found:
        assert root.get("/admin/ops" + link).status_code == 200
