"""What `POST /tasks` takes."""

from collections.abc import Mapping
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from ai_tasks.access.models import ApiKey
from ai_tasks.api.fields import Metadata, Moment, PublicUrl, StrictSerializer, Text, Usd, WholeNumber
from ai_tasks.errors import InvalidInput, Mistake
from ai_tasks.submission import TaskRequest
from queueing.states import Priority

RESERVED_RELATED_TYPES = frozenset({"chat_session"})
"""The platform's own relate their tasks to these; a caller who could would speak into somebody's chat."""

DAY_SECONDS = 86_400
PRINTABLE = RegexValidator(r"\A[^\x00-\x1f\x7f]+\Z", "Control characters are not allowed.")
NAME = RegexValidator(r"\A[A-Za-z0-9_.:-]+\Z", "Only letters, digits and _ . : - are allowed.")


class Related(StrictSerializer):
    """One thing of the caller's own domain."""

    type = Text(max_length=60, validators=[NAME])
    id = Text(max_length=200, validators=[PRINTABLE])

    def validate_type(self, value: str) -> str:
        """Refuse the types of the platform's own apps."""
        if value.lower() in RESERVED_RELATED_TYPES:
            raise serializers.ValidationError("This type is reserved.")
        return value


@extend_schema_field(
    {"type": "object", "description": "What the task type asks for; see its schema.", "minProperties": 1}
)
class TaskInput(serializers.JSONField):
    """The type's own input; its schema checks it."""


PRIORITIES = [priority.word for priority in Priority]


class PriorityWord(serializers.ChoiceField):
    """A priority by its name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=PRIORITIES, **options)

    def to_internal_value(self, data: Any) -> Priority:  # type: ignore[override]
        """Return the priority."""
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return Priority.from_word(super().to_internal_value(data))


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A prompt",
            value={
                "type": "text.generate",
                "input": {"prompt": "Name three rivers of Japan.", "max_output_tokens": 200},
            },
            request_only=True,
        ),
        OpenApiExample(
            "Messages, with everything around them",
            value={
                "type": "text.generate",
                "input": {"messages": [{"role": "user", "content": "Summarise the minutes."}]},
                "model": "simulator/sim-1",
                "priority": "low",
                "deadline_seconds": 3600,
                "max_cost_usd": "0.25",
                "related": {"type": "meeting", "id": "2026-11-23"},
                "metadata": {"team": "sales"},
            },
            request_only=True,
        ),
    ]
)
class TaskCreate(StrictSerializer):
    """A task as its caller asks for it."""

    type = Text(max_length=60)
    input = TaskInput()
    model = Text(max_length=160, required=False, help_text="A route's alias, or `provider/model`, without fallback.")
    priority = PriorityWord(required=False)
    run_at = Moment(required=False, help_text="Not before this.")
    deadline_seconds = WholeNumber(min_value=1, max_value=30 * DAY_SECONDS, required=False)
    max_cost_usd = Usd(required=False)
    related = Related(required=False)
    metadata = Metadata(required=False)
    callback_url = PublicUrl(max_length=500, required=False, help_text="Told of its end; see webhooks.")


def request_of(wish: Mapping[str, Any], key: ApiKey | None, *, pointer: str = "") -> TaskRequest:
    """
    Return a validated wish, which stands at that pointer in the body, of who came by that key or, None, a session.

    Raises InvalidInput when it is more urgent than the caller may ask for: 422 rather than 403, as it is one member of
    the body that must change.
    """
    values = dict(wish)
    ceiling = Priority(key.priority_ceiling) if key else Priority.HIGH
    if (priority := values.get("priority")) is not None and priority < ceiling:
        mistake = Mistake(f"{pointer}/priority", f"At most {ceiling.word} is allowed.")
        raise InvalidInput(f"This caller may ask for {ceiling.word} at most.", errors=(mistake,))
    if related := values.pop("related", None):
        values["related"] = (related["type"], related["id"])
    return TaskRequest(**values, api_key_id=key.pk if key else None)


MOST_AT_ONCE = 1_000


class TasksCreate(StrictSerializer):
    """Tasks that are created together, or not at all."""

    tasks = serializers.ListField(child=TaskCreate(), min_length=1, max_length=MOST_AT_ONCE)

    def to_requests(self, key: ApiKey | None) -> list[TaskRequest]:
        """Return the validated wishes; raises what `request_of` raises."""
        wishes = self.validated_data["tasks"]
        return [request_of(wish, key, pointer=f"/tasks/{place}") for place, wish in enumerate(wishes)]
