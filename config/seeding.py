"""Fills a PostgreSQL database with a large installation's rows, made out of a few inside the database."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Model

from ai_tasks import clock, submission
from ai_tasks.accounts.models import Attempt, LedgerEntry
from ai_tasks.models import AIGenerationTask
from providers import control
from queueing.models import DeadLetter, QueueEntry, TaskQueue

SPREAD = "30 days"
"""Over so long did the finished tasks end."""
ERROR = '{"code": "unavailable", "message": "Down.", "retryable": true}'
OUTPUT = '{"text": "The Rhine.", "finish_reason": "stop", "truncated": false}'
UUID7 = """(lpad(to_hex((extract(epoch FROM {time}) * 1000)::bigint), 12, '0') || '7' ||
    substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid"""
"""An id of version 7 (RFC 9562) of that time, as new tasks have: they stand in the order of their making."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows of what."""

    waiting: int = 0
    parked: int = 0
    finished: int = 0
    dead_letters: int = 0
    """Among the finished ones, the newest."""
    users: int = 1_000


def insert(template: Model, source: str, *params: int, **changes: str) -> int:
    """
    Insert a copy of a stored row for each row of `source`, a FROM item; return how many.

    `changes` are SQL expressions by column; the template's own columns are called `template.NAME`.
    """
    table = template._meta.db_table
    columns = [field.column for field in template._meta.concrete_fields if field.get_internal_type() != "BigAutoField"]
    values = ", ".join(changes.get(column or "", f'template."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ({names}) SELECT {values} FROM "{table}" AS template, {source} '  # noqa: S608
            f'WHERE template."{template._meta.pk.column}" = %s',
            [*params, template.pk],
        )
        return int(cursor.rowcount)


def analyze(*models: type[Model]) -> None:
    """Give the planner its statistics, and the tables their visibility maps."""
    with connection.cursor() as cursor:
        for model in models:
            cursor.execute(f'{"ANALYZE" if connection.in_atomic_block else "VACUUM ANALYZE"} "{model._meta.db_table}"')


def seed(size: Size, tell: Callable[[str], object] = lambda text: None) -> None:
    """Add the rows, over all users and classes of the simulator's queue, and lift the marks that would refuse them."""
    control.ensure_providers(clock.now())
    names = [f"seed-{number}" for number in range(size.users)]
    User.objects.bulk_create([User(username=name) for name in names], ignore_conflicts=True)
    first = User.objects.filter(username__in=names).earliest("pk")
    TaskQueue.objects.queue("simulator")
    TaskQueue.objects.filter(provider="simulator").update(soft_mark=None, hard_mark=None, user_mark=None)
    with transaction.atomic():
        wish = submission.TaskRequest(type="text.generate", input={"prompt": "Name a river."}, model="simulator/sim-1")
        task = submission.submit(first, wish)
        _waiting(task, size, tell)
        _finished(task, size, tell)
        submission.cancel(task)
    analyze(AIGenerationTask, QueueEntry, Attempt, LedgerEntry, DeadLetter)


def _waiting(task: AIGenerationTask, size: Size, tell: Callable[[str], object]) -> None:
    entry, mark = QueueEntry.objects.get(task_id=task.pk), uuid4().hex
    common = {
        "id": UUID7.format(time="now()"),
        "owner_id": f"{task.owner_id} + mod(n, {size.users})",
        "priority": "mod(n, 5)",
        "metadata": f"jsonb_build_object('seed', '{mark}', 'parked', n > {size.waiting})",
    }
    insert(task, "generate_series(1, %s) AS n", size.waiting + size.parked, **common)
    is_parked = "(task.metadata->>'parked')::boolean"
    insert(
        entry,
        f"(SELECT * FROM ai_tasks_aigenerationtask WHERE metadata->>'seed' = '{mark}') AS task",  # noqa: S608
        task_id="task.id",
        priority="task.priority",
        owner_key="task.owner_id::text",
        fair_tag="random() * 1e6",
        state=f"CASE WHEN {is_parked} THEN 'parked' ELSE 'waiting' END",
        parked_reason=f"CASE WHEN {is_parked} THEN 'retry_backoff' ELSE '' END",
        parked_until=f"CASE WHEN {is_parked} THEN now() + interval '1 day' + random() * interval '1 day' END",
    )
    tell(f"{size.waiting:,} waiting and {size.parked:,} parked")


def _finished(task: AIGenerationTask, size: Size, tell: Callable[[str], object]) -> None:
    mark, step = uuid4().hex, f"(interval '{SPREAD}' / {max(size.finished, 1)})"
    then = f"(now() - n * {step})"
    # Dead letters are of the newest; beyond them one in fifty has failed and was dealt with.
    failed = f"(n <= {size.dead_letters} OR mod(n, 50) = 0)"
    insert(
        task,
        "generate_series(1, %s) AS n",
        size.finished,
        id=UUID7.format(time=f"{then} - interval '5 s'"),
        owner_id=f"{task.owner_id} + mod(n, {size.users})",
        priority="mod(n, 5)",
        status=f"CASE WHEN {failed} THEN 'failed' ELSE 'completed' END",
        error=f"CASE WHEN {failed} THEN '{ERROR}'::jsonb END",
        output=f"CASE WHEN NOT {failed} THEN '{OUTPUT}'::jsonb END",
        epoch="1",
        cost_usd="1000 + mod(n, 997)",
        metadata=f"jsonb_build_object('seed', '{mark}', 'n', n)",
        created_at=f"{then} - interval '5 s'",
        started_at=f"{then} - mod(n, 40) * interval '0.1 s'",
        finished_at=then,
        updated_at=then,
    )
    tell(f"{size.finished:,} finished")
    source = f"(SELECT * FROM ai_tasks_aigenerationtask WHERE metadata->>'seed' = '{mark}') AS task"  # noqa: S608
    _bills(task, source)
    tell("their attempts and the ledger")
    if size.dead_letters:
        _letters(task, source, f"(task.metadata->>'n')::int <= {size.dead_letters}")
        tell(f"{size.dead_letters:,} dead letters")


def _bills(task: AIGenerationTask, source: str) -> None:
    now = clock.now()
    attempt = Attempt.objects.create(
        task=task, epoch=9, dispatch_id=uuid4(), provider="simulator", model="sim-1", state="failed", admitted_at=now
    )
    times = {name: f"task.{name}" for name in ("started_at", "finished_at")}
    state = "CASE WHEN task.status = 'failed' THEN 'failed' ELSE 'succeeded' END"
    tokens = {"input_tokens": "10", "output_tokens": "mod(task.cost_usd, 200)"}
    own = {"task_id": "task.id", "epoch": "1", "dispatch_id": "gen_random_uuid()", "admitted_at": "task.started_at"}
    insert(attempt, source, state=state, **own, **times, **tokens)
    analyze(AIGenerationTask, Attempt)  # the planner would take the new rows for none, and join them one by one
    charge = LedgerEntry.objects.create(
        task=task,
        attempt=attempt,
        owner=task.owner,
        task_type=task.type,
        provider="simulator",
        model="sim-1",
        amount_usd=Decimal(0),
        created_at=now,
    )
    paid = f"{source} JOIN ai_tasks_attempt AS made ON made.task_id = task.id"
    bill = {"amount_usd": "task.cost_usd", "created_at": "task.finished_at", "owner_id": "task.owner_id"}
    insert(charge, paid, attempt_id="made.id", task_id="task.id", **bill, **tokens)
    charge.delete()
    attempt.delete()


def _letters(task: AIGenerationTask, source: str, condition: str) -> None:
    letter = DeadLetter.objects.create(
        task_id=uuid4(),
        task_type=task.type,
        provider="simulator",
        model="sim-1",
        owner_key=str(task.owner_id),
        reason="tries_used_up",
        error_class="unavailable",
        message="Down.",
        fingerprint="seed",
        attempts=1,
        payload_place=str(task.pk),
        created_at=clock.now(),
    )
    insert(
        letter,
        f"(SELECT task.* FROM {source} WHERE {condition}) AS task",  # noqa: S608
        id=UUID7.format(time="task.finished_at"),
        task_id="task.id",
        owner_key="task.owner_id::text",
        fingerprint="'seed-' || mod(task.cost_usd, 40)",
        error_class="(ARRAY['unavailable', 'overloaded', 'malformed_answer'])[1 + mod(task.cost_usd, 3)]",
        created_at="task.finished_at",
    )
    letter.delete()
