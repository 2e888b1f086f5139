"""A reader's page through reloads, cuts, and deaths of the web process and of workers, at each part of an answer."""

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from config.local_services import free_port, throw_away_folder
from config.programs import printed_key, printed_link
from config.stack import Stack
from tests.browser.chat import Api, Ask, Open, answer_of, reply_of, state_after
from tests.flows.client import Api as Client
from tests.flows.client import eventually

pytestmark = [pytest.mark.browser, pytest.mark.stack]

PARTS = (10, 30, 60, 90)
TEXT = " ".join(f"word {number:04}," for number in range(400)) + " and that is all."
SECONDS = 8
"""How long an answer takes to be written."""
SLOWLY = {"text": TEXT, "latency_ms": 0, "tokens_per_second": round(len(TEXT) / 4 / SECONDS)}
PATIENCE_MS = 90_000
FAULTS = ("reload", "socket cut", "web process killed")

Harm = Callable[[Page], None]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """PostgreSQL, Redis, daphne, a worker and beat; leases are short, so that the reader need not wait for long."""
    settings = {"AI_LEASE_SECONDS": "6", "AI_LOST_CHARGE_GRACE_SECONDS": "1", "AI_CHAT_TITLES": "false"}
    with throw_away_folder("survives") as folder:
        running = Stack(folder, port=free_port(), workers=1, is_durable=False, **settings)
        try:
            running.start()
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="module")
def standalone(stack: Stack) -> SimpleNamespace:
    """What pages and calls need of an installation: here it is several processes."""
    told = stack.manage("welcome", "--url", stack.url)
    return SimpleNamespace(url=stack.url, login_link=printed_link(told), api_key=printed_key(told))


@pytest.fixture(scope="module")
def signed_in(standalone: Any) -> Any:
    """A browser's state at this installation."""
    return state_after(standalone.login_link)


@pytest.fixture
def sockets() -> list[WebSocketRoute]:
    """The chat sockets that pages opened, in their order."""
    return []


@pytest.fixture
def open_chat(open_page: Open, sockets: list[WebSocketRoute]) -> Callable[[str], Page]:
    """Return a function that opens a chat whose sockets can be cut; that a server was away may be told."""

    def route(page: Page) -> None:
        page.route_web_socket(re.compile("/ws/chat/"), through)

    def through(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        sockets.append(socket)
        server.on_message(socket.send)

    def open_(session_id: str) -> Page:
        page = open_page(f"/chat/{session_id}/", before=route, refused="ERR_CONNECTION_REFUSED")
        page.set_default_timeout(PATIENCE_MS)
        return page

    return open_


@pytest.fixture
def harm(request: pytest.FixtureRequest, stack: Stack, sockets: list[WebSocketRoute]) -> Iterator[Harm]:
    """Return what befalls the page: the fault of this name; the server is back when the test ends."""

    def kill_the_web_process(page: Page) -> None:
        stack.kill("web")
        stack.spawn("web")

    faults: dict[str, Harm] = {
        "reload": lambda page: page.reload() and None,
        "socket cut": lambda page: sockets[-1].close(code=1012),
        "web process killed": kill_the_web_process,
    }
    yield faults[request.param]
    stack.wait_until_ready()


def wait_for_part(page: Page, percent: int) -> None:
    """Wait until so much of the answer is to be read."""
    least = len(TEXT) * percent // 100
    expect(answer_of(page)).to_have_text(re.compile(rf"^.{{{least},}}"), timeout=PATIENCE_MS)


def wait_until(page: Page, state: str) -> None:
    expect(page.locator(".message.assistant").last).to_have_attribute("data-state", state, timeout=PATIENCE_MS)


def assert_whole(page: Page, api: Api, session_id: str, stack: Stack) -> None:
    """What is to be read is what is stored, to the letter, and nothing spins any more."""
    wait_until(page, "done")
    stack.wait_until_ready()
    assert answer_of(page).inner_text() == reply_of(api, session_id)["content"] == TEXT
    expect(page.locator(".progress:visible")).to_have_count(0)
    expect(page.locator("#send")).to_have_text("Send")
    expect(page.locator("#banner")).to_be_hidden()


@pytest.mark.parametrize("harm", FAULTS, indirect=True)
def test_an_answer_is_whole_after_it_befell_each_part(
    open_chat: Callable[[str], Page], ask: Ask, api: Api, harm: Harm, stack: Stack
) -> None:
    session_id = ask(simulate=SLOWLY)
    page = open_chat(session_id)

    for percent in PARTS:
        wait_for_part(page, percent)
        harm(page)

    assert_whole(page, api, session_id, stack)


@pytest.mark.parametrize("harm", FAULTS, indirect=True)
def test_stop_still_stops(open_chat: Callable[[str], Page], ask: Ask, api: Api, harm: Harm) -> None:
    session_id = ask(simulate=SLOWLY)
    page = open_chat(session_id)
    wait_for_part(page, PARTS[0])

    harm(page)
    page.locator("#send[data-does=stop]").click()

    wait_until(page, "cancelled")
    reply = reply_of(api, session_id)
    assert TEXT.startswith(reply["content"])
    assert len(TEXT) // 10 <= len(reply["content"]) < len(TEXT)


def test_a_killed_worker_costs_its_readers_time_alone(
    open_chat: Callable[[str], Page], ask: Ask, api: Api, stack: Stack, standalone: Any
) -> None:
    chats: list[tuple[str, Page]] = []
    # The first is at 90 % when the last is at 10.
    for ahead in (0, 30, 60, 80):
        if chats:
            wait_for_part(chats[0][1], ahead)
        session_id = ask(simulate=SLOWLY)
        chats.append((session_id, open_chat(session_id)))
    wait_for_part(chats[-1][1], PARTS[0])

    stack.kill("worker-1")
    stack.spawn("worker-1")

    for session_id, page in chats:
        assert_whole(page, api, session_id, stack)
    tasks = [reply_of(api, session_id)["task_id"] for session_id, _ in chats]
    client = Client(standalone.url, standalone.api_key)
    eventually(
        lambda: all(all(costs(client.task(each))) for each in tasks), "each attempt has its cost or its estimate"
    )
    courses = [[attempt["status"] for attempt in client.task(each)["attempts"]] for each in tasks]
    # The first may have ended before the worker did; the last had just begun.
    assert all(course in (["succeeded"], ["lost", "succeeded"]) for course in courses)
    assert courses[-1] == ["lost", "succeeded"]


def test_stop_still_stops_after_a_worker_was_killed(
    open_chat: Callable[[str], Page], ask: Ask, api: Api, stack: Stack
) -> None:
    session_id = ask(simulate=SLOWLY)
    page = open_chat(session_id)
    wait_for_part(page, PARTS[0])

    stack.kill("worker-1")
    stack.spawn("worker-1")
    page.locator("#send[data-does=stop]").click()

    wait_until(page, "cancelled")
    assert TEXT.startswith(reply_of(api, session_id)["content"])


def costs(task: Any) -> list[str | None]:
    return [each["cost_usd"] for each in task["attempts"]]
