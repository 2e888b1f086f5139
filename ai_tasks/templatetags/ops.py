"""How the console writes numbers, times and money, and its navigation."""

from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import urlencode

from django import template
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ai_tasks.accounts.fields import plain_usd
from ai_tasks.models import Alert
from ai_tasks.ops.actions.urls import DO
from ai_tasks.ops.pages import charts
from ai_tasks.ops.pages.nav import PLACES
from ai_tasks.oversight.actions import Action

register = template.Library()
UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
NOTHING = "–"
MISSING = (None, "")
"""Templates make an empty text of what is not there."""


@register.inclusion_tag("admin/ops/nav.html", takes_context=True)
def ops_nav(context: template.Context) -> dict[str, Any]:
    """Return the places that this user may see, and which of them is shown."""
    request = context.get("request")
    user: Any = getattr(request, "user", None)
    match = getattr(request, "resolver_match", None)
    name = match.url_name if match and match.namespaces == ["ops"] else ""
    may = bool(user and user.is_active and user.is_staff)
    places = [
        (place, name == place.name or name in place.within) for place in PLACES if may and user.has_perm(place.needs)
    ]
    may_see = may and user.has_perm(PLACES[0].needs)
    return {"places": places, "is_staff": may, "alerts": Alert.objects.open().count() if may_see else 0}


def _path(context: template.Context, action: str) -> str:
    """Return where an action is confirmed; empty for who may not do it, and where there is no such action."""
    user: Any = context["request"].user
    return reverse("ops:do", args=[action]) if action in DO and user.has_perm(Action(action).permission) else ""


@register.simple_tag(takes_context=True)
def do(context: template.Context, action: str, label: str, **params: Any) -> SafeString | str:
    """Return a link to an action's confirmation page, for those who may do it; what is empty is left out of it."""
    return do_all(context, action, label, params)


@register.simple_tag(takes_context=True)
def do_all(context: template.Context, action: str, label: str, params: dict[str, Any]) -> SafeString | str:
    """Return the same with parameters that have a name already: an action on all that match a filter, or on all."""
    path = _path(context, action)
    query = urlencode({name: value for name, value in params.items() if value not in MISSING}, doseq=True) or "all=1"
    return format_html('<a class="button" href="{}?{}">{}</a>', path, query, label) if path else ""


@register.simple_tag(takes_context=True)
def do_chosen(context: template.Context, action: str, label: str) -> SafeString | str:
    """Return a button that sends a form's chosen rows to an action's confirmation page."""
    path = _path(context, action)
    return format_html('<button class="button" formaction="{}">{}</button>', path, label) if path else ""


@register.simple_tag
def environment() -> str:
    """Return what this installation is called, so that nobody pauses production by mistake."""
    return str(settings.AI_ENVIRONMENT)


@register.filter
def span(value: Any) -> str:
    """Return a time as people say it, by its two largest units; None is a dash."""
    if value in MISSING:
        return NOTHING
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 60:
        return (
            f"{seconds * 1000:.0f} ms"
            if 0 < seconds < 1
            else f"{seconds:.0f} s"
            if seconds >= 10
            else f"{seconds:.1f} s"
        )
    for (unit, length), (smaller, part) in zip(UNITS, (*UNITS[1:], ("s", 1)), strict=True):
        if seconds >= length:
            whole, rest = int(seconds // length), int(seconds % length // part)
            return f"{whole} {unit} {rest} {smaller}" if rest else f"{whole} {unit}"
    return f"{seconds:.0f} s"


@register.simple_tag(takes_context=True)
def ago(context: template.Context, moment: datetime | None) -> SafeString | str:
    """Return how long ago a moment was, or how soon it will be, with the moment itself as its title."""
    if moment is None:
        return NOTHING
    apart = context["now"] - moment
    text = _("%s ago") % span(apart) if apart >= timedelta(0) else _("in %s") % span(-apart)
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), f"{local:%Y-%m-%d %H:%M:%S %Z}", text
    )


@register.simple_tag
def part(of: float, whole: float) -> float:
    """Return what share of the whole a part is."""
    return of / whole if whole else 0.0


@register.simple_tag
def bar(value: float | None) -> SafeString | str:
    """Return a small bar of a share."""
    return charts.meter(value)


@register.simple_tag(takes_context=True)
def since(context: template.Context, moment: datetime | None) -> str:
    """Return how long it has been since a moment."""
    return span(None if moment is None else max(context["now"] - moment, timedelta(0)))


@register.simple_tag
def between(since: datetime | None, until: datetime | None) -> str:
    """Return how long it took from one moment to the other."""
    return NOTHING if since is None or until is None else span(until - since)


LEVELS = {
    "completed": "ok",
    "failed": "bad",
    "timed_out": "bad",
    "lost": "bad",
    "succeeded": "ok",
    "processing": "warn",
}
"""Of tasks and attempts, the states that have a colour."""


@register.simple_tag
def status(row: Any) -> SafeString:
    """Return the state of a task or an attempt as a badge."""
    word, label = (
        (row.status, row.get_status_display()) if hasattr(row, "status") else (row.state, row.get_state_display())
    )
    return format_html('<span class="badge {}">{}</span>', LEVELS.get(word, ""), label)


@register.simple_tag
def task_link(task_id: Any) -> SafeString:
    """Return a link to a task's page, by the end of its id: the beginning is its time."""
    path = reverse("ops:task", args=[task_id])
    return format_html('<a href="{}" title="{}"><code>…{}</code></a>', path, task_id, str(task_id)[-12:])


@register.filter
def usd(amount: Any) -> str:
    """Return an amount rounded to the cent, or, below a cent, its two first digits; None is a dash."""
    if amount in MISSING:
        return NOTHING
    cents = Decimal("0.01")
    if amount and abs(amount) < cents:
        return f"${plain_usd(amount.quantize(Decimal(1).scaleb(amount.adjusted() - 1), rounding=ROUND_HALF_UP))}"
    return f"${number_format(amount.quantize(cents, rounding=ROUND_HALF_UP), use_l10n=True, force_grouping=True)}"


@register.simple_tag
def money(amount: Decimal) -> SafeString:
    """Return an amount as `usd` does, with every digit of it as its title."""
    return format_html('<span title="{} USD">{}</span>', plain_usd(amount), usd(amount))


@register.simple_tag(takes_context=True)
def narrowed(context: template.Context, name: str, value: str) -> SafeString:
    """Return a value as a link to the same view of that value alone."""
    query = context["request"].GET.copy()
    query[name] = value
    return format_html('<a href="?{}">{}</a>', query.urlencode(), value)


@register.filter
def brief(number: Any) -> str:
    """Return a whole number in about three digits: 950, 1.2k, 34M."""
    if number in MISSING:
        return NOTHING
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


@register.filter
def signed(change: Any) -> str:
    """Return a change as a percentage with its sign; None is a dash."""
    return NOTHING if change in MISSING else f"{change:+.0%}"


@register.filter
def count(number: Any) -> str:
    """Return a whole number, or an estimate, with its thousands parted; None is a dash."""
    return NOTHING if number in MISSING else number if isinstance(number, str) else f"{number:,}"


@register.filter
def share(part: Any) -> str:
    """Return a share from 0 to 1 as a percentage; None is a dash."""
    if part in MISSING:
        return NOTHING
    return f"{part:.0%}" if part >= 0.1 or part == 0 else f"{part:.1%}"


@register.filter
def rate(per_second: Any) -> str:
    """Return a rate by the second, or by the minute where that is small; None is a dash."""
    if per_second in MISSING:
        return NOTHING
    return _("%s/s") % f"{per_second:.1f}" if per_second >= 1 else _("%s/min") % f"{per_second * 60:.1f}"
