"""The actions on a provider."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_tasks import clock
from ai_tasks.models import AuditEntry
from ai_tasks.ops import circuits, limits, probing, queues
from ai_tasks.ops.actions.forms import CircuitForm, FallbackForm, LimitsForm, ProbeForm, UntilForm, limits_of
from ai_tasks.ops.actions.wish import Done, Subject, WishPage
from ai_tasks.ops.audit import By
from ai_tasks.ops.fallback import force_fallback, preview_fallback
from ai_tasks.ops.pages import fleet
from ai_tasks.oversight.actions import Action
from providers import routing
from providers.types import Limits

RECENT_SHOWN = 3
"""What others did last, so that two do not mend the same thing."""
HISTORY_SHOWN = 10


class ProviderWish(WishPage):
    """An action on the provider that the query names."""

    def subject(self, request: HttpRequest, wish: Mapping[str, Any]) -> Subject:
        """Return the provider and how it stands."""
        slug, now = request.GET.get("provider", ""), clock.now()
        if slug not in routing.slugs():
            raise Http404
        [stand] = fleet.read(now, [slug])
        what, home = _("Provider %(name)s") % {"name": slug}, reverse("ops:provider", args=[slug])
        recent = AuditEntry.objects.about(AuditEntry.Kind.PROVIDER, slug)[:RECENT_SHOWN]
        found = Subject(what, home, slug, extra={"stand": stand, "now": now, "recent": recent})
        about = "≈ " if stand.is_estimate else ""
        found.facts = [
            (_("Waiting"), f"{about}{stand.waiting:,}"),
            (_("At work"), f"{stand.handed:,}"),
        ]
        return found


class Pause(ProviderWish):
    """Pause."""

    action = Action.PAUSE_PROVIDER
    form_class = UntilForm
    effect = gettext_lazy("Nothing is admitted or started there; what runs goes on, what comes waits.")

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Pause it."""
        queues.pause_provider(subject.key, by, until=wish["until"])
        return Done(_("%(name)s is paused.") % {"name": subject.key})


class Drain(ProviderWish):
    """Drain."""

    action = Action.DRAIN_PROVIDER
    form_class = UntilForm
    effect = gettext_lazy("Nothing more is admitted there; what is at work is still done. Then it is paused.")

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Drain it."""
        queues.drain_provider(subject.key, by, until=wish["until"])
        return Done(_("%(name)s is being drained.") % {"name": subject.key})


class Resume(ProviderWish):
    """Resume."""

    action = Action.RESUME_PROVIDER
    effect = gettext_lazy("It goes on at once, within its limits.")

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Resume it."""
        queues.resume_provider(subject.key, by)
        return Done(_("%(name)s goes on.") % {"name": subject.key})


class ForceCircuit(ProviderWish):
    """Force a circuit."""

    action = Action.FORCE_CIRCUIT
    form_class = CircuitForm
    effect = gettext_lazy("Open, it gets no calls; what waits goes on to the next place of its route, if there is one.")

    def initial(self, subject: Subject) -> dict[str, Any]:
        """Offer what is most likely meant: back to itself, where it is forced."""
        return {"mode": "auto" if routing.circuit(subject.key)["mode"] != "auto" else "forced_open"}

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Force it; only what is forced has an end."""
        until = wish["until"] if wish["mode"].startswith("forced") else None
        circuits.force_circuit(subject.key, wish["mode"], by, model=wish["model"], until=until)
        return Done(_("The circuit of %(name)s is set.") % {"name": subject.key})


class ForceFallback(ProviderWish):
    """Force fallback."""

    action = Action.FORCE_FALLBACK
    form_class = FallbackForm
    effect = gettext_lazy(
        "Its circuit is kept open for that time: what waits and what comes goes on to the next place of its route, "
        "as far as that has room. What has no further place waits."
    )
    details = "admin/ops/do_fallback.html"

    def subject(self, request: HttpRequest, wish: Mapping[str, Any]) -> Subject:
        """Return the provider, with where its work would go."""
        found = super().subject(request, wish)
        found.extra["preview"] = preview_fallback(found.extra["stand"], found.extra["now"])
        return found

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Force it."""
        force_fallback(subject.key, by, until=by.at + timedelta(minutes=wish["minutes"]))
        told = _("Work of %(name)s goes elsewhere for %(minutes)d minutes.")
        return Done(told % {"name": subject.key, "minutes": wish["minutes"]})


class Probe(ProviderWish):
    """Probe."""

    action = Action.PROBE_PROVIDER
    form_class = ProbeForm
    effect = gettext_lazy("One small call is made, first in turn. An open circuit tries itself by it.")

    def initial(self, subject: Subject) -> dict[str, Any]:
        """Offer the first model of it that anybody may choose."""
        prefix = f"{subject.key}/"
        known = [choice.id for choice in routing.models() if choice.id.startswith(prefix)]
        return {"model": known[0].removeprefix(prefix) if known else ""}

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Ask it."""
        task = probing.probe_now(subject.key, wish["model"], by)
        return Done(_("The probe is on its way."), home=reverse("ops:task", args=[task.pk]))


class SetLimits(ProviderWish):
    """Change limits."""

    action = Action.SET_LIMITS
    form_class = LimitsForm
    effect = gettext_lazy("They count from the next admission on; calls that run are not cut.")
    details = "admin/ops/do_limits.html"
    previews = True

    def subject(self, request: HttpRequest, wish: Mapping[str, Any]) -> Subject:
        """Return the provider, or its model, with its bounds, their history, and what the new ones would mean."""
        found = super().subject(request, wish)
        model = wish.get("model", request.GET.get("model", ""))[:120]
        key = f"{found.key}/{model}" if model else found.key
        now = routing.limits(found.key).get(model, Limits())
        history = AuditEntry.objects.about("provider", key).filter(action=Action.SET_LIMITS)[:HISTORY_SHOWN]
        found.extra |= {"model": model, "limits": asdict(now), "history": history}
        rpm = wish.get("requests_per_minute")
        if rpm and found.extra["stand"].waiting:
            found.extra["clears_in"] = timedelta(minutes=found.extra["stand"].waiting / rpm)
        return found

    def initial(self, subject: Subject) -> dict[str, Any]:
        """Begin with what counts now."""
        return {**subject.extra["limits"], "model": subject.extra["model"]}

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Set them."""
        back_at = by.at + timedelta(minutes=wish["minutes"]) if wish["minutes"] else None
        limits.set_limits(subject.key, limits_of(wish), by, model=wish["model"], back_at=back_at)
        return Done(_("The limits of %(name)s are changed.") % {"name": subject.key})
