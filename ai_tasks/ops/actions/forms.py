"""What is filled in for each action."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from ai_tasks import clock
from ai_tasks.ops.audit import REASON_LENGTH
from providers import routing
from providers.types import Limits
from queueing.models import Redrive
from queueing.states import Priority

MINUTE, HOUR, DAY = 1, 60, 24 * 60
LONGEST_MINUTES = 30 * DAY
SPANS = [
    (15 * MINUTE, _("15 minutes")),
    (30 * MINUTE, _("30 minutes")),
    (1 * HOUR, _("1 hour")),
    (2 * HOUR, _("2 hours")),
    (4 * HOUR, _("4 hours")),
    (8 * HOUR, _("8 hours")),
    (1 * DAY, _("1 day")),
]
MOST_TOKENS = 2_000_000_000


def _printable(text: str) -> None:
    if not text.isprintable():
        raise forms.ValidationError(_("Only printable characters, on one line."))


class WishForm(forms.Form):
    """Why: every action asks."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_LENGTH,
        validators=[_printable],
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_("It stands in the audit, and where the state is shown."),
    )


class UntilForm(WishForm):
    """Why, and for how long."""

    minutes = forms.TypedChoiceField(
        label=_("For"),
        coerce=int,
        empty_value=None,
        choices=[("", _("for good")), *SPANS],
        required=False,
    )
    until = forms.DateTimeField(
        label=_("Or until (UTC)"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    field_order: Sequence[str] = ("minutes", "until", "reason")

    def clean(self) -> dict[str, Any]:
        """Make one moment of the two; refuse one that is over."""
        given: dict[str, Any] = super().clean() or {}
        given["until"] = _moment(given.get("minutes"), given.get("until"))
        if given["until"] and given["until"] <= clock.now():
            self.add_error("until", _("That time is over."))
        return given


def _moment(minutes: int | None, until: datetime | None) -> datetime | None:
    return until or (clock.now() + timedelta(minutes=minutes) if minutes else None)


class FallbackForm(WishForm):
    """Why, and for how many minutes."""

    minutes = forms.IntegerField(label=_("For how many minutes"), min_value=1, max_value=DAY, initial=60)
    field_order: Sequence[str] = ("minutes", "reason")


class CircuitForm(UntilForm):
    """What becomes of a circuit."""

    mode = forms.ChoiceField(
        label=_("The circuit is"),
        widget=forms.RadioSelect,
        choices=[
            ("forced_open", _("forced open: no calls")),
            ("forced_closed", _("forced closed: calls, whatever happens")),
            ("closed", _("automatic, and closed now")),
            ("auto", _("automatic: open, it asks for a probe at once")),
        ],
    )
    model = forms.CharField(
        label=_("Of one model"),
        max_length=120,
        required=False,
        validators=[_printable],
        help_text=_("Empty: the whole provider's."),
    )
    field_order: Sequence[str] = ("mode", "model", "minutes", "until", "reason")


class ProbeForm(WishForm):
    """Which model is asked."""

    model = forms.CharField(label=_("Model"), max_length=120, validators=[_printable])
    field_order: Sequence[str] = ("model", "reason")


class LimitsForm(WishForm):
    """New bounds, for good or for a while."""

    model = forms.CharField(required=False, max_length=120, validators=[_printable], widget=forms.HiddenInput)
    max_concurrency = forms.IntegerField(label=_("Calls at once"), min_value=0, max_value=100_000, required=False)
    requests_per_minute = forms.IntegerField(
        label=_("Requests a minute"), min_value=0, max_value=10_000_000, required=False
    )
    tokens_per_minute = forms.IntegerField(
        label=_("Tokens a minute"), min_value=0, max_value=MOST_TOKENS, required=False, help_text=_("Empty: unlimited.")
    )
    minutes = forms.TypedChoiceField(
        label=_("Back to the old ones after"),
        coerce=int,
        empty_value=None,
        choices=[("", _("never")), *SPANS],
        required=False,
    )
    field_order: Sequence[str] = ("max_concurrency", "requests_per_minute", "tokens_per_minute", "minutes", "reason")


def limits_of(wish: Any) -> Limits:
    """Return the bounds that were filled in."""
    return Limits(*(wish.get(name) for name in ("max_concurrency", "requests_per_minute", "tokens_per_minute")))


class PriorityForm(WishForm):
    """Which class."""

    priority = forms.TypedChoiceField(label=_("New class"), coerce=int, choices=Priority.choices)
    field_order: Sequence[str] = ("priority", "reason")


class OrderForm(PriorityForm):
    """Which class, or none: the order anew."""

    priority = forms.TypedChoiceField(
        label=_("New class"),
        coerce=int,
        empty_value=None,
        required=False,
        choices=[("", _("as it is; only the order is derived anew")), *Priority.choices],
    )


class RedriveForm(WishForm):
    """Where to, and how fast."""

    provider = forms.ChoiceField(label=_("Where to"), choices=())
    rate = forms.FloatField(
        label=_("Tasks a second"),
        required=False,
        min_value=0.001,
        max_value=1_000,
        help_text=_("Empty: as fast as the limits allow."),
    )
    field_order: Sequence[str] = ("provider", "rate", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["provider"]
        field.choices = [
            (Redrive.SAME, _("where they died")),
            (Redrive.FALLBACK, _("the next place of their route")),
            *((slug, slug) for slug in routing.slugs()),
        ]


class EditForm(WishForm):
    """What the copy has otherwise."""

    model = forms.CharField(label=_("Model"), max_length=160, validators=[_printable])
    priority = forms.TypedChoiceField(label=_("Class"), coerce=int, choices=Priority.choices)
    input = forms.JSONField(
        label=_("Input"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false"}),
        help_text=_("As JSON; empty: as it was."),
    )
    field_order: Sequence[str] = ("model", "priority", "input", "reason")
