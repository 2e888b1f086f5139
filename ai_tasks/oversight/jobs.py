"""Jobs over many tasks or dead letters, and what became of each."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from ai_tasks.oversight.actions import Action
from queueing.stored_jobs import StoredJob


class BulkJob(StoredJob):
    """One operator's wish about many tasks or dead letters: which, what, how far; ai_tasks.ops.bulk carries it out."""

    action = models.CharField(max_length=20, choices=Action.choices)
    params = models.JSONField(default=dict)
    """What the action needs beside its objects: `{"priority": 1}`."""

    class Meta(StoredJob.Meta):
        verbose_name = _("bulk job")
        verbose_name_plural = _("bulk jobs")


class JobOutcome(models.Model):
    """What a bulk job did with one object."""

    class Outcome(models.TextChoices):
        """How it went."""

        DONE = "done", _("done")
        SKIPPED = "skipped", _("skipped")
        """It was not any more as it had been."""
        FAILED = "failed", _("failed")

    job = models.ForeignKey(BulkJob, on_delete=models.CASCADE, related_name="outcomes")
    target = models.UUIDField()
    """The task or dead letter."""
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    detail = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=("job", "target"), name="outcome_once_per_target")]
        indexes = [models.Index(fields=("job", "outcome", "id"), name="outcome_of_job")]
        verbose_name = _("outcome")
        verbose_name_plural = _("outcomes")

    def __str__(self) -> str:
        return f"{self.target}: {self.outcome}"
