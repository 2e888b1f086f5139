"""The actions on tasks: on chosen ones, or on all that match a filter; always by a job."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_tasks import clock
from ai_tasks.ops import bulk, queues, selection
from ai_tasks.ops.actions.chosen import chosen_by, told
from ai_tasks.ops.actions.forms import OrderForm, WishForm
from ai_tasks.ops.actions.wish import Done, Subject, WishPage
from ai_tasks.ops.audit import By
from ai_tasks.oversight.actions import Action
from ai_tasks.redrives.preview import cost_of_letters
from ai_tasks.states import TaskStatus
from providers import routing
from queueing.errors import BadFilter
from queueing.models import DeadLetter
from queueing.states import Priority


class TasksWish(WishPage):
    """An action on the tasks that the query chooses."""

    details = "admin/ops/do_tasks.html"

    def subject(self, request: HttpRequest, wish: Mapping[str, Any]) -> Subject:
        """Return the tasks, counted by provider, type and state."""
        given = chosen_by(request, selection.CHECKS, single=selection.TIMES)
        chosen = selection.checked(given)
        tasks = selection.tasks(self.action, chosen)
        rows = tasks.order_by().values("provider", "type", "status", "priority").annotate(count=Count("pk"))
        groups = sorted(rows, key=lambda row: -row["count"])
        found = Subject(_("Tasks"), reverse("ops:tasks"), chosen, count=sum(row["count"] for row in groups))
        one = chosen.get("ids", [])
        if len(one) == 1:
            found.home = reverse("ops:task", args=one)
        found.facts = [(_("Tasks"), f"{found.count:,}"), *told(given)]
        labels = dict(TaskStatus.choices)
        found.extra["groups"] = [
            row | {"status": labels[row["status"]], "priority": Priority(row["priority"]).label} for row in groups
        ]
        return found

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Begin the job."""
        job = bulk.begin(self.action, subject.key, by, **self.params(wish))
        return Done(_("The job has begun."), job.pk)

    def params(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the action needs beside its tasks."""
        return {}

    def after(self, done: Done) -> None:
        """Do a small one at once."""
        if done.job:
            bulk.do_if_small(done.job)


class CancelTasks(TasksWish):
    """Cancel."""

    action = Action.CANCEL_TASK
    form_class = WishForm
    effect = gettext_lazy("Those that wait end at once; those that run are asked to stop, and what they used is paid.")


class RetryTasks(TasksWish):
    """Retry."""

    action = Action.RETRY_TASK
    form_class = WishForm
    effect = gettext_lazy("They are pending again, from the first place of their route, with their tries anew.")

    def subject(self, request: HttpRequest, wish: Mapping[str, Any]) -> Subject:
        """Return the tasks, with the most that they may cost."""
        found = super().subject(request, wish)
        tasks = selection.tasks(self.action, found.key)
        letters = DeadLetter.objects.open().filter(task_id__in=tasks.order_by().values("pk"))
        found.extra["cost_usd"], found.extra["unpriced"] = cost_of_letters(letters, clock.now())
        return found


class ReleaseLeases(TasksWish):
    """Release leases."""

    action = Action.RELEASE_LEASE
    form_class = WishForm
    effect = gettext_lazy(
        "They are taken from their workers and run again, as after a crash: whatever the old worker still writes is "
        "refused, and what its call used is paid. Lost leases are released by a sweep anyway, within seconds."
    )


class Reprioritise(TasksWish):
    """Change priorities; of a provider alone also the order anew."""

    action = Action.REPRIORITISE
    form_class = OrderForm
    effect = gettext_lazy("Those that wait stand at the end of their owner's share in the new class.")

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Begin the job; without a class, derive the provider's order anew."""
        if wish["priority"] is not None:
            return super().act(subject, wish, by)
        provider = subject.key.get("provider", [""])[0]
        if list(subject.key) != ["provider"] or provider not in routing.slugs():
            raise BadFilter("priority", _("Choose a class; the order is derived anew for a provider alone."))
        moved = queues.reorder_queue(provider, by)
        return Done(_("The order of %(count)d tasks is derived anew.") % {"count": moved})

    def params(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Return the class."""
        return {"priority": wish["priority"]}
