"""How long lists, searches and pages of chats take beside ten thousand of them, at the server."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client

from ai_tasks import clock
from chat.models import ChatMessage, ChatSession
from config.backlog import child, refuse_other_databases
from config.local_services import Postgres, throw_away_folder

SESSIONS, MESSAGES, LONG_SESSION = 10_000, 4, 300
ROUNDS = 7
BATCH = 2_000
ANSWER = "The **tide** rises.\n\n```python\nprint(1)\n```\n\n" + "Words of an answer, as long as answers are. " * 20
SEARCHES = {"in one": "needle9876", "in all": "tide", "in none": "zanzibar", "two letters": "zq", "japanese": "重力波"}


def chats(tell: Callable[[str], object]) -> dict[str, Any]:
    """
    Measure on a throw-away PostgreSQL, with 10,000 chats of four messages for each of two users.

    Returns the rows of each user, and per request (the API's list, deep in it, searches, and the page of a chat of 300
    messages) the median of seven in ms, rendered whole in this process, without a network.
    """
    with throw_away_folder("chats") as folder:
        postgres = Postgres(folder / "postgres")
        postgres.start()
        try:
            tell(f"Writing {2 * SESSIONS:,} chats and asking for them ...")
            told = child(postgres, "chats", "measure_chats", "{}")
        finally:
            postgres.stop()
    return {"sessions": SESSIONS, "messages": SESSIONS * MESSAGES, "p50_ms": told}


def measure() -> dict[str, float]:
    """Fill and measure the database that `chats` made."""
    refuse_other_databases()
    call_command("migrate", verbosity=0)
    alice, bob = (User.objects.create_user(name) for name in ("alice", "bob"))
    _write(alice)
    _write(bob)
    long = _long_session(alice)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE chat_chatsession, chat_chatmessage")
    client = Client(HTTP_HOST="localhost")
    client.force_login(alice)
    sessions = "/api/v1/chat/sessions?limit=100"
    after = client.get(sessions).json()["next"]
    asked = {"list": sessions, "deep in it": f"{sessions}&cursor={after}"}
    asked |= {f"search {name}": f"{sessions}&q={words}" for name, words in SEARCHES.items()}
    asked["open 300 messages"] = f"/chat/{long.pk}/"
    return {name: _median_ms(client, path) for name, path in asked.items()}


def _median_ms(client: Client, path: str) -> float:
    took_ms = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = client.get(path)
        took_ms.append(1_000 * (time.perf_counter() - began))
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}: {json.dumps(answer.content.decode()[:500])}")
    return round(statistics.median(took_ms), 1)


def _write(owner: User) -> None:
    now = clock.now()
    made = [
        ChatSession(owner=owner, title=f"chat {place}", created_at=now, last_activity_at=now - timedelta(minutes=place))
        for place in range(SESSIONS)
    ]
    ChatSession.objects.bulk_create(made, batch_size=BATCH)
    ChatMessage.objects.bulk_create(
        (each for place, session in enumerate(made) for each in _messages(session, MESSAGES, place)), batch_size=BATCH
    )


def _messages(session: ChatSession, count: int, place: int) -> Iterator[ChatMessage]:
    for number in range(1, count + 1):
        content = f"needle{place} {ANSWER}" if number == count else ANSWER
        role = "user" if number % 2 else "assistant"
        yield ChatMessage(session=session, number=number, role=role, content=content, created_at=session.created_at)


def _long_session(owner: User) -> ChatSession:
    now = clock.now()
    session = ChatSession.objects.create(owner=owner, title="Long", created_at=now, last_activity_at=now)
    ChatMessage.objects.bulk_create(_messages(session, LONG_SESSION, SESSIONS))
    return session
