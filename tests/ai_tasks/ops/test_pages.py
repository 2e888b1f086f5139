"""What holds for every page of the console: who sees it, what it costs the database, how it refreshes itself."""

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from ai_tasks.models import AIGenerationTask
from ai_tasks.ops.pages.nav import PLACES
from ai_tasks.redrives import jobs
from providers.errors import BadRequest
from queueing.models import Redrive
from tests.ai_tasks.conftest import MakeBudget
from tests.ai_tasks.graves import bury
from tests.ai_tasks.ops.conftest import SignIn
from tests.engine import NOW, answer, claimed, several, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready", "world")]

MOST_QUERIES = 30
NEEDS = {name: place.needs for place in PLACES for name in (place.name, *place.within)}
ARGUMENTS: dict[str, Callable[[], list[object]]] = {
    "provider": lambda: ["simulator"],
    "queue": lambda: ["simulator"],
    "job": lambda: [(Redrive.objects.first() or jobs.begin({}, by="<script>alert(1)</script>")).pk],
    "task": lambda: [AIGenerationTask.objects.latest("finished_at").pk],
}
every_page = pytest.mark.parametrize("name", NEEDS)


@pytest.fixture
def world(alice: User, make_budget: MakeBudget) -> None:
    """Tasks of every fate, dead letters and a budget."""
    make_budget("10")
    task = text_task(alice)
    AIGenerationTask.objects.complete(task.pk, claimed().epoch, answer("<script>alert(1)</script>"))
    dead = text_task(alice, prompt="<script>alert(1)</script>")
    AIGenerationTask.objects.fail(dead.pk, claimed().epoch, BadRequest("<script>alert(1)</script>"), now=NOW)
    bury(alice, 3)
    several(alice, 3)
    claimed()


def path_of(name: str) -> str:
    return reverse(f"ops:{name}", args=ARGUMENTS.get(name, list)())


@every_page
def test_a_page_answers_within_thirty_queries(root: Client, name: str) -> None:
    path = path_of(name)

    with CaptureQueriesContext(connection) as queries:
        answered = root.get(path)

    assert answered.status_code == 200
    assert len(queries) <= MOST_QUERIES, [each["sql"][:120] for each in queries]


@every_page
def test_what_people_wrote_is_text(root: Client, name: str) -> None:
    assert "<script>alert(1)</script>" not in root.get(path_of(name)).content.decode()


@pytest.mark.parametrize("name", sorted(set(NEEDS) - set(ARGUMENTS)))
def test_a_page_answers_where_nothing_has_happened_yet(root: Client, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM queueing_queueentry")
        cursor.execute("DELETE FROM queueing_deadletter")

    assert root.get(path_of(name)).status_code == 200


@every_page
def test_the_staff_need_the_permission(sign_in: SignIn, name: str) -> None:
    answered = sign_in().get(path_of(name))

    assert answered.status_code == 403
    assert f"The permission {NEEDS[name]} is missing." in answered.content.decode()


@every_page
def test_the_permission_is_enough(sign_in: SignIn, name: str) -> None:
    answered = sign_in(NEEDS[name]).get(path_of(name))

    assert answered.status_code == 200
    assert 'aria-current="page"' in answered.content.decode()


@every_page
def test_who_is_not_of_the_staff_is_refused_even_with_the_permission(sign_in: SignIn, name: str) -> None:
    assert sign_in(NEEDS[name], is_staff=False).get(path_of(name)).status_code == 403


@every_page
def test_who_is_not_signed_in_is_asked_to(client: Client, name: str) -> None:
    answered = client.get(path_of(name))

    assert answered.status_code == 302
    assert answered.headers["Location"] == f"{reverse('admin:login')}?next={path_of(name)}"


@every_page
def test_a_page_changes_nothing_when_posted_to(root: Client, name: str) -> None:
    assert root.post(path_of(name)).status_code == 405


@every_page
def test_the_fragment_is_the_content_without_the_frame(root: Client, name: str) -> None:
    fragment, whole = root.get(path_of(name), headers={"X-Fragment": "1"}), root.get(path_of(name))

    headline = re.compile(r"<h2[^>]*>\s*([^<]+)")
    told = fragment.content.decode()
    assert "<html" not in told
    assert headline.findall(told)
    assert headline.findall(told) == headline.findall(whole.content.decode())
    assert "X-Fragment" in fragment.headers["Vary"]


@every_page
def test_a_page_has_nothing_inline_and_is_not_kept(root: Client, name: str) -> None:
    answered = root.get(path_of(name))

    told = answered.content.decode()
    assert " style=" not in told
    assert "onclick" not in told
    assert "no-store" in answered.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["tasks", "queues"])
@pytest.mark.parametrize("query", ["?type=%00", "?user=" + "x" * 300, "?cursor=x&before=x", "?state=%ff&lane='--"])
def test_a_hostile_query_is_refused_or_passed_over(root: Client, name: str, query: str) -> None:
    path = reverse("ops:queue", args=["simulator"]) if name == "queues" else reverse("ops:tasks")

    assert root.get(path + query).status_code in (200, 400, 404)
