"""What the chat's calls take, and the shapes of their answers for the API's description."""

from typing import Any

from rest_framework import serializers

from ai_tasks.api.documents import AnyObject, Document, ListDocument, TaskError, TaskUsage
from ai_tasks.api.fields import StrictSerializer, Text
from ai_tasks.api.serializers import NAME, PRINTABLE
from chat.conversation import LONGEST_MESSAGE
from chat.states import MessageRole, MessageState, SessionState

LONGEST_SYSTEM_PROMPT = 20_000


class Item(StrictSerializer):
    """One thing of the caller's own domain that a session is about."""

    type = Text(max_length=60, validators=[NAME])
    id = Text(max_length=200, validators=[PRINTABLE])


class SessionCreate(StrictSerializer):
    """A session as its owner asks for it."""

    title = Text(max_length=200, required=False, allow_blank=True)
    item = Item(required=False)
    system_prompt = Text(max_length=LONGEST_SYSTEM_PROMPT, required=False, allow_blank=True)
    model = Text(max_length=160, required=False, help_text="A route's alias, or `provider/model`.")

    def wishes(self) -> dict[str, Any]:
        """Return the validated members as arguments of `start_session`."""
        values = dict(self.validated_data)
        if item := values.pop("item", None):
            values["item"] = (item["type"], item["id"])
        return values


class SessionChange(StrictSerializer):
    """What a session's owner may change; `state` archives (`archived`) and takes out again (`active`)."""

    title = Text(max_length=200, required=False, allow_blank=True)
    system_prompt = Text(max_length=LONGEST_SYSTEM_PROMPT, required=False, allow_blank=True)
    model = Text(max_length=160, required=False)
    state = serializers.ChoiceField(choices=[SessionState.ACTIVE.value, SessionState.ARCHIVED.value], required=False)


class MessageCreate(StrictSerializer):
    """A message to send."""

    content = Text(max_length=LONGEST_MESSAGE)
    client_id = Text(
        max_length=64, required=False, validators=[PRINTABLE], help_text="Sent again, it is not sent twice."
    )
    model = Text(max_length=160, required=False, help_text="For this reply only; the session's otherwise.")
    parent_id = serializers.UUIDField(required=False, help_text="The message it follows; the newest otherwise.")
    simulate = AnyObject(required=False, help_text="Script for the simulator; other providers never see it.")


class ItemDocument(Document):
    """One thing of the caller's own domain."""

    type = serializers.CharField()
    id = serializers.CharField()


class SessionUsage(Document):
    """Tokens of all the session's replies, regenerated and stopped ones included."""

    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class SessionDocument(Document):
    """A conversation."""

    id = serializers.UUIDField()
    object = serializers.ChoiceField(choices=["chat.session"])
    title = serializers.CharField()
    state = serializers.ChoiceField(choices=SessionState.values)
    item = ItemDocument(allow_null=True)
    system_prompt = serializers.CharField()
    model = serializers.CharField()
    usage = SessionUsage()
    cost_usd = serializers.CharField(allow_null=True, help_text="A decimal string; null: a call had no price.")
    created_at = serializers.DateTimeField()
    last_activity_at = serializers.DateTimeField()


class SessionList(ListDocument):
    """A page of sessions, newest first."""

    data = SessionDocument(many=True)  # type: ignore[assignment]


class FallbackDocument(Document):
    """Which candidate of the route could not answer, which did, and why."""

    to = serializers.CharField()
    reason = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        """Add `from`, which Python keeps to itself."""
        return {"from": serializers.CharField(), **super().get_fields()}


class MessageDocument(Document):
    """One message; siblings (same `parent_id`) are versions of each other."""

    id = serializers.UUIDField()
    object = serializers.ChoiceField(choices=["chat.message"])
    session_id = serializers.UUIDField()
    number = serializers.IntegerField()
    parent_id = serializers.UUIDField(allow_null=True)
    role = serializers.ChoiceField(choices=MessageRole.values)
    state = serializers.ChoiceField(choices=MessageState.values)
    content = serializers.CharField()
    html = serializers.CharField(allow_null=True, help_text="A reply's content as safe HTML.")
    answered_by = serializers.CharField(allow_null=True, help_text="`provider/model`")
    fallback = FallbackDocument(allow_null=True)
    task_id = serializers.UUIDField(allow_null=True)
    client_id = serializers.CharField(allow_null=True)
    error = TaskError(allow_null=True)
    usage = TaskUsage(allow_null=True)
    cost_usd = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class MessageList(ListDocument):
    """A page of messages of all branches, newest first."""

    data = MessageDocument(many=True)  # type: ignore[assignment]


class SentDocument(Document):
    """A sent message and its reply, which is being written."""

    message = MessageDocument()
    reply = MessageDocument()
