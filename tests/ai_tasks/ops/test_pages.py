"""What holds for every page of the console: who sees it, what it costs the database, how it refreshes itself."""

import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ai_tasks.models import AIGenerationTask
from ai_tasks.ops.pages.nav import PLACES, Place
from providers.errors import BadRequest
from tests.ai_tasks.conftest import MakeBudget
from tests.ai_tasks.graves import bury
from tests.ai_tasks.ops.conftest import SignIn
from tests.engine import answer, claimed, several, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]

MOST_QUERIES = 30
every_page = pytest.mark.parametrize("place", PLACES, ids=[place.name for place in PLACES])


@pytest.fixture
def world(alice: User, make_budget: MakeBudget) -> None:
    """Tasks of every fate, dead letters and a budget."""
    make_budget("10")
    task = text_task(alice)
    AIGenerationTask.objects.complete(task.pk, claimed().epoch, answer())
    dead = text_task(alice)
    AIGenerationTask.objects.fail(dead.pk, claimed().epoch, BadRequest("<script>alert(1)</script>"))
    bury(alice, 3)
    several(alice, 3)
    claimed()


@pytest.mark.usefixtures("world")
@every_page
def test_a_page_answers_within_thirty_queries(root: Client, place: Place) -> None:
    with CaptureQueriesContext(connection) as queries:
        answered = root.get(reverse(f"ops:{place.name}"))

    assert answered.status_code == 200
    assert len(queries) <= MOST_QUERIES, [each["sql"][:120] for each in queries]
    assert "<script>alert(1)</script>" not in answered.content.decode()


@every_page
def test_a_page_answers_where_nothing_has_happened_yet(root: Client, place: Place) -> None:
    assert root.get(reverse(f"ops:{place.name}")).status_code == 200


@every_page
def test_the_staff_need_the_permission(sign_in: SignIn, place: Place) -> None:
    client = sign_in()

    assert client.get(reverse(f"ops:{place.name}")).status_code == 403


@every_page
def test_the_permission_is_enough(sign_in: SignIn, place: Place) -> None:
    client = sign_in(place.needs)

    answered = client.get(reverse(f"ops:{place.name}"))

    assert answered.status_code == 200
    assert 'aria-current="page"' in answered.content.decode()


@every_page
def test_who_is_not_of_the_staff_is_refused_even_with_the_permission(sign_in: SignIn, place: Place) -> None:
    assert sign_in(place.needs, is_staff=False).get(reverse(f"ops:{place.name}")).status_code == 403


@every_page
def test_who_is_not_signed_in_is_asked_to(client: Client, place: Place) -> None:
    path = reverse(f"ops:{place.name}")

    answered = client.get(path)

    assert answered.status_code == 302
    assert answered.headers["Location"] == f"{reverse('admin:login')}?next={path}"


@every_page
def test_a_page_changes_nothing_when_posted_to(root: Client, place: Place) -> None:
    assert root.post(reverse(f"ops:{place.name}")).status_code == 405


@pytest.mark.usefixtures("world")
@every_page
def test_the_fragment_is_the_content_without_the_frame(root: Client, place: Place) -> None:
    path = reverse(f"ops:{place.name}")

    fragment, whole = root.get(path, headers={"X-Fragment": "1"}), root.get(path)

    headline = re.compile(r"<h2[^>]*>\s*([^<]+)")
    told = fragment.content.decode()
    assert "<html" not in told
    assert headline.findall(told)
    assert headline.findall(told) == headline.findall(whole.content.decode())
    assert "X-Fragment" in fragment.headers["Vary"]


@every_page
def test_a_page_has_nothing_inline_and_is_not_kept(root: Client, place: Place) -> None:
    answered = root.get(reverse(f"ops:{place.name}"))

    told = answered.content.decode()
    assert " style=" not in told
    assert "onclick" not in told
    assert "no-store" in answered.headers["Cache-Control"]
