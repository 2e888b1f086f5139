"""Serializer fields that take JSON at its word: a string is a string, a number a number."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django.core.validators import URLValidator
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ai_tasks import clock
from ai_tasks.webhooks.addresses import complaint

USD = re.compile(r"[0-9]{1,8}(\.[0-9]{1,10})?")
FARTHEST = timedelta(days=366)
METADATA_PAIRS = 16
METADATA_VALUE = 500
METADATA_NAME = re.compile(r'[^\x00-\x1f\x7f"\\\[\]]{1,64}')


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses members that it does not know: a mistyped name must not be ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated members; raises ValidationError."""
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - set(self.fields))[:20]):
            raise serializers.ValidationError({name: ["Unknown member."] for name in unknown})
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A JSON string, as it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        """Return the string; numbers are none."""
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class WholeNumber(serializers.IntegerField):
    """A JSON integer; neither a string nor true."""

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class Number(serializers.FloatField):
    """A JSON number; neither a string nor true."""

    def to_internal_value(self, data: Any) -> float:
        """Return the number."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return float(data)


class Flag(serializers.BooleanField):
    """True or false of JSON."""

    def to_internal_value(self, data: Any) -> bool:
        """Return it."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Moment(serializers.DateTimeField):
    """An ISO 8601 date and time with its offset, not farther than a year from now."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": 'Not an ISO 8601 date and time such as "2026-11-23T09:30:00Z".',
        "naive": "The offset from UTC is missing.",
        "far": "Farther than a year from now.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        """Return the aware time."""
        try:
            moment = parse_datetime(value) if isinstance(value, str) and len(value) <= 40 else None
        except ValueError:
            moment = None
        if moment is None:
            self.fail("invalid")
        if moment.tzinfo is None:
            self.fail("naive")
        if abs(moment - clock.now()) > FARTHEST:
            self.fail("far")
        return moment


@extend_schema_field({"type": "string", "pattern": USD.pattern, "examples": ["0.25"]})
class Usd(serializers.Field[Decimal, str, str, Any]):
    """An amount in USD as a decimal string, more than zero."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": 'Not a decimal string such as "0.25".',
        "zero": "Not more than zero.",
    }

    def to_internal_value(self, data: Any) -> Decimal:
        """Return the amount."""
        if not isinstance(data, str) or not USD.fullmatch(data):
            self.fail("invalid")
        amount = Decimal(data)
        if not amount:
            self.fail("zero")
        return amount

    def to_representation(self, value: Decimal) -> str:
        """Return the amount as text."""
        return str(value)


@extend_schema_field(
    {
        "type": "object",
        "maxProperties": METADATA_PAIRS,
        "additionalProperties": {"type": "string", "maxLength": METADATA_VALUE},
    }
)
class Metadata(serializers.Field[dict[str, str], Any, Any, Any]):
    """At most 16 pairs of the caller's own: names up to 64 characters, values strings up to 500."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": "Not an object.",
        "many": f"More than {METADATA_PAIRS} pairs.",
        "name": "A name must have 1 to 64 characters, without brackets, quotes, backslashes and control characters.",
        "value": f"A value must be a string of at most {METADATA_VALUE} characters.",
    }

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Return the pairs; a mistake points at its pair."""
        if not isinstance(data, dict):
            self.fail("invalid")
        if len(data) > METADATA_PAIRS:
            self.fail("many")
        mistakes = {
            name: [self.error_messages[wrong]] for name, value in data.items() if (wrong := _wrong(name, value))
        }
        if mistakes:
            raise serializers.ValidationError(mistakes)
        return data

    def to_representation(self, value: dict[str, str]) -> dict[str, str]:
        """Return the pairs."""
        return value


def _wrong(name: str, value: Any) -> str:
    if not METADATA_NAME.fullmatch(name):
        return "name"
    return "" if isinstance(value, str) and len(value) <= METADATA_VALUE else "value"


class HttpUrl(Text):
    """An http or https address, without a password in it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validators=[URLValidator(schemes=["http", "https"]), _refuse_userinfo], **options)


def _refuse_userinfo(url: str) -> None:
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise serializers.ValidationError("User names and passwords do not belong into an address.")


class PublicUrl(HttpUrl):
    """An address that webhooks may go to."""

    def to_internal_value(self, data: Any) -> str:
        """Return the address; a private one is refused before anything is sent."""
        url = super().to_internal_value(data)
        if said := _complaint(url):
            raise serializers.ValidationError(said)
        return url


def _complaint(url: str) -> str:
    try:
        return complaint(url)
    except ValueError:
        return "Enter a valid URL."
