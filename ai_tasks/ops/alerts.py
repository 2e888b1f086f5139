"""
What is wrong becomes a stored alert: raised once, told by socket and by mail, cleared when it is over.

What is looked at are the troubles of the overview's head, so that mail and page say the same.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import translation

from ai_tasks import events
from ai_tasks.models import Alert
from ai_tasks.ops.pages import fleet, troubles
from ai_tasks.ops.pages.troubles import Trouble
from ai_tasks.representation import moment
from ai_tasks.webhooks import events as webhooks
from queueing.models import DeadLetter

logger = logging.getLogger(__name__)

KINDS = (
    "circuit_open",
    "queue_age",
    "queue_full",
    "dead_letters",
    "budget_80",
    "budget_100",
    "silent_worker",
    "no_worker",
    "late_sweep",
)
"""Troubles that are told; that a provider is paused, say, its operators know."""
TRY_MAIL_AGAIN = timedelta(seconds=60)
MOST_IN_A_MAIL = 50
MOST_BUDGETS = 1_000
"""Of budgets that are nearly used, the fullest."""

Place = tuple[str, str]


def look(now: datetime) -> dict[Place, Trouble]:
    """Return what is wrong now and is to be told, by kind and key; the overview's own queries."""
    with translation.override("en"):
        found = troubles.of_providers(fleet.read(now))
        found += troubles.of_dead_letters(DeadLetter.objects.open().totals(now))
        found += troubles.of_processes(now) + troubles.of_budgets(troubles.budgets(now, MOST_BUDGETS))
    return {(each.kind, each.key): each for each in found if each.kind in KINDS}


def sweep(now: datetime) -> tuple[int, int]:
    """Raise what is wrong, clear what is over; return how many of each. Two at once raise nothing twice."""
    found = look(now)
    known = {(row.kind, row.key): row for row in Alert.objects.open()}
    raised = sum(_raise(place, each, now) for place, each in found.items() if place not in known)
    cleared = sum(_clear(row, now) for place, row in known.items() if place not in found)
    for place, row in known.items():
        if place in found and found[place].text[:500] != row.text:
            Alert.objects.open().filter(pk=row.pk).update(text=found[place].text[:500], level=found[place].level)
    return raised, cleared


@transaction.atomic
def _raise(place: Place, trouble: Trouble, now: datetime) -> bool:
    alert = Alert(kind=place[0], key=place[1][:250], level=trouble.level, text=trouble.text[:500], raised_at=now)
    try:
        with transaction.atomic():
            alert.save(force_insert=True)
    except IntegrityError:
        return False
    webhooks.happened("alert.raised", f"alert:{alert.pk}", alert_json(alert), now)
    transaction.on_commit(partial(_tell, "alert.raised", alert), robust=True)
    return True


@transaction.atomic
def _clear(alert: Alert, now: datetime) -> bool:
    alert.cleared_at = now
    if not Alert.objects.open().filter(pk=alert.pk).update(cleared_at=now):
        return False
    webhooks.happened("alert.cleared", f"alert:{alert.pk}", alert_json(alert), now)
    transaction.on_commit(partial(_tell, "alert.cleared", alert), robust=True)
    return True


def _tell(name: str, alert: Alert) -> None:
    events.send(events.OPERATIONS, {"name": name, "alert": alert_json(alert)})


def alert_json(alert: Alert) -> dict[str, Any]:
    """Return an alert's shape."""
    plain = {name: getattr(alert, name) for name in ("kind", "key", "level", "text")}
    times = {name: moment(getattr(alert, name)) for name in ("raised_at", "cleared_at")}
    return {"id": str(alert.pk), "object": "alert", **plain, **times}


def mail_due(now: datetime) -> int:
    """
    Mail what is open and was not mailed yet to AI_ALERT_EMAILS, as one message; return how many alerts it told.

    A process that dies while it sends leaves them to another try, a minute later: a mail may come twice, never not.
    """
    if not settings.AI_ALERT_EMAILS:
        return 0
    untried = Q(mail_tried_at=None) | Q(mail_tried_at__lte=now - TRY_MAIL_AGAIN)
    unmailed = Alert.objects.open().filter(untried, mailed_at=None)
    due = list(unmailed.order_by("pk")[:MOST_IN_A_MAIL])
    mine = [each for each in due if unmailed.filter(pk=each.pk).update(mail_tried_at=now)]
    if not mine or not _mail(mine):
        return 0
    return int(Alert.objects.filter(pk__in=[each.pk for each in mine]).update(mailed_at=now))


def _mail(alerts: Iterable[Alert]) -> bool:
    """Send one message; False: the mail server did not take it."""
    rows = list(alerts)
    name = f"[{settings.AI_ENVIRONMENT or 'Tasuki'}]"
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    body = "\n".join(f"{row.raised_at:%Y-%m-%d %H:%M:%S} UTC  {row.text}" for row in rows)
    try:
        # A header is one line, whatever is in the text.
        subject = " ".join(f"{name} {rows[0].text}".split())[:150] + more
        send_mail(subject, body, None, settings.AI_ALERT_EMAILS)
    except (SMTPException, OSError) as error:
        logger.warning("The alerts could not be mailed: %r", error)
        return False
    return True
