"""The shapes of answers, for the API's description. ai_tasks.representation makes them."""

from typing import Any

from drf_spectacular.drainage import set_override
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers

from ai_tasks.accounts.models import Budget
from ai_tasks.states import TaskStatus
from queueing.states import Lane, Priority

Document = serializers.Serializer[Any]


def always(word: str) -> serializers.CharField:
    """Return a field that is always this word."""
    field = serializers.CharField()
    set_override(field, "field", {"type": "string", "const": word})
    return field


class BudgetState(Document):
    """A budget without room: its limit, its use, and when it begins anew."""

    scope = serializers.ChoiceField(choices=Budget.Scope.values)
    key = serializers.CharField()
    interval = serializers.ChoiceField(choices=Budget.Interval.values)
    period = serializers.CharField()
    time_zone = serializers.CharField()
    limit_usd = serializers.CharField()
    spent_usd = serializers.CharField()
    held_usd = serializers.CharField()
    used_usd = serializers.CharField()
    resets_at = serializers.DateTimeField()


class ProblemMistake(Document):
    """One thing wrong with a request."""

    pointer = serializers.CharField(help_text="JSON pointer into the body; of a query parameter `?name`.")
    detail = serializers.CharField()


class ProblemDocument(Document):
    """An error, after RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    errors = ProblemMistake(many=True)  # type: ignore[assignment]
    request_id = serializers.CharField()
    retryable = serializers.BooleanField()
    budget = BudgetState(required=False, help_text="Of `budget_exceeded`: the budget that has no room.")
    required_usd = serializers.CharField(required=False, help_text="Of `budget_exceeded`: what the task may cost.")


class TaskError(Document):
    """Why a task failed."""

    code = serializers.CharField()
    message = serializers.CharField()
    retryable = serializers.BooleanField()


class TaskUsage(Document):
    """Tokens: cached within input, reasoning within output."""

    input_tokens = serializers.IntegerField()
    cached_input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    source = serializers.ChoiceField(choices=["provider", "counted", "estimated"])  # type: ignore[assignment]


class TaskWaiting(Document):
    """Why a pending task waits."""

    reason = serializers.CharField()
    until = serializers.DateTimeField(allow_null=True)
    position = serializers.IntegerField(allow_null=True)
    expected_start = serializers.DateTimeField(allow_null=True)
    budget = BudgetState(allow_null=True, help_text="Where the reason is `budget`.")


@extend_schema_field({"type": "object", "additionalProperties": {}})
class AnyObject(serializers.JSONField):
    """An object whose members its task type decides."""


class TaskDocument(Document):
    """A task."""

    id = serializers.UUIDField()
    object = always("task")
    type = serializers.CharField()
    status = serializers.ChoiceField(choices=TaskStatus.values)
    priority = serializers.ChoiceField(choices=[priority.word for priority in Priority])
    lane = serializers.ChoiceField(choices=Lane.values)
    prompt_version = serializers.IntegerField(help_text="Of the type's wording, with which it was submitted.")
    model = serializers.CharField()
    provider = serializers.CharField()
    input = AnyObject()
    output = AnyObject(allow_null=True)
    error = TaskError(allow_null=True)
    usage = TaskUsage(allow_null=True)
    cost_usd = serializers.CharField(allow_null=True, help_text="A decimal string; null: nothing yet, or unpriced.")
    skipped = serializers.ListField(
        child=AnyObject(),
        help_text="Places of the route that were left out at submission, or left while it waited there: `provider`, "
        "`model`, `reason`, `detail`, and of the latter `after_attempt`, the number of the attempt before (0: none).",
    )
    attempts = serializers.ListField(child=AnyObject())
    waiting = TaskWaiting(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    purged_at = serializers.DateTimeField(allow_null=True, help_text="Since then input and output are gone.")


class ListDocument(Document):
    """What every list has."""

    object = always("list")
    has_more = serializers.BooleanField()
    next = serializers.CharField(allow_null=True, help_text="Give it as `cursor` for what follows.")


class TaskList(ListDocument):
    """A page of tasks, newest first."""

    data = TaskDocument(many=True)  # type: ignore[assignment]


class TaskBatch(Document):
    """The tasks of one bulk call, in its order."""

    object = always("list")
    data = TaskDocument(many=True)  # type: ignore[assignment]


class UsageSums(Document):
    """Sums of the ledger: cached tokens within input, reasoning within output."""

    calls = serializers.IntegerField()
    estimated_calls = serializers.IntegerField(help_text="Whose usage nobody told us.")
    unpriced_calls = serializers.IntegerField(help_text="Whose price is not known: they are not in the cost.")
    input_tokens = serializers.IntegerField()
    cached_input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    cost_usd = serializers.CharField()


class UsageLine(UsageSums):
    """One group: its values under the names in `group_by`, and its sums."""

    day = serializers.DateField(required=False)
    provider = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    user = serializers.CharField(required=False)
    type = serializers.CharField(required=False)
    related = serializers.CharField(required=False)


class UsageDocument(Document):
    """A usage report."""

    object = always("usage")
    since = serializers.DateField()
    until = serializers.DateField()
    time_zone = serializers.CharField()
    group_by = serializers.ListField(child=serializers.CharField())
    data = UsageLine(many=True)  # type: ignore[assignment]
    total = UsageSums()


class TicketDocument(Document):
    """A right to open one WebSocket."""

    object = always("ws_ticket")
    ticket = serializers.CharField()
    expires_at = serializers.DateTimeField()


class BudgetDocument(Document):
    """A limit on money, and its current month or day; amounts are decimal strings."""

    object = always("budget")
    id = serializers.IntegerField()
    scope = serializers.ChoiceField(choices=Budget.Scope.values)
    key = serializers.CharField(help_text="Provider, user id, API key id or task type; empty for everything.")
    interval = serializers.ChoiceField(choices=Budget.Interval.values)
    time_zone = serializers.CharField()
    state = serializers.ChoiceField(choices=["available", "near_limit", "exhausted", "disabled"])
    period = serializers.CharField(help_text="As 2026-11, or 2026-11-23.")
    limit_usd = serializers.CharField()
    spent_usd = serializers.CharField()
    held_usd = serializers.CharField(help_text="For calls that have not ended.")
    used_usd = serializers.CharField(help_text="Spent and held.")
    left_usd = serializers.CharField()
    starts_at = serializers.DateTimeField()
    resets_at = serializers.DateTimeField()


class BudgetList(ListDocument):
    """A page of budgets, newest first."""

    data = BudgetDocument(many=True)  # type: ignore[assignment]


def problem_answers(*statuses: int) -> dict[Any, OpenApiResponse]:
    """Return the description of problem documents under these statuses."""
    answer = OpenApiResponse(ProblemDocument)
    return {(status, "application/problem+json"): answer for status in (401, 403, *statuses)}
