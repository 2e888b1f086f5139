"""ChatSession.objects.get_token_usage_by_user, and what sessions used."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from chat import conversation, usage
from chat.models import ChatSession
from chat.states import MessageRole
from chat.usage import Period, TokenUsage
from tests import engine

pytestmark = pytest.mark.django_db(transaction=True)

REPOSITORY = ChatSession.objects
FOREVER = Period(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


def test_token_usage_counts_stopped_and_regenerated_replies_of_the_user(alice: User, bob: User) -> None:
    session = conversation.start_session(alice)
    _, reply = conversation.send_message(session, "Hello", simulate={"text": "one two", "latency_ms": 0})
    engine.run_admitted()
    reply.refresh_from_db()
    conversation.regenerate(reply)
    engine.run_admitted()
    used = REPOSITORY.get_token_usage_by_user(alice, FOREVER)

    replies = list(session.messages.filter(role=MessageRole.ASSISTANT))
    assert used.total_tokens == sum(each.usage["total_tokens"] for each in replies)
    assert used.cost_usd == sum(Decimal(each.cost_usd) for each in replies)
    assert REPOSITORY.get_token_usage_by_user(bob, FOREVER) == TokenUsage()


def test_token_usage_is_of_the_period(session: ChatSession, alice: User) -> None:
    conversation.send_message(session, "Hello", simulate={"latency_ms": 0, "tokens_per_second": 0})
    engine.run_admitted()
    past = Period(datetime(2000, 1, 1, tzinfo=UTC), datetime(2001, 1, 1, tzinfo=UTC))

    assert REPOSITORY.get_token_usage_by_user(alice, past).total_tokens == 0
    assert REPOSITORY.get_token_usage_by_user(alice).total_tokens > 0


def test_each_session_shows_its_own_use(alice: User) -> None:
    used, unused = conversation.start_session(alice), conversation.start_session(alice)
    _, reply = conversation.send_message(used, "Hello", simulate={"latency_ms": 0, "tokens_per_second": 0})
    engine.run_admitted()

    found = usage.of_sessions([used.pk, unused.pk])

    reply.refresh_from_db()
    assert reply.usage is not None
    assert list(found) == [str(used.pk)]
    assert found[str(used.pk)].total_tokens == reply.usage["total_tokens"]
    assert found[str(used.pk)].cost_text == reply.cost_usd


def test_a_call_without_a_price_makes_the_cost_unknown() -> None:
    assert TokenUsage(cost_usd=Decimal(1), unpriced_calls=1).cost_text is None
    assert TokenUsage(cost_usd=Decimal("0.0500")).cost_text == "0.05"
