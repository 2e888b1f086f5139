"""The shapes of API keys' answers and wishes."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from ai_tasks import clock
from ai_tasks.access.keys import MOST_REQUESTS_PER_MINUTE, SCOPES
from ai_tasks.accounts.models import Budget
from ai_tasks.api.documents import BudgetDocument, Document, ListDocument, always
from ai_tasks.api.fields import Moment, StrictSerializer, Text, Usd, WholeNumber
from ai_tasks.api.serializers import PRINTABLE, PriorityWord

DAY_SECONDS = 86_400
STATES = ["active", "expired", "revoked"]


class TimeZone(Text):
    """The name of an IANA time zone."""

    def to_internal_value(self, data: Any) -> str:
        """Return the name, if there is such a zone."""
        name = super().to_internal_value(data)
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise serializers.ValidationError("Not an IANA time zone such as Asia/Tokyo.") from error
        return name


class KeyBudget(StrictSerializer):
    """What a key may spend."""

    limit_usd = Usd()
    interval = serializers.ChoiceField(choices=Budget.Interval.values, default=Budget.Interval.MONTH)
    time_zone = TimeZone(max_length=64, default="UTC", help_text="Whose midnights begin months and days (IANA).")


class Pace(WholeNumber):
    """How often a key may call."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            min_value=1,
            max_value=MOST_REQUESTS_PER_MINUTE,
            allow_null=True,
            required=False,
            help_text="Calls a minute, over a sliding window. Null: as the installation is set up.",
            **options,
        )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "For one service",
            value={
                "name": "nightly reports",
                "scopes": ["tasks"],
                "priority_ceiling": "low",
                "requests_per_minute": 600,
                "budget": {"limit_usd": "20.00", "interval": "month", "time_zone": "Asia/Tokyo"},
            },
            request_only=True,
        )
    ]
)
class KeyCreate(StrictSerializer):
    """A key as its owner asks for it."""

    name = Text(max_length=100, validators=[PRINTABLE])
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=SCOPES),
        min_length=1,
        max_length=len(SCOPES),
        required=False,
        help_text="All but `keys`, if not given; of those the caller has.",
    )
    priority_ceiling = PriorityWord(required=False, help_text="The most urgent priority its tasks may have.")
    requests_per_minute = Pace()
    budget = KeyBudget(required=False)
    expires_at = Moment(required=False)

    def validate_expires_at(self, value: datetime) -> datetime:
        """Refuse a key that would be born dead."""
        if value <= clock.now():
            raise serializers.ValidationError("Not in the future.")
        return value


class KeyChange(StrictSerializer):
    """What of a key can be changed: what it may do is fixed, so that nobody is surprised."""

    name = Text(max_length=100, validators=[PRINTABLE], required=False)
    requests_per_minute = Pace()
    budget = KeyBudget(required=False, allow_null=True)


class KeyRotation(StrictSerializer):
    """How a key is rotated."""

    overlap_seconds = WholeNumber(
        min_value=0, max_value=30 * DAY_SECONDS, default=DAY_SECONDS, help_text="How long the old text stays good."
    )


class KeyDocument(Document):
    """An API key, without its text."""

    object = always("api_key")
    id = serializers.IntegerField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The first characters of its text.")
    state = serializers.ChoiceField(choices=STATES)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES))
    priority_ceiling = PriorityWord()
    requests_per_minute = serializers.IntegerField(allow_null=True)
    budget = BudgetDocument(allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="Noted at most once a minute.")
    old_key_until = serializers.DateTimeField(allow_null=True, help_text="The text before is good, too, until then.")


class KeyWithText(KeyDocument):
    """A key as it was just made, or given another text."""

    key = serializers.CharField(allow_null=True, help_text="`tsk_...`, this once; null when the call is a replay.")


class KeyList(ListDocument):
    """A page of keys, newest first."""

    data = KeyDocument(many=True)  # type: ignore[assignment]
