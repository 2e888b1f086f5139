"""Where actions are offered: to those who may do them, with the parameters that their confirmation pages take."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ai_tasks.ops.actions.urls import DO
from ai_tasks.ops.pages.nav import PLACES
from tests.ai_tasks.graves import bury
from tests.ai_tasks.ops.conftest import SignIn
from tests.engine import claimed, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]


@pytest.fixture
def pages(alice: User) -> list[str]:
    """Return the pages that offer actions, with something on them to act on."""
    running, waiting, dead = text_task(alice), text_task(alice), bury(alice)[0]
    claimed()
    return [
        reverse("ops:provider", args=["simulator"]),
        reverse("ops:queue", args=["simulator"]),
        reverse("ops:limits"),
        reverse("ops:tasks") + "?status=pending&user=alice",
        reverse("ops:task", args=[waiting.pk]),
        reverse("ops:task", args=[running.pk]),
        reverse("ops:workers") + "?leases=lost",
        reverse("ops:task", args=[dead.pk]),
        reverse("ops:dead-letters") + "?provider=simulator",
        reverse("ops:dead-letters") + "?view=letters&error_class=unavailable",
    ]


def offered(client: Client, paths: list[str]) -> set[str]:
    """Return the addresses of the actions that these pages offer."""
    told = "".join(client.get(path).content.decode() for path in paths)
    found = re.findall(r'(?:href|formaction)="(/admin/ops/do/[^"]+)"', told)
    return {each.replace("&amp;", "&") for each in found}


def test_every_action_that_is_begun_from_a_page_is_offered_and_answers(root: Client, pages: list[str]) -> None:
    links = offered(root, pages)

    assert {link.split("/")[4] for link in links} == set(DO) - {"stop-job", "resume-job"}
    for link in links:
        if "?" in link:
            assert root.get(link).status_code == 200, link


def test_a_viewer_is_offered_nothing(sign_in: SignIn, pages: list[str]) -> None:
    needs = {place.needs for place in PLACES if "cost" not in place.needs}
    viewer = sign_in(*needs)

    assert all(viewer.get(path).status_code == 200 for path in pages)
    assert offered(viewer, pages) == set()


def test_one_right_offers_one_action(sign_in: SignIn, pages: list[str]) -> None:
    client = sign_in("queueing.view_deadletter", "ai_tasks.redrive")

    assert {link.split("/")[4] for link in offered(client, pages[-2:])} == {"redrive"}
