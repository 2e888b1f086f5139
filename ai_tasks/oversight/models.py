"""The audit: every change that an operator made, append-only."""

from typing import Any, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _

from ai_tasks.ids import uuid7
from ai_tasks.oversight.actions import PERMISSIONS, Action


class AuditIsAppendOnly(RuntimeError):
    """What was done was done."""


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Entries of the audit; they are added and read."""

    def about(self, kind: str, key: str) -> "AuditQuerySet":
        """What was done to this object, newest first."""
        return self.filter(object_kind=kind, object_key=key).order_by("-id")

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise AuditIsAppendOnly("The audit is only added to.")

    # `_update` is what saving a changed instance ends in.
    update = bulk_update = delete = _update = _raw_delete = _refuse


class AuditEntry(models.Model):
    """One thing that an operator did: who, what, to what, from what to what, and why."""

    class Kind(models.TextChoices):
        """What it was done to."""

        PROVIDER = "provider", _("provider")
        TASK = "task", _("task")
        DEAD_LETTER = "dead_letter", _("dead letter")
        JOB = "job", _("job")
        """Of many objects the job that deals with them; its row has the filter."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField()
    actor_id = models.PositiveBigIntegerField(null=True)
    """The user's id; null: the system itself, as when a limit's time is over. No foreign key: it outlives the user."""
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=20, choices=Action.choices)
    object_kind = models.CharField(max_length=12, choices=Kind.choices)
    object_key = models.CharField(max_length=170)
    """The provider's name (of one of its models `provider/model`), or an id."""
    count = models.PositiveIntegerField(default=1)
    """How many objects it concerned."""
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    reason = models.CharField(max_length=200)
    request_id = models.CharField(max_length=100, blank=True, default="")

    objects = AuditQuerySet.as_manager()

    class Meta:
        base_manager_name = "objects"
        default_permissions = ("view",)
        permissions = PERMISSIONS
        indexes = [
            models.Index(fields=("object_kind", "object_key", "-id"), name="audit_object"),
            models.Index(fields=("action", "-id"), name="audit_action"),
            models.Index(fields=("actor", "-id"), name="audit_actor"),
        ]
        ordering = ("-id",)
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.object_key}"

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse."""
        raise AuditIsAppendOnly("The audit is only added to.")
