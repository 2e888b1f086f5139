"""The actions on dead letters: on chosen ones, or on all that match a filter."""

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ai_tasks.models import AIGenerationTask
from ai_tasks.ops import bulk, letters
from ai_tasks.ops.actions.chosen import chosen_by, told
from ai_tasks.ops.actions.forms import EditForm, RedriveForm, WishForm
from ai_tasks.ops.actions.wish import Done, Subject, WishPage
from ai_tasks.ops.audit import By
from ai_tasks.ops.pages.desk import as_id
from ai_tasks.oversight.actions import Action
from ai_tasks.redrives import jobs
from ai_tasks.redrives.preview import preview
from queueing.dead_letters import filters
from queueing.models import DeadLetter, Redrive, TaskQueue


class LettersWish(WishPage):
    """An action on the open letters that the query chooses."""

    details = "admin/ops/do_letters.html"

    def subject(self, request: HttpRequest, wish: Mapping[str, Any]) -> Subject:
        """Return the letters, counted by group."""
        chosen = TaskQueue.objects.open_only(chosen_by(request, filters.NAMES, single=filters.TIMES))
        found = Subject(_("Dead letters"), reverse("ops:overview"), chosen)
        foreseen = preview(chosen, provider=wish.get("provider", Redrive.SAME))
        found.count = foreseen.total
        found.facts = [(_("Letters"), f"{foreseen.total:,}"), *told(chosen)]
        found.extra = {"preview": foreseen, "skipped": list(foreseen.skipped.items())}
        return found


class RedriveLetters(LettersWish):
    """Redrive."""

    action = Action.REDRIVE
    form_class = RedriveForm
    effect = gettext_lazy("Their tasks are pending again, with their tries anew, by a job that can be stopped.")
    verb = gettext_lazy("Start")
    previews = True

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Begin the job."""
        job = letters.redrive(subject.key, by, provider=wish["provider"], rate=wish["rate"])
        return Done(_("The redrive has begun."), job.pk)

    def after(self, done: Done) -> None:
        """Do a small one at once."""
        job = Redrive.objects.get(pk=done.job)
        if job.total <= jobs.BATCH:
            for _batch in jobs.carry_out(job.pk):
                pass


class DiscardLetters(LettersWish):
    """Discard."""

    action = Action.DISCARD
    form_class = WishForm
    effect = gettext_lazy("They are dealt with, and their tasks stay as they ended. It cannot be undone.")

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Begin the job."""
        job = bulk.begin(self.action, subject.key, by)
        return Done(_("The letters are being discarded."), job.pk)

    def after(self, done: Done) -> None:
        """Do a small one at once."""
        if done.job:
            bulk.do_if_small(done.job)


class EditLetter(WishPage):
    """Edit, then redrive."""

    action = Action.EDIT_REDRIVE
    form_class = EditForm
    effect = gettext_lazy("A new task with these words runs in its owner's name; the dead one stays as it ended.")
    verb = gettext_lazy("Send the copy")

    def subject(self, request: HttpRequest, wish: Mapping[str, Any]) -> Subject:
        """Return the one letter, with its task."""
        letter_id = as_id(request.GET.get("ids", ""))
        letter = DeadLetter.objects.filter(pk=letter_id).first() if letter_id else None
        task = AIGenerationTask.objects.find_by_id(letter.task_id) if letter else None
        if letter is None or task is None:
            raise Http404
        found = Subject(_("A dead task"), reverse("ops:task", args=[task.pk]), letter)
        found.facts = [
            (_("Type"), task.type),
            (_("Error"), f"{letter.error_class}: {letter.message[:200]}"),
            (_("Attempts"), f"{letter.attempts:,}"),
        ]
        found.extra = {"task": task, "sees": request.user.has_perm("ai_tasks.view_payloads")}
        return found

    def initial(self, subject: Subject) -> dict[str, Any]:
        """Begin with what it was; with its words only for who may see them."""
        task = subject.extra["task"]
        words = {"input": task.input} if subject.extra["sees"] else {}
        return {"model": task.requested_model, "priority": task.priority, **words}

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Send the copy, changed in what was changed."""
        task = subject.extra["task"]
        was = {"model": task.requested_model, "priority": task.priority, "input": task.input}
        changes = {name: wish[name] for name, old in was.items() if wish[name] not in (None, "") and wish[name] != old}
        copy = letters.redrive_edited(subject.key, changes, by)
        return Done(_("The copy is on its way."), home=reverse("ops:task", args=[copy.pk]))
