"""The shapes of the operators' answers, for the API's description."""

from rest_framework import serializers

from ai_tasks.api.documents import AnyObject, Document, ListDocument, always
from queueing.models import DeadLetter, Redrive
from queueing.states import EntryState, Lane, ParkedReason, Priority


class UseDocument(Document):
    """What of a limit is in use."""

    slots = serializers.IntegerField(help_text="Calls that run or are handed over.")
    requests = serializers.IntegerField(help_text="Of the last minute.")
    tokens = serializers.IntegerField(help_text="Of the last minute, the larger of reserved and used.")


class HeadroomDocument(Document):
    """What is left of a limit; null is unlimited."""

    slots = serializers.IntegerField(allow_null=True)
    requests = serializers.IntegerField(allow_null=True)
    tokens = serializers.IntegerField(allow_null=True)


class LimitDocument(Document):
    """Bounds of a provider, or of one of its models; null is unlimited."""

    model = serializers.CharField(help_text="Empty: the provider as a whole.")
    max_concurrency = serializers.IntegerField(allow_null=True)
    requests_per_minute = serializers.IntegerField(allow_null=True)
    tokens_per_minute = serializers.IntegerField(allow_null=True)
    used = UseDocument()
    headroom = HeadroomDocument()


class BreakerDocument(Document):
    """A breaker."""

    state = serializers.CharField()
    mode = serializers.CharField(help_text="auto, or what an operator forced.")
    forced_until = serializers.DateTimeField(allow_null=True, help_text="When it is automatic again by itself.")
    cause = serializers.CharField(help_text="Error code that opened it last.")
    opened_at = serializers.DateTimeField(allow_null=True)
    open_until = serializers.DateTimeField(allow_null=True)


class CircuitDocument(BreakerDocument):
    """A provider's breaker, and those of its models."""

    models = serializers.DictField(child=BreakerDocument(), help_text="By name, those that are not closed.")


class ProviderDocument(Document):
    """A provider's state, limits and headroom."""

    object = always("provider")
    id = serializers.CharField()
    state = serializers.ChoiceField(choices=["available", "paused", "circuit_open", "provider_retry_after"])
    until = serializers.DateTimeField(allow_null=True)
    circuit = CircuitDocument()
    limits = LimitDocument(many=True)


class ProviderList(ListDocument):
    """All providers."""

    data = ProviderDocument(many=True)  # type: ignore[assignment]


class QueueDocument(Document):
    """A provider's queue."""

    object = always("queue")
    provider = serializers.CharField()
    is_paused = serializers.BooleanField()
    paused_until = serializers.DateTimeField(allow_null=True)
    pause_reason = serializers.CharField()
    waiting = serializers.IntegerField()
    parked = serializers.DictField(child=serializers.IntegerField(), help_text="By reason.")
    queued = serializers.IntegerField()
    running = serializers.IntegerField()
    dead = serializers.IntegerField()
    oldest_wait_seconds = serializers.FloatField()
    pressure = serializers.ChoiceField(choices=["normal", "high", "full"])
    in_per_second = serializers.FloatField(allow_null=True)
    out_per_second = serializers.FloatField(allow_null=True)
    expected_wait_seconds = serializers.FloatField(allow_null=True)


class QueueList(ListDocument):
    """The queues of all providers."""

    data = QueueDocument(many=True)  # type: ignore[assignment]


class LaneDocument(QueueDocument):
    """One lane of a queue."""

    lane = serializers.ChoiceField(choices=Lane.values)
    soft_mark = serializers.IntegerField(allow_null=True)
    hard_mark = serializers.IntegerField(allow_null=True)


class QueueDetailDocument(QueueDocument):
    """A provider's queue and its lanes."""

    lanes = LaneDocument(many=True)


class EntryDocument(Document):
    """A live task's place in a queue."""

    object = always("queue_entry")
    task_id = serializers.UUIDField()
    task_type = serializers.CharField()
    owner_id = serializers.CharField()
    provider = serializers.CharField()
    model = serializers.CharField()
    lane = serializers.ChoiceField(choices=Lane.values)
    priority = serializers.ChoiceField(choices=[priority.word for priority in Priority])
    state = serializers.ChoiceField(choices=EntryState.values)
    parked_reason = serializers.ChoiceField(choices=ParkedReason.values, allow_null=True)
    parked_until = serializers.DateTimeField(allow_null=True)
    leased_until = serializers.DateTimeField(allow_null=True)
    cancel_requested_at = serializers.DateTimeField(allow_null=True)
    deadline_at = serializers.DateTimeField()
    enqueued_at = serializers.DateTimeField()


class EntryList(ListDocument):
    """A page of entries."""

    data = EntryDocument(many=True)  # type: ignore[assignment]


class ReorderDocument(Document):
    """What a reorder did."""

    object = always("reorder")
    provider = serializers.CharField()
    moved = serializers.IntegerField()


class LetterErrorDocument(Document):
    """Why the task died."""

    code = serializers.CharField()
    message = serializers.CharField()


class LetterRedriveDocument(Document):
    """What the last redrive did with a letter."""

    id = serializers.UUIDField()
    outcome = serializers.ChoiceField(choices=DeadLetter.Outcome.values)
    detail = serializers.CharField()


class DeadLetterDocument(Document):
    """A task that will not run again by itself."""

    object = always("dead_letter")
    id = serializers.UUIDField()
    task_id = serializers.UUIDField()
    task_type = serializers.CharField()
    provider = serializers.CharField()
    model = serializers.CharField()
    lane = serializers.ChoiceField(choices=Lane.values)
    owner_id = serializers.CharField()
    reason = serializers.CharField()
    error = LetterErrorDocument()
    fingerprint = serializers.CharField()
    attempts = serializers.IntegerField()
    resolution = serializers.ChoiceField(choices=DeadLetter.Resolution.values)
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolved_by = serializers.CharField()
    resolution_reason = serializers.CharField()
    new_task_id = serializers.UUIDField(allow_null=True, help_text="The edited copy that runs instead.")
    redrive = LetterRedriveDocument(allow_null=True)
    created_at = serializers.DateTimeField()


class DeadLetterList(ListDocument):
    """A page of dead letters, newest first."""

    data = DeadLetterDocument(many=True)  # type: ignore[assignment]


class LetterGroupDocument(Document):
    """Letters of one mishap."""

    object = always("dead_letter_group")
    provider = serializers.CharField()
    error_class = serializers.CharField()
    fingerprint = serializers.CharField()
    count = serializers.IntegerField()
    last_hour = serializers.IntegerField()
    last_day = serializers.IntegerField()
    last_week = serializers.IntegerField()
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    example = DeadLetterDocument(help_text="The newest.")


class LetterGroupList(ListDocument):
    """A page of groups, the largest first."""

    data = LetterGroupDocument(many=True)  # type: ignore[assignment]


class DiscardDocument(Document):
    """What a discard did, or with `dry_run` would do."""

    object = always("discard")
    dry_run = serializers.BooleanField()
    count = serializers.IntegerField()


class RedriveDocument(Document):
    """A job that sends dead letters back."""

    object = always("redrive")
    id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=Redrive.State.values)
    filter = AnyObject()
    provider = serializers.CharField()
    rate = serializers.FloatField(allow_null=True, help_text="Tasks a second.")
    requested_by = serializers.CharField()
    reason = serializers.CharField()
    total = serializers.IntegerField()
    done = serializers.IntegerField()
    skipped = serializers.IntegerField()
    failed = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    stopped_at = serializers.DateTimeField(allow_null=True)
    stopped_by = serializers.CharField()


class RedriveList(ListDocument):
    """A page of redrives, newest first."""

    data = RedriveDocument(many=True)  # type: ignore[assignment]


class PreviewDocument(Document):
    """What a redrive would do: the answer to `dry_run`."""

    object = always("redrive_preview")
    total = serializers.IntegerField()
    eligible = serializers.IntegerField()
    skipped = serializers.DictField(child=serializers.IntegerField(), help_text="By why.")
    groups = LetterGroupDocument(many=True)
    estimated_cost_usd = serializers.CharField(help_text="At most; a decimal string.")
    unpriced = serializers.IntegerField(help_text="Tasks whose cost is not known, and not in the estimate.")
