"""Station 1, SUBMIT: what a person may wish of a task: submit, cancel, retry."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import groupby
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from ai_tasks import affordability, clock, courier, crash_points, dispatch, finish_hooks, lease, preflight, settlement
from ai_tasks.accounts import coverage
from ai_tasks.errors import Mistake, NotPossible, QueueFull, TaskError, UnknownModel, UnknownTaskType
from ai_tasks.ids import uuid7
from ai_tasks.models import AIGenerationTask
from ai_tasks.states import ACTIVE, REVIVABLE, TaskStatus
from ai_tasks.task_types import registry
from ai_tasks.task_types.base import TaskType
from ai_tasks.trail import kept
from providers import routing
from providers.types import AfterCut, Route
from queueing import errors as queue_errors
from queueing.entries import Estimate
from queueing.models import QueueEntry, TaskQueue
from queueing.states import ParkedReason, Priority

ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRequest:
    """What somebody asks for."""

    type: str
    input: dict[str, Any]
    model: str = "default"
    """A route's alias, or `provider/model`, which has no fallback."""
    priority: Priority | None = None
    """None: the type's."""
    run_at: datetime | None = None
    deadline_seconds: int | None = None
    """Counted from max(now, run_at); None: the type's."""
    max_cost_usd: Decimal | None = None
    related: tuple[str, str] | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    callback_url: str = ""
    serial_key: str = ""
    api_key_id: int | None = None
    """By which it was asked for; its budgets bound the task, too."""


@transaction.atomic
def submit(
    owner: User, request: TaskRequest, *, is_public: bool = False, now: datetime | None = None
) -> AIGenerationTask:
    """
    Write the task and its queue entry, in the caller's transaction if there is one, and return the task.

    Budgets and the queue's marks are only read. The dispatcher is woken on commit. Raises InvalidInput,
    UnknownTaskType (also for types that are not public, when `is_public`), UnknownModel, ContextWindowTooSmall,
    NoCandidate, UnpricedModel, BudgetExceeded and QueueFull; then nothing is written.
    """
    now = now or clock.now()
    task, estimate = _prepare(owner, request, _route(request.model), is_public=is_public, now=now)
    affordability.Means(now).check(task, estimate)
    _store([(task, estimate)], now)
    return task


def _prepare(
    owner: User, request: TaskRequest, route: Route, *, is_public: bool, now: datetime
) -> tuple[AIGenerationTask, Estimate]:
    """Return the task at the first place that can take it, not stored, and what it reserves there."""
    task_type = registry.get(request.type)
    if is_public and not task_type.is_public:
        raise UnknownTaskType("Tasks of this type are not created directly.", errors=(Mistake("/type", "reserved"),))
    registry.validate(request.type, request.input)
    task = _draft(owner, request, task_type, now)
    asked = _asked(task, task_type)
    places, skipped = preflight.choose(route, asked, now)
    task.route = [[each.provider, each.model] for each in places]
    task.provider, task.model = task.route[0]
    said: dict[str, Any] = {"on_error": dict(route.on_error), "skipped": skipped}
    if route.after_cut != AfterCut.RESTART:
        said["after_cut"] = route.after_cut
    task.route_policy = {name: value for name, value in said.items() if value}
    return task, affordability.within_max_cost(task, asked, now)


def _store(prepared: Sequence[tuple[AIGenerationTask, Estimate]], now: datetime) -> None:
    """Write new tasks and their entries, all of one user and for one class of one queue."""
    AIGenerationTask.objects.bulk_create([task for task, _ in prepared])
    _enqueue(prepared, now)
    _announce([task for task, _ in prepared])
    crash_points.reached("submitting")


@transaction.atomic
def submit_all(
    owner: User,
    requests: Sequence[TaskRequest],
    *,
    pointer: str = "",
    is_public: bool = False,
    now: datetime | None = None,
) -> list[AIGenerationTask]:
    """
    Submit several tasks, all or none, and return them in the order of their requests; raises what `submit` raises.

    Its mistakes then begin with the place of the request, after `pointer`. Within, they go by queue and class: two who
    submit the same in opposite order wait for, and never on, each other.
    """
    now = now or clock.now()
    routes: dict[str, Route] = {}
    means = affordability.Means(now)
    prepared: list[tuple[AIGenerationTask, Estimate]] = []
    for index, request in enumerate(requests):
        with _at(pointer, [index]):
            route = routes[request.model] = routes.get(request.model) or _route(request.model)
            prepared.append(_prepare(owner, request, route, is_public=is_public, now=now))
            means.check(*prepared[-1])
    places = [(task.provider, task.lane, task.priority, index) for index, (task, _) in enumerate(prepared)]
    for _, group in groupby(sorted(places), lambda place: place[:3]):
        indexes = [index for *_, index in group]
        with _at(pointer, indexes):
            _store([prepared[index] for index in indexes], now)
    return [task for task, _ in prepared]


@contextmanager
def _at(pointer: str, indexes: Sequence[int]) -> Iterator[None]:
    """Let what is wrong with one of several requests say with which: of a full queue, the first without room."""
    try:
        yield
    except TaskError as error:
        pointer = f"{pointer}/{indexes[error.fits if isinstance(error, QueueFull) else 0]}"
        error.errors = tuple(Mistake(pointer + each.pointer, each.detail) for each in error.errors) or (
            Mistake(pointer, error.detail),
        )
        raise


def _route(model: str) -> Route:
    try:
        return routing.route(model)
    except routing.UnknownModel as error:
        raise UnknownModel(str(error), errors=(Mistake("/model", "unknown"),)) from error


def _draft(owner: User, request: TaskRequest, task_type: TaskType, now: datetime) -> AIGenerationTask:
    begins = max(now, request.run_at or now)
    seconds = request.deadline_seconds
    deadline = task_type.deadline if seconds is None else timedelta(seconds=seconds)
    related_type, related_id = request.related or ("", "")
    return AIGenerationTask(
        id=uuid7(),
        owner=owner,
        api_key_id=request.api_key_id,
        type=task_type.name,
        priority=task_type.priority if request.priority is None else request.priority,
        lane=task_type.lane,
        requested_model=request.model,
        prompt_version=task_type.prompt_version,
        input=request.input,
        max_cost_usd=request.max_cost_usd,
        related_type=related_type,
        related_id=related_id,
        metadata=request.metadata,
        callback_url=request.callback_url,
        serial_key=request.serial_key,
        run_at=request.run_at,
        deadline_at=begins + deadline,
        created_at=now,
        **kept(),
    )


def _estimate(task: AIGenerationTask, task_type: TaskType, now: datetime) -> Estimate:
    """Return the tokens to reserve: the prompt's by its size, and the output cap, lowered to what the task may cost."""
    return affordability.within_max_cost(task, _asked(task, task_type), now)


def _asked(task: AIGenerationTask, task_type: TaskType) -> Estimate:
    prompt = task_type.build(task)
    return Estimate(prompt.input_tokens(), prompt.max_output_tokens)


def estimate_of(task: AIGenerationTask) -> Estimate:
    """Return the tokens that a stored task reserves, as at its submission."""
    return _estimate(task, registry.get(task.type), task.created_at)


def enqueue_again(task: AIGenerationTask, now: datetime) -> None:
    """Give a pending task that has none a new entry. Part of the caller's transaction."""
    _enqueue([(task, estimate_of(task))], now)
    _announce([task])


def _enqueue(wanted: Sequence[tuple[AIGenerationTask, Estimate]], now: datetime) -> None:
    try:
        entries = TaskQueue.objects.enqueue_all(wanted, now=now, is_guarded=True)
    except queue_errors.QueueFull as error:
        refusal = QueueFull(str(error), retry_after_seconds=error.retry_after_seconds)
        refusal.fits = error.fits
        raise refusal from error
    for (task, _), entry in zip(wanted, entries, strict=True):
        task.entry = entry


def _announce(tasks: Sequence[AIGenerationTask]) -> None:
    """Tell of tasks that are new in one queue, and wake its dispatcher; after the commit."""
    transaction.on_commit(partial(crash_points.reached, "submitted"))
    transaction.on_commit(partial(dispatch.ring, tasks[0].provider), robust=True)
    for task in tasks:
        lease.announce(task, task.status, frees_capacity=False)


def cancel(task: AIGenerationTask, *, now: datetime | None = None) -> AIGenerationTask:
    """
    Cancel the task and return it fresh; idempotent.

    One that waits ends at once. One that runs is asked to stop and stays `processing`, with `cancel_requested_at`,
    until its worker has stopped the provider; an answer that is complete by then wins.
    """
    settlement.cancel(AIGenerationTask.objects.all(), task.pk, now or clock.now())
    transaction.on_commit(partial(finish_hooks.run_for, task.pk), robust=True)
    return AIGenerationTask.objects.get(pk=task.pk)


def give_up(task: AIGenerationTask, reason: str = "", *, now: datetime | None = None) -> AIGenerationTask:
    """
    End a pending task as failed, with a dead letter, and return it fresh; for operators.

    Raises NotPossible where the task is not pending (any more).
    """
    message = reason or "An operator ended it."
    if not settlement.give_up(AIGenerationTask.objects.all(), task.pk, "operator", message, now or clock.now()):
        raise NotPossible("Only a pending task can be given up; cancel one that runs.")
    transaction.on_commit(partial(finish_hooks.run_for, task.pk), robust=True)
    return AIGenerationTask.objects.get(pk=task.pk)


@transaction.atomic
def retry(task: AIGenerationTask, *, by: str = "", reason: str = "", now: datetime | None = None) -> AIGenerationTask:
    """
    Make a failed or timed-out task pending again, from its route's first candidate, and return it fresh.

    Same id; its epoch goes on; its tries and its deadline begin anew; its dead letter is marked redriven. A live task
    is returned as it is. Raises NotPossible for a completed or cancelled one, and QueueFull.
    """
    now = now or clock.now()
    fresh = AIGenerationTask.objects.select_for_update().get(pk=task.pk)
    if fresh.status in ACTIVE:
        return fresh
    if fresh.status not in REVIVABLE:
        raise NotPossible(f"A {fresh.status} task cannot be tried again.")
    if fresh.purged_at:
        raise NotPossible("What the task was asked is not kept any more: create a new one.")
    TaskQueue.objects.take_from_dlq([fresh.pk], by=by, reason=reason, now=now)
    return revive(fresh, fresh.route, 0, now)


def revive(
    task: AIGenerationTask, route: list[list[str]], position: int, now: datetime, *, until: datetime | None = None
) -> AIGenerationTask:
    """
    Make an ended task pending at this place of this route, with an entry, and return it fresh.

    With `until` it starts then at the soonest. Part of the caller's transaction, which has the task locked and its
    letter taken. Raises QueueFull, AlreadyQueued, and what its type or its max_cost_usd refuses.
    """
    task_type = registry.get(task.type)
    provider, model = route[position]
    values = {
        "status": TaskStatus.PENDING,
        "route": route,
        "route_position": position,
        "provider": provider,
        "model": model,
        **dict.fromkeys(("tries", "infrastructure_tries", "crashes"), 0),
        **dict.fromkeys(("finished_at", "cancel_requested_at", "run_at", "error", "output"), None),
        "deadline_at": max(now, until or now) + max(task_type.deadline, timedelta(0)),
        "updated_at": now,
        "version": F("version") + 1,
    }
    coverage.mark_stale(task.finished_at)
    courier.write_down_all(task.pk)
    AIGenerationTask.objects.filter(pk=task.pk).update(**values)
    fresh = AIGenerationTask.objects.get(pk=task.pk)
    _enqueue([(fresh, _estimate(fresh, task_type, now))], now)
    if until is not None and until > now:
        QueueEntry.objects.for_task(fresh.pk).park(reason=ParkedReason.REDRIVE, until=until)
    _announce([fresh])
    return fresh
