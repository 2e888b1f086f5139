"""`manage.py demo`: a week of history that breaks no rule."""

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from ai_tasks import clock
from ai_tasks.accounts.rollup_models import TaskStat
from ai_tasks.models import AIGenerationTask
from chat.models import ChatMessage
from chat.states import MessageState
from config import demo
from config.chaos.invariants import violations
from queueing.models import DeadLetter
from tests.engine import text_task

pytestmark = [pytest.mark.usefixtures("providers_ready"), pytest.mark.django_db]


@pytest.mark.parametrize("hours_ago", [0, 9, 17])
def test_its_tasks_have_ended_within_the_week_and_are_rolled_up(hours_ago: int) -> None:
    now = clock.now() - timedelta(hours=hours_ago)

    demo.seed(lambda text: None, now=now, tasks=120)

    ended = AIGenerationTask.objects.of_type("text.generate")
    assert set(ended.values_list("status", flat=True)) == {"completed", "failed", "cancelled"}
    assert ended.count() == 120
    assert ended.order_by("created_at")[0].created_at >= now - timedelta(days=demo.DAYS, minutes=3)
    assert DeadLetter.objects.count() == ended.filter(status="failed").count()
    assert set(ChatMessage.objects.values_list("state", flat=True)) == {MessageState.DONE}
    assert TaskStat.objects.exists()
    assert violations() == []


def test_it_does_not_run_what_is_waiting(alice: User) -> None:
    waiting = text_task(alice)

    with pytest.raises(CommandError, match="Other tasks are waiting"):
        call_command("demo", stderr=StringIO())

    assert AIGenerationTask.objects.get() == waiting
