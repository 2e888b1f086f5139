"""What every action's page does: says what, how many, to what effect; asks why; and acts once, by POST."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from ai_tasks.access import idempotency
from ai_tasks.access.idempotency import InFlight, Mismatch
from ai_tasks.errors import NotPossible, TaskError
from ai_tasks.ops import audit
from ai_tasks.ops.actions import tokens
from ai_tasks.ops.actions.forms import WishForm
from ai_tasks.ops.actions.tokens import Token
from ai_tasks.ops.audit import By
from ai_tasks.ops.pages.desk import Page
from ai_tasks.oversight.actions import Action
from queueing.errors import BadFilter

GROWN = 1.1
"""Beyond so many times what the form said, it is asked again."""


@dataclass(slots=True)
class Subject:
    """What an action is about."""

    what: str
    """In words."""
    home: str
    """Where to go afterwards."""
    key: Any = None
    """The object, or what chooses the objects."""
    count: int = 1
    facts: list[tuple[Any, Any]] = field(default_factory=list)
    """What to know before, as (label, text)."""
    extra: dict[str, Any] = field(default_factory=dict)
    """For the page's own part of the template."""


class Done(NamedTuple):
    """What was done."""

    text: str
    job: UUID | None = None
    """The stored job that does it."""
    home: str = ""
    """Where to see it; else the subject's."""


class WishPage(Page):
    """The page of one action."""

    action: ClassVar[Action]
    template = "do.html"
    form_class: ClassVar[type[WishForm]] = WishForm
    effect: ClassVar[Any] = ""
    """A sentence: what will be so."""
    verb: ClassVar[Any] = ""
    """On the button; else the action's name."""
    details = ""
    """Template of a part of its own."""
    previews = False
    """Does what is told depend on what is filled in?"""

    @property
    def needs(self) -> str:  # type: ignore[override]
        """Return the action's own permission."""
        return self.action.permission

    def subject(self, request: HttpRequest, wish: Mapping[str, Any]) -> Subject:
        """Return what it is about, with what is filled in; raises Http404, BadFilter and TaskError."""
        raise NotImplementedError

    def act(self, subject: Subject, wish: Mapping[str, Any], by: By) -> Done:
        """Do it, in one transaction with its audit; raises TaskError and BadFilter."""
        raise NotImplementedError

    def after(self, done: Done) -> None:
        """Do what comes after the commit."""

    def initial(self, subject: Subject) -> dict[str, Any]:
        """Return what the form begins with."""
        return {}

    def form(self, subject: Subject | None, data: Any = None) -> WishForm:
        """Return the form, bound when there is data."""
        initial = self.initial(subject) if subject and data is None else None
        return self.form_class(data, initial=initial, label_suffix="")

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Ask."""
        return self._ask(request, None, {})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Do it, or ask again, with why; what was done by this form already is not done again."""
        form = self.form(None, request.POST)
        if not form.is_valid():
            return self._ask(request, form, {})
        if "preview" in request.POST:
            return self._ask(request, form, form.cleaned_data)
        token = tokens.read(request.POST.get("token", ""), self._user_id(request), self.action)
        if token is None:
            return self._ask(request, form, form.cleaned_data, _("This form is too old: look again, and confirm."))
        try:
            return self._once(request, form, token)
        except TaskError as error:
            mistakes = [f"{each.pointer}: {each.detail}" for each in error.errors]
            return self._ask(request, form, form.cleaned_data, " ".join([error.detail, *mistakes]))
        except BadFilter as error:
            return self._ask(request, form, form.cleaned_data, error.detail)
        except Mismatch:
            return self._ask(request, form, form.cleaned_data, _("This form was sent before with other words."))
        except InFlight:
            return self._ask(request, form, form.cleaned_data, _("It is being done: look at the audit."))

    def _once(self, request: HttpRequest, form: WishForm, token: Token) -> HttpResponse:
        wish, by = form.cleaned_data, audit.by_request(request, form.cleaned_data.get("reason", ""))
        with transaction.atomic():
            record, is_new = self._claim(request, token, by)
            if not is_new:
                job = UUID(record.object_ids[0]) if record.object_ids else None
                return self._leave(request, Done(_("This was done already."), job))
            subject = self.subject(request, wish)
            if subject.count > max(token.said, 1) * GROWN:
                grown = _("There are %(now)d of them now, not %(before)d: look again, and confirm.")
                raise NotPossible(grown % {"now": subject.count, "before": token.said})
            done = self.act(subject, wish, by)
            type(record).objects.filter(pk=record.pk).update(object_ids=[str(done.job)] if done.job else [])
        self.after(done)
        return self._leave(request, done, subject)

    def _claim(self, request: HttpRequest, token: Token, by: By) -> tuple[Any, bool]:
        words = {name: values for name, values in request.POST.lists() if name not in ("token", "csrfmiddlewaretoken")}
        digest = idempotency.digest_of([request.GET.urlencode(), words])
        call = f"do {self.action}"
        return idempotency.claim(owner_id=self._user_id(request), key=token.key, call=call, digest=digest, now=by.at)

    def _leave(self, request: HttpRequest, done: Done, subject: Subject | None = None) -> HttpResponse:
        messages.success(request, done.text)
        if done.job:
            return HttpResponseRedirect(reverse("ops:job", args=[done.job]))
        back = request.GET.get("next", "")
        if back and url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
            return HttpResponseRedirect(back)
        return HttpResponseRedirect(done.home or (subject.home if subject else reverse("ops:audit")))

    def _ask(
        self,
        request: HttpRequest,
        form: WishForm | None,
        wish: Mapping[str, Any],
        complaint: str = "",
    ) -> HttpResponse:
        try:
            subject = self.subject(request, wish)
        except (TaskError, BadFilter) as error:
            subject = Subject(_("Nothing is chosen"), reverse("ops:overview"), count=0)
            complaint = complaint or error.detail
        self.shown = {
            "subject": subject,
            "form": form or self.form(subject),
            "token": tokens.make(self._user_id(request), self.action, subject.count),
            "complaint": complaint,
        }
        response = super().get(request)
        is_refused = bool(complaint or (form and form.errors))
        response.status_code = 422 if is_refused and request.method == "POST" else 200
        return response

    def context(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        """Return what the form says."""
        page = {name: getattr(self, name) for name in ("action", "effect", "details", "previews")}
        verb = self.verb or self.action.label
        return {**self.shown, **page, "title": self.action.label, "verb": verb}

    @staticmethod
    def _user_id(request: HttpRequest) -> int:
        return int(request.user.pk or 0)
