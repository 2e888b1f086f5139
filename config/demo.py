"""A week of history, made by the engine's own verbs at past moments: each task is submitted, run and paid."""

import math
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import transaction

from ai_tasks import finish_hooks, rollups, submission
from ai_tasks.accounts import budgets
from ai_tasks.accounts.models import Budget
from ai_tasks.lease import Lease
from ai_tasks.models import AIGenerationTask
from ai_tasks.submission import TaskRequest
from chat import conversation
from config import welcome
from providers import control
from providers.errors import BadRequest, ContentRefused, ContextWindowExceeded, MalformedAnswer, ProviderError
from providers.types import Completion, FinishReason, Usage

SEED = 1
"""What is written is always the same, but for its time."""
DAYS = 7
TASKS = 400
NAMES = ("alice", "bob", "demo-reports", "demo-support")
LIMIT_USD = Decimal("0.08")
"""What the last of them may spend in a month: about two thirds of it are spent."""
MODELS = {"default": 6, "simulator/sim-1": 3, "simulator/sim-large": 1}
ERRORS: dict[type[ProviderError], int] = {
    BadRequest: 3,
    ContentRefused: 4,
    ContextWindowExceeded: 2,
    MalformedAnswer: 1,
}
MOST_OUTPUT = 900
FAILING, CANCELLED = 0.05, 0.02
PROMPTS = (
    "Summarise the support tickets of the day.",
    "Write release notes from these commits.",
    "Translate the onboarding mail into Japanese.",
    "Which of these invoices are overdue?",
    "Draft an answer to a customer who waits for a refund.",
)
ANSWER = "This answer stands for one that a provider gave."
CHATS = {
    "Which river is the longest in Japan?": "The **Shinano**, 367 km long, from Nagano to the Sea of Japan at Niigata.",
    "How do I sort a dict by value in Python?": "```python\nsorted(prices.items(), key=lambda item: item[1])\n```",
    "What does a tasuki mean in a relay race?": "The sash that one runner hands on to the next: *the run goes on*.",
}


class OtherWork(Exception):
    """Something else is waiting, and would be run in the demo's name."""


def seed(tell: Callable[[str], object], *, now: datetime, tasks: int = TASKS) -> int:
    """
    Write the history of the week before `now`, and roll it up; return how many tasks it has.

    Each task is one transaction, which nobody sees before it is over. Raises OtherWork where other tasks are waiting.
    """
    control.ensure_providers(now)
    if AIGenerationTask.objects.pending().exists():
        raise OtherWork("Other tasks are waiting. Let them end, or cancel them, and try again.")
    rng = random.Random(SEED)  # noqa: S311 (a script, not a secret)
    owners = [User.objects.get_or_create(username=name)[0] for name in NAMES]
    _budget(owners[-1], now)
    # What becomes of a task must not depend on how many moments of the day were drawn.
    moments = sorted(_moments(random.Random(SEED), now, tasks))  # noqa: S311
    for number, moment in enumerate(moments, 1):
        _task(rng, rng.choice(owners), moment)
        if number % 50 == 0:
            tell(f"{number} of {len(moments)} tasks")
    for number, (question, answer) in enumerate(CHATS.items()):
        _chat(welcome.admin_user(), question, answer, moments[-1 - number])
    while rollups.roll_up(now):
        tell("Rolling up ...")
    return len(moments) + len(CHATS)


def _budget(owner: User, now: datetime) -> None:
    """Bound one user's month, unless it is bounded already."""
    bounded = {"scope": Budget.Scope.USER, "scope_key": str(owner.pk)}
    if not Budget.objects.filter(**bounded).exists():
        budgets.store(Budget(**bounded, limit_usd=LIMIT_USD), now)


def _moments(rng: random.Random, now: datetime, count: int) -> list[datetime]:
    """Return when the tasks came: more by day than by night."""
    found: list[datetime] = []
    while len(found) < count:
        moment = now - timedelta(minutes=3) - timedelta(days=DAYS) * rng.random()
        if rng.random() < 0.55 - 0.45 * math.cos((moment.hour + 9) % 24 / 24 * math.tau):
            found.append(moment)
    return found


@transaction.atomic
def _task(rng: random.Random, owner: User, moment: datetime) -> None:
    model = rng.choices(list(MODELS), list(MODELS.values()))[0]
    wish = TaskRequest(
        type="text.generate", input={"prompt": rng.choice(PROMPTS), "max_output_tokens": MOST_OUTPUT}, model=model
    )
    task = submission.submit(owner, wish, now=moment)
    begun_at = moment + timedelta(seconds=rng.expovariate(1 / 2))
    ended_at = begun_at + timedelta(seconds=0.4 + rng.expovariate(1 / 3))
    chance = rng.random()
    if chance < CANCELLED:
        submission.cancel(task, now=begun_at)
        return
    lease = _claim(task, begun_at)
    if chance < CANCELLED + FAILING:
        error = rng.choices(list(ERRORS), list(ERRORS.values()))[0]()
        error.retryable = False
        AIGenerationTask.objects.fail(task.pk, lease.epoch, error, now=ended_at)
        return
    usage = Usage(input_tokens=rng.randint(40, 2_000), output_tokens=rng.randint(20, MOST_OUTPUT))
    _complete(lease, ANSWER, usage, ended_at)


@transaction.atomic
def _chat(owner: User, question: str, answer: str, moment: datetime) -> None:
    session = conversation.start_session(owner, now=moment)
    _, reply = conversation.send_message(session, question, now=moment)
    task = AIGenerationTask.objects.get(pk=reply.task_id)
    ended_at = moment + timedelta(seconds=2)
    _complete(_claim(task, moment + timedelta(seconds=0.2)), answer, Usage(input_tokens=60, output_tokens=40), ended_at)


def _claim(task: AIGenerationTask, now: datetime) -> Lease:
    lease: Lease | None = AIGenerationTask.objects.claim_next_pending_task(uuid4(), provider=task.provider, now=now)
    if lease is None or lease.task.pk != task.pk:
        raise OtherWork("Other tasks came in between. Try again when nothing else is waiting.")
    return lease


def _complete(lease: Lease, text: str, usage: Usage, now: datetime) -> None:
    told: dict[str, Any] = {"text": text, "finish_reason": FinishReason.STOP, "usage": usage}
    AIGenerationTask.objects.complete(lease.task.pk, lease.epoch, Completion(**told), now=now)
    finish_hooks.run_for(lease.task.pk)
