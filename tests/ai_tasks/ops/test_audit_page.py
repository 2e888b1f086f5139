"""The audit as a page and as a file."""

import csv
import io

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ai_tasks.ops import queues
from queueing.models import TaskQueue
from tests.ai_tasks.ops.conftest import SignIn
from tests.ai_tasks.ops.people import by

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]

PAGE, FILE = "/admin/ops/audit/", "/admin/ops/audit.csv"


@pytest.fixture
def done(db: None) -> None:
    """What carol and bob did."""
    queues.pause_provider("simulator", by(reason="=1+1"))
    queues.resume_provider("simulator", by("bob", reason="Over."))


@pytest.mark.parametrize(
    ("query", "reasons"),
    [
        ({}, ["Over.", "=1+1"]),
        ({"actor": "bob"}, ["Over."]),
        ({"action": "pause-provider"}, ["=1+1"]),
        ({"kind": "provider", "key": "simulator"}, ["Over.", "=1+1"]),
        ({"key": "nobody"}, []),
    ],
)
def test_entries_are_chosen_by_who_what_and_of_what(
    root: Client, done: None, query: dict[str, str], reasons: list[str]
) -> None:
    assert [entry.reason for entry in root.get(PAGE, query).context["entries"]] == reasons


def test_many_are_shown_in_pages(root: Client) -> None:
    for _ in range(30):
        queues.resume_provider("simulator", by())

    first = root.get(PAGE)
    rest = root.get(PAGE, {"cursor": first.context["next"]})

    assert (len(first.context["entries"]), len(rest.context["entries"])) == (25, 5)
    assert root.get(PAGE, {"cursor": "x"}).status_code == 404


def test_the_file_has_the_same_entries_and_no_formulas(root: Client, done: None) -> None:
    answer = root.get(FILE, {"actor": "carol"})

    text = answer.content.decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(text))
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert (row["actor"], row["action"], row["object_key"]) == ("carol", "pause-provider", "simulator")
    assert row["reason"].lstrip("'\t ") == "=1+1"
    assert not row["reason"].startswith("=")


@pytest.mark.parametrize("path", [PAGE, FILE])
def test_it_is_for_who_may_look(sign_in: SignIn, done: None, path: str) -> None:
    assert sign_in().get(path).status_code == 403


def test_what_was_changed_in_forms_is_shown_too(root: Client) -> None:
    queue = TaskQueue.objects.queue("simulator")
    change = reverse("admin:queueing_taskqueue_change", args=[queue.pk])
    root.post(change, {"soft_mark": "10", "hard_mark": "20", "user_mark": "5", "user_slots": "", "_save": "Save"})
    assert LogEntry.objects.exists(), "the form did not save"

    page = root.get(PAGE, {"view": "forms"}).content.decode()

    assert "simulator.default" in page
    assert User.objects.get().get_username() in page
