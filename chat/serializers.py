"""What the chat's calls take, and the shapes of their answers for the API's description."""

from typing import Any

from rest_framework import serializers

from ai_tasks.api.documents import AnyObject, Document, ListDocument, TaskError, TaskUsage
from ai_tasks.api.fields import StrictSerializer, Text
from ai_tasks.api.serializers import NAME, PRINTABLE
from chat.attaching import MOST_IN_MESSAGE
from chat.conversation import LONGEST_MESSAGE
from chat.states import AttachmentKind, MessageRole, MessageState, SessionState

LONGEST_SYSTEM_PROMPT = 20_000
MOST_AT_ONCE = 1_000
"""Sessions that one call changes or exports."""
LISTED = ["open", *(state.value for state in SessionState if state != SessionState.DELETED)]
"""By which state a list can be narrowed; `open` is active or closed."""


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


class Matching(StrictSerializer):
    """All sessions that a search finds."""

    q = Text(max_length=200, required=False, allow_blank=True)
    state = serializers.ChoiceField(choices=LISTED, required=False)


class BulkChange(StrictSerializer):
    """What to do, and to which sessions: either those of these ids, or all that match."""

    action = serializers.ChoiceField(choices=["archive", "unarchive", "delete"])
    ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=MOST_AT_ONCE)
    matching = Matching(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse both and neither."""
        if ("ids" in attrs) == ("matching" in attrs):
            raise serializers.ValidationError("Give either ids or matching.")
        return attrs

    def chosen(self) -> dict[str, Any]:
        """Return which sessions, as arguments of a search."""
        values: dict[str, Any] = self.validated_data
        if "ids" in values:
            return {"ids": [str(each) for each in values["ids"]]}
        return dict(values["matching"])

    def wish(self) -> str:
        """Return what is to be done."""
        return str(self.validated_data["action"])


class MessageCreate(StrictSerializer):
    """A message to send."""

    content = Text(max_length=LONGEST_MESSAGE, allow_blank=True, help_text="Empty only with attachments.")
    attachments = serializers.ListField(
        child=serializers.UUIDField(), required=False, max_length=MOST_IN_MESSAGE, help_text="Ids of uploaded files."
    )
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


class BulkDocument(Document):
    """How many were changed, how many could not be, and whether more were found than one call changes."""

    changed = serializers.IntegerField()
    skipped = serializers.IntegerField()
    has_more = serializers.BooleanField()


class ChatLimitDocument(Document):
    """The tightest budget; amounts are shown of one's own only."""

    scope = serializers.CharField()
    share = serializers.FloatField(help_text="Spent and held, of the limit: 1 is all of it.")
    limit_usd = serializers.CharField(allow_null=True)
    used_usd = serializers.CharField(allow_null=True)
    resets_at = serializers.DateTimeField()


class ChatMonthDocument(Document):
    """What the caller's chats used in this month."""

    total_tokens = serializers.IntegerField()
    cost_usd = serializers.CharField(allow_null=True)
    limit = ChatLimitDocument(allow_null=True)


class FallbackDocument(Document):
    """Which candidate of the route could not answer, which did, and why."""

    to = serializers.CharField()
    reason = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        """Add `from`, which Python keeps to itself."""
        return {"from": serializers.CharField(), **super().get_fields()}


class AttachmentDocument(Document):
    """A file that came with a message."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=AttachmentKind.values)
    media_type = serializers.CharField(help_text="What its bytes say.")
    size_bytes = serializers.IntegerField()


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
    attachments = AttachmentDocument(many=True)
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
