"""An action by its page: it asks, tells, acts once and is noted."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from ai_tasks import clock
from ai_tasks.models import AIGenerationTask, AuditEntry
from ai_tasks.ops import queues
from ai_tasks.ops.actions import tokens
from ai_tasks.oversight.actions import Action
from providers import control, routing
from queueing.models import TaskQueue
from tests.ai_tasks.ops.people import by, in_role
from tests.ai_tasks.ops.wishes import address, token_of, wish
from tests.engine import at_once, several, text_task

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("providers_ready")]

SIMULATOR = {"provider": "simulator"}


@pytest.fixture
def carol(client: Client) -> Client:
    """An operator's browser."""
    client.force_login(in_role("operator"))
    return client


def paused() -> list[str]:
    return sorted(set(TaskQueue.objects.filter(paused_at__isnull=False).values_list("pause_reason", flat=True)))


def test_a_page_says_what_how_many_and_to_what_effect(carol: Client, alice: User) -> None:
    several(alice, 3)

    page = carol.get(address("pause-provider", **SIMULATOR)).content.decode()

    assert "Provider simulator" in page
    assert "Nothing is admitted or started there" in page
    assert "<dd>3</dd>" in page


def test_a_page_says_what_others_did_there_last(carol: Client) -> None:
    queues.drain_provider("simulator", by("bob", reason="<b>Mine.</b>", now=clock.now()))

    page = " ".join(carol.get(address("force-circuit", **SIMULATOR)).content.decode().split())

    assert "bob, Drain a provider: &lt;b&gt;Mine.&lt;/b&gt;" in page


def test_a_pause_for_an_hour_ends_by_itself(carol: Client) -> None:
    answer = wish(carol, "pause-provider", SIMULATOR, minutes="60")

    assert (answer.status_code, answer["Location"]) == (302, "/admin/ops/providers/simulator/")
    assert paused() == ["Because. (carol)"]
    until = TaskQueue.objects.filter(provider="simulator").latest("pk").paused_until
    assert until is not None
    assert abs(until - clock.now() - timedelta(hours=1)) < timedelta(seconds=30)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.reason, entry.action) == ("carol", "Because.", "pause-provider")


@pytest.mark.parametrize(
    "filled",
    [
        {"reason": ""},
        {"reason": " "},
        {"reason": "x" * 151},
        {"reason": "a\nb"},
        {"reason": "a\x00b"},
        {"minutes": "7"},
        {"minutes": "x"},
        {"until": "2020-01-01T00:00"},
        {"until": "soon"},
        {"token": ""},
        {"token": "x"},
    ],
    ids=str,
)
def test_what_is_filled_in_wrongly_is_told_and_changes_nothing(carol: Client, filled: dict[str, str]) -> None:
    answer = wish(carol, "pause-provider", SIMULATOR, **filled)

    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode() or "errornote" in answer.content.decode()
    assert (paused(), AuditEntry.objects.count()) == ([], 0)


@pytest.mark.parametrize(
    "query", [{}, {"provider": "nobody"}, {"provider": "a\x00b"}, {"provider": ["x", "y"]}], ids=str
)
def test_what_is_not_there_is_not_found(carol: Client, query: dict[str, Any]) -> None:
    assert carol.get(address("pause-provider", **query)).status_code == 404
    assert carol.post(address("pause-provider", **query), {"reason": "x"}).status_code in (404, 422)
    assert carol.get(address("no-such-thing", **query)).status_code == 404
    assert not AuditEntry.objects.exists()


def test_a_form_that_is_sent_twice_acts_once(carol: Client) -> None:
    path = address("pause-provider", **SIMULATOR)
    body = {"token": token_of(carol, path), "reason": "Once."}

    carol.post(path, body)
    before = TaskQueue.objects.filter(provider="simulator").values_list("paused_at", flat=True)[0]
    again = carol.post(path, body, follow=True)

    assert "This was done already." in again.content.decode()
    assert AuditEntry.objects.count() == 1
    assert TaskQueue.objects.filter(provider="simulator").values_list("paused_at", flat=True)[0] == before


@pytest.mark.django_db(transaction=True)
def test_of_many_who_send_the_same_form_at_once_one_acts(alice: User) -> None:
    control.ensure_providers(clock.now())
    user = in_role("operator")
    path = address("probe-provider", **SIMULATOR)
    browsers = [Client() for _ in range(6)]
    for browser in browsers:
        browser.force_login(user)
    body = {"token": token_of(browsers[0], path), "reason": "Once.", "model": "sim-1"}

    answers = at_once([lambda browser=browser: browser.post(path, body) for browser in browsers])

    assert {getattr(answer, "status_code", answer) for answer in answers} == {302}
    assert (AuditEntry.objects.count(), AIGenerationTask.objects.count()) == (1, 1)


def test_the_same_form_with_other_words_is_refused(carol: Client) -> None:
    path = address("pause-provider", **SIMULATOR)
    token = token_of(carol, path)
    carol.post(path, {"token": token, "reason": "One."})

    answer = carol.post(path, {"token": token, "reason": "Two."})

    assert answer.status_code == 422
    assert "sent before with other words" in answer.content.decode()
    assert paused() == ["One. (carol)"]


def test_a_form_of_another_or_for_another_action_or_too_old_is_refused(carol: Client) -> None:
    user = User.objects.get(username="carol")
    path = address("pause-provider", **SIMULATOR)
    made = tokens.make(user.pk, Action.PAUSE_PROVIDER, 1)

    assert tokens.read(made, user.pk, Action.PAUSE_PROVIDER) is not None
    assert tokens.read(made, user.pk + 1, Action.PAUSE_PROVIDER) is None
    assert tokens.read(made, user.pk, Action.RESUME_PROVIDER) is None
    for wrong in (tokens.make(user.pk + 1, Action.PAUSE_PROVIDER, 1), signing.dumps(["x"], salt="other"), made[:-1]):
        assert carol.post(path, {"token": wrong, "reason": "x"}).status_code == 422
    assert paused() == []


def test_a_form_leads_back_to_where_it_came_from_but_never_elsewhere(carol: Client) -> None:
    here = wish(carol, "pause-provider", SIMULATOR | {"next": "/admin/ops/queues/"})
    elsewhere = wish(carol, "resume-provider", SIMULATOR | {"next": "https://evil.example/"})

    assert here["Location"] == "/admin/ops/queues/"
    assert elsewhere["Location"] == "/admin/ops/providers/simulator/"


def test_a_post_without_the_csrf_token_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(in_role("operator"))
    path = address("pause-provider", **SIMULATOR)

    assert client.post(path, {"token": token_of(client, path), "reason": "x"}).status_code == 403
    assert paused() == []


def test_a_circuit_is_forced_and_given_back(carol: Client) -> None:
    wish(carol, "force-circuit", SIMULATOR, mode="forced_open", minutes="30")
    assert routing.circuit("simulator")["mode"] == "forced_open"
    assert routing.circuit("simulator")["forced_until"] is not None

    wish(carol, "force-circuit", SIMULATOR, mode="closed")

    assert (routing.circuit("simulator")["mode"], routing.circuit("simulator")["state"]) == ("auto", "closed")


def test_limits_are_shown_previewed_and_changed_for_a_while(carol: Client, alice: User) -> None:
    several(alice, 80)
    path, filled = address("set-limits", **SIMULATOR), {"requests_per_minute": "40", "minutes": "30", "reason": "Less."}
    token = token_of(carol, path)

    looked = carol.post(path, filled | {"token": token, "preview": "1"})
    assert looked.status_code == 200
    assert "in 2 min" in looked.content.decode()
    assert routing.limits("simulator")[""].requests_per_minute is None

    carol.post(path, filled | {"token": token})

    bounds = routing.limits("simulator")[""]
    assert (bounds.requests_per_minute, bounds.max_concurrency) == (40, None)
    assert "Less." in carol.get(path).content.decode()
    assert AuditEntry.objects.get().after["back_at"]


def test_a_probe_is_a_task_of_its_own_type_first_in_turn(carol: Client, alice: User) -> None:
    text_task(alice)

    answer = wish(carol, "probe-provider", SIMULATOR, model="sim-1")

    probe = AIGenerationTask.objects.get(type="provider.probe")
    assert answer["Location"].endswith(f"/tasks/{probe.pk}/")
    assert (probe.owner.username, probe.priority, probe.model) == ("carol", 0, "sim-1")


def test_a_probe_lets_an_open_circuit_try_itself_and_closes_it(carol: Client) -> None:
    now = clock.now()
    control.trip("simulator", cause="authentication_failed", now=now, until_operator=True)
    assert not routing.gate("simulator", now).probe

    wish(carol, "probe-provider", SIMULATOR, model="sim-1")

    assert routing.gate("simulator", clock.now()).probe


@pytest.mark.parametrize("shut", ["paused", "forced"])
def test_a_probe_of_a_provider_that_an_operator_shut_is_refused(carol: Client, shut: str) -> None:
    if shut == "paused":
        wish(carol, "pause-provider", SIMULATOR)
    else:
        wish(carol, "force-circuit", SIMULATOR, mode="forced_open")

    answer = wish(carol, "probe-provider", SIMULATOR, model="sim-1")

    assert answer.status_code == 422
    assert not AIGenerationTask.objects.exists()


@pytest.mark.usefixtures("second_provider")
def test_forcing_fallback_shows_where_work_would_go_and_sends_it_there(carol: Client, alice: User) -> None:
    several(alice, 4, model="both")
    several(alice, 2, model="simulator/sim-1")

    with CaptureQueriesContext(connection) as queries:
        page = carol.get(address("force-fallback", **SIMULATOR)).content.decode()
    asked = len(queries)
    answer = wish(carol, "force-fallback", SIMULATOR, minutes="60")

    cells = " ".join(page.split())
    assert '<th scope="row">second</th> <td class="number" data-label="Of the waiting">4</td>' in cells
    assert "100%" in cells
    assert '<th scope="row">nowhere: they wait</th><td class="number" data-label="Of the waiting">2</td>' in cells
    assert asked <= 30
    assert answer.status_code == 302
    gate = routing.gate("simulator", clock.now())
    assert gate.reason == "circuit_open"
    assert gate.until is not None
    assert AuditEntry.objects.get().action == "force-fallback"


@pytest.mark.parametrize("minutes", ["0", "-1", "1441", "x", ""])
def test_a_fallback_has_an_end_within_a_day(carol: Client, minutes: str) -> None:
    assert wish(carol, "force-fallback", SIMULATOR, minutes=minutes).status_code == 422
    assert routing.circuit("simulator")["mode"] == "auto"


def test_a_long_queue_is_previewed_by_a_sample(carol: Client, alice: User) -> None:
    several(alice, 1_050)

    page = carol.get(address("force-fallback", **SIMULATOR)).content.decode()

    assert "≈ 1,050" in page
